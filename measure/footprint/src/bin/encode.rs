//! Encodes frames of one file and a message in one call each, into a buffer that is sent.

#![no_std]
#![no_main]

use footprint::{buffer, device, encoding, opaque::any};
use tej_core::{File, Status};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let (name, data, message, frame) = (buffer!(64), buffer!(64), buffer!(64), buffer!(256));
    loop {
        let file = File { name: device::receive(name), data: device::receive(data) };
        let message = device::receive(message);
        match tej_core::encode(any(Status::ZERO), &[file], message, frame) {
            Ok(len) => device::send(frame.get(..len).unwrap_or_default()),
            Err(error) => encoding::fail(&error),
        }
    }
}
