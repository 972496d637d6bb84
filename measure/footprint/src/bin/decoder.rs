//! Decodes a stream by `step`, with constant limits and the decoder in a static: the pull loop over each read, every
//! event handled, a fault reported.

#![no_std]
#![no_main]

use footprint::{buffer, decoder, decoding, device};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let (buffer, decoder) = (buffer!(64), decoder!());
    loop {
        let input = device::receive(buffer);
        if let Err(error) = decoding::step_through(decoder, input, decoding::handle) {
            decoding::fail(&error);
        }
    }
}
