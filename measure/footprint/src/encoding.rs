//! What a firmware does with an encoder.

use core::hint::black_box;

use tej_core::{EncodeError, Encoder, Status};

use crate::device;

/// Sends a frame with one file and a message, head by head.
///
/// In a straight line, as firmware does, so that the optimiser may leave out what it can prove of the order.
#[inline]
pub fn send_frame(
    encoder: &mut Encoder,
    status: Status,
    name: &[u8],
    data: &[u8],
    message: &[u8],
) -> Result<(), EncodeError> {
    device::send(&encoder.start_frame(status, 1)?);
    let head = encoder.start_file(name, data.len() as u64)?;
    device::send(&head.name_len);
    device::send(name);
    device::send(&head.size);
    encoder.payload(data.len() as u64)?;
    device::send(data);
    device::send(&encoder.start_message(message.len() as u64)?);
    encoder.payload(message.len() as u64)?;
    device::send(message);
    Ok(())
}

/// Looks at all of a mistake.
#[cold]
#[inline(never)]
pub fn fail(error: &EncodeError) {
    black_box(error);
    device::report(MISTAKE, 0);
}

const MISTAKE: u32 = 8;
