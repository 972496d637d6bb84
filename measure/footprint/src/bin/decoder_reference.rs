//! As `decoder`, with the limits by reference and the decoder made at run time, on the stack.

#![no_std]
#![no_main]

use footprint::{buffer, decoding, device, opaque::any};
use tej_core::{Decoder, Limits};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let buffer = buffer!(64);
    let mut decoder = Decoder::new(buffer!(64), any(&Limits::DEFAULT));
    loop {
        let input = device::receive(buffer);
        if let Err(error) = decoding::step_through(&mut decoder, input, decoding::handle) {
            decoding::fail(&error);
        }
    }
}
