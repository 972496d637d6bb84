//! As `decoder`, with the path for whole frames before it.

#![no_std]
#![no_main]

use footprint::{buffer, decoder, decoding, device};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let (buffer, decoder) = (buffer!(64), decoder!());
    loop {
        let mut input: &[u8] = device::receive(buffer);
        while let Some(frame) = decoder.decode_frame(&mut input) {
            device::report(decoding::WHOLE, u64::from(frame.header().status.value()));
            for file in frame.files() {
                device::send(file.name);
                device::send(file.data);
            }
            device::send(frame.message());
        }
        if let Err(error) = decoding::step_through(decoder, input, decoding::handle) {
            decoding::fail(&error);
        }
    }
}
