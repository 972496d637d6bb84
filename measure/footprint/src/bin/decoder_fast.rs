//! As `decoder`, by `decode`: with the fast paths for what lies in the input whole.

#![no_std]
#![no_main]

use footprint::{buffer, decoder, decoding, device};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let (buffer, decoder) = (buffer!(64), decoder!());
    loop {
        let mut input: &[u8] = device::receive(buffer);
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
