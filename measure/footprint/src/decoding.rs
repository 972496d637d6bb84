//! What a firmware does with a decoder.

use core::{borrow::Borrow, hint::black_box};

use tej_core::{DecodeError, Decoder, Event, Limits};

use crate::device;

/// Decodes one read by `step` and `resolve`, the way of the async loop and of everybody who counts bytes of flash.
#[inline]
pub fn step_through<N, L>(
    decoder: &mut Decoder<N, L>,
    mut input: &[u8],
    mut handle: impl FnMut(Event<'_>),
) -> Result<(), DecodeError>
where
    N: AsRef<[u8]> + AsMut<[u8]>,
    L: Borrow<Limits>,
{
    loop {
        let step = decoder.step(input)?;
        let Some(span) = step.event else { return Ok(()) };
        handle(decoder.resolve(span, input));
        input = input.get(step.consumed..).unwrap_or_default();
    }
}

/// Looks at every field of an event.
#[inline]
pub fn handle(event: Event<'_>) {
    match event {
        Event::FrameStart(header) => {
            device::report(FRAME_START, u64::from(header.status.value()) << 8 | u64::from(header.version));
            device::report(FILES, header.files.into());
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

/// A frame in one piece.
pub const WHOLE: u32 = 9;
const FRAME_START: u32 = 1;
const FILES: u32 = 2;
const FILE_START: u32 = 3;
const FILE_END: u32 = 4;
const MESSAGE_START: u32 = 5;
const FRAME_END: u32 = 6;
const FAULT: u32 = 7;
