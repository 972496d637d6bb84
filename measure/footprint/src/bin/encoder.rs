//! Encodes frames of one file and a message: each head sent, the payload told and sent, a mistake reported.

#![no_std]
#![no_main]

use footprint::{buffer, device, encoding, opaque::any};
use tej_core::{Encoder, Status};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let (name, data, message) = (buffer!(64), buffer!(64), buffer!(64));
    let mut encoder = Encoder::new();
    loop {
        let name = device::receive(name);
        let data = device::receive(data);
        let message = device::receive(message);
        if let Err(error) = encoding::send_frame(&mut encoder, any(Status::ZERO), name, data, message) {
            encoding::fail(&error);
        }
    }
}
