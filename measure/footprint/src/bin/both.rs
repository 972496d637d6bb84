//! Decodes a stream and answers each frame with one: `decoder` and `encoder` in one program.

#![no_std]
#![no_main]

use footprint::{buffer, decoding, device, encoding, opaque::any};
use tej_core::{Decoder, Encoder, Event, Limits, Status};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let (buffer, name, data, message) = (buffer!(64), buffer!(64), buffer!(64), buffer!(64));
    let mut decoder = Decoder::new(buffer!(64), &Limits::DEFAULT);
    let mut encoder = Encoder::new();
    loop {
        let mut input = device::receive(buffer);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(event)) => {
                    decoding::handle(event);
                    if event == Event::FrameEnd {
                        let name = device::receive(name);
                        let data = device::receive(data);
                        let message = device::receive(message);
                        let sent = encoding::send_frame(&mut encoder, any(Status::ZERO), name, data, message);
                        if let Err(error) = sent {
                            encoding::fail(&error);
                        }
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    decoding::fail(&error);
                    break;
                }
            }
        }
    }
}
