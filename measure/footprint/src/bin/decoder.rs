//! Decodes a stream: the pull loop over each read, every event handled, a fault reported.

#![no_std]
#![no_main]

use footprint::{buffer, decoding, device};
use tej_core::{Decoder, Limits};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let buffer = buffer!(64);
    let mut decoder = Decoder::new(buffer!(64), &Limits::DEFAULT);
    loop {
        let mut input = device::receive(buffer);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(event)) => decoding::handle(event),
                Ok(None) => break,
                Err(error) => {
                    decoding::fail(&error);
                    break;
                }
            }
        }
    }
}
