//! Decodes a stream and answers each frame with one: `decoder` and `encoder` in one program.

#![no_std]
#![no_main]

use footprint::{buffer, decoder, decoding, device, encoding, opaque::any};
use tej_core::{Encoder, Event, Status};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let (buffer, name, data, message) = (buffer!(64), buffer!(64), buffer!(64), buffer!(64));
    let decoder = decoder!();
    let mut encoder = Encoder::new();
    loop {
        let input = device::receive(buffer);
        let decoded = decoding::step_through(decoder, input, |event| {
            decoding::handle(event);
            if matches!(event, Event::FrameEnd) {
                let name = device::receive(name);
                let data = device::receive(data);
                let message = device::receive(message);
                let sent = encoding::send_frame(&mut encoder, any(Status::ZERO), name, data, message);
                if let Err(error) = sent {
                    encoding::fail(&error);
                }
            }
        });
        if let Err(error) = decoded {
            decoding::fail(&error);
        }
    }
}
