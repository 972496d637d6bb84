//! What a firmware does with a decoder.

use core::hint::black_box;

use tej_core::{DecodeError, Event};

use crate::device;

/// Looks at every field of an event.
#[inline]
pub fn handle(event: Event<'_>) {
    match event {
        Event::FrameStart(header) => {
            device::report(FRAME_START, u64::from(header.status.value()) << 8 | u64::from(header.version));
            device::report(FILES, header.files);
        }
        Event::FileStart { name, size } => {
            device::report(FILE_START, size);
            device::send(name);
        }
        Event::FileData(bytes) | Event::MessageData(bytes) => device::send(bytes),
        Event::FileEnd => device::report(FILE_END, 0),
        Event::MessageStart { size } => device::report(MESSAGE_START, size),
        Event::FrameEnd => device::report(FRAME_END, 0),
        _ => {}
    }
}

/// Looks at all of a fault.
#[cold]
#[inline(never)]
pub fn fail(error: &DecodeError) {
    black_box(error);
    device::report(FAULT, 0);
}

const FRAME_START: u32 = 1;
const FILES: u32 = 2;
const FILE_START: u32 = 3;
const FILE_END: u32 = 4;
const MESSAGE_START: u32 = 5;
const FRAME_END: u32 = 6;
const FAULT: u32 = 7;
