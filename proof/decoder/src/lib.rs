//! The decoder of `tej-core`, compiled so that a solver can run it on all inputs at once.
//!
//! [`check_cuts`] and [`check_payload`] run the decoder over one input in one piece, byte by byte and cut in every
//! place, and compare what it said. They are ordinary functions: called with concrete bytes they answer for these, and
//! symbolically executed (`../prove.py`) for all of them. What the solver must show is that no path ends with a
//! difference, and that none ends in a panic.
//!
//! All that is used of `tej-core` is its public interface. Of the wire format, no more is known than where the parts of
//! a frame lie that is taken whole.

#![no_std]

mod memory;
mod record;
mod run;
mod task;

use core::slice;

use tej_core::{Decoder, Event, Limits};

use crate::{
    run::{Path, Run, decode},
    task::{CAPACITY, NAME, Start, Task},
};

/// Runs the task's input byte by byte, as the reference, and then cut into three at each pair of places that the task
/// asks for: all of two pieces are among them, and the whole. Each time it compares the events, where in the stream
/// each was yielded, the names and the place of each payload byte, the fault, and behind each piece what the decoder
/// says of itself. Once for all cuts, the whole is run in the other ways that a caller may take.
///
/// Answers 0 if there was no difference; `Task::differences` tells the places apart.
///
/// # Safety
///
/// `task` points to one that nobody else uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn check_cuts(task: *mut Task) -> u64 {
    // SAFETY: what the caller promises.
    let Task { request, answer } = unsafe { &mut *task };
    let limits = request.limits();
    // A prefix that is refused leads to no state worth asking about.
    let Some(start) = request.start(&limits) else { return 0 };
    let (from, to) = (request.prefix_len(), request.end());

    let mut bytewise = Run::new(&start, request, &mut answer.reference);
    // The end of payload that was moved past the decoder is due before any byte.
    bytewise.feed(Path::Events, from, from);
    bytewise.mark(from);
    for at in from..to {
        bytewise.feed(Path::Events, at, at + 1);
        bytewise.mark(at + 1);
    }
    let mut total = bytewise.verdict();
    let reference = &answer.reference;

    for (path, difference) in Path::OTHERS.into_iter().zip(&mut answer.other_paths) {
        let mut whole = Run::new(&start, request, &mut answer.record);
        whole.feed(path, from, to);
        *difference = whole.verdict() | answer.record.difference(reference);
        total |= *difference;
    }
    for first in request.first_cuts() {
        for second in request.second_cuts(first) {
            let mut run = Run::new(&start, request, &mut answer.record);
            run.feed(Path::Events, from, first);
            let mut difference = run.compare(reference, first);
            run.feed(Path::Events, first, second);
            difference |= run.compare(reference, second);
            if second < to {
                run.feed(Path::Events, second, to);
                difference |= run.compare(reference, to);
            }
            difference |= run.verdict() | answer.record.difference(reference);
            if let Some(place) = answer.differences.get_mut(first * (CAPACITY + 1) + second) {
                *place = difference;
            }
            total |= difference;
        }
    }
    total
}

/// Gives a decoder inside payload an input of `Task::long` bytes whose content is never looked at, in one piece and cut
/// at `Task::long_cut`, for as long as there is payload. Compares how much of it was taken, and what the decoder says
/// of itself. Neither number is bounded by any memory: both go up to what a slice can have.
///
/// Answers 0 if there was no difference.
///
/// # Safety
///
/// `task` points to one that nobody else uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn check_payload(task: *mut Task) -> u64 {
    // SAFETY: what the caller promises.
    let Task { request, .. } = unsafe { &mut *task };
    let limits = request.limits();
    let Some(Start { decoder: start, .. }) = request.start(&limits) else { return 0 };
    let (size, cut) = (request.long, request.long_cut);
    if size > isize::MAX.unsigned_abs() || cut > size {
        return 0;
    }
    // SAFETY: most of these bytes do not exist. They are payload, which a decoder has no reason to read: where it did, the
    // symbolic address would end the proof.
    let input = unsafe { slice::from_raw_parts(request.stream.as_ptr(), size) };
    let (first, second) = input.split_at(cut);

    let mut whole = start.clone();
    let moved = take(&mut whole, input);
    let mut parts = start.clone();
    let moved_first = take(&mut parts, first);
    let moved_second = if moved_first == cut { take(&mut parts, second) } else { 0 };

    let expected = size.min(usize::try_from(start.payload_remaining()).unwrap_or(usize::MAX));
    (moved ^ expected) as u64
        | (moved ^ moved_first.wrapping_add(moved_second)) as u64
        | run::difference_of(&mut whole, &mut parts)
}

/// Payload bytes that the decoder takes of `input` as one piece; `usize::MAX` for anything but its beginning.
fn take(decoder: &mut Decoder<[u8; NAME], &Limits>, input: &[u8]) -> usize {
    if decoder.payload_remaining() == 0 || input.is_empty() {
        return 0;
    }
    let mut rest = input;
    let taken = match decode(decoder, &mut rest) {
        Ok(Some(Event::FileData(data) | Event::MessageData(data))) if data.as_ptr() == input.as_ptr() => {
            data.len()
        }
        _ => return usize::MAX,
    };
    let behind = input.as_ptr().wrapping_add(taken);
    // An empty slice may lie anywhere.
    let is_behind = rest.is_empty() || rest.as_ptr() == behind;
    if is_behind && rest.len() == input.len().wrapping_sub(taken) { taken } else { usize::MAX }
}
