//! What is to be checked and what came of it, in one piece of memory that Python lays out too.
//!
//! `../prove.py` has the same structures: change both.

use core::ops::RangeInclusive;

use tej_core::{Decoder, Event, Limits};

use crate::{
    record::{self, Record},
    run::decode,
};

/// A question and its answer.
#[repr(C)]
pub struct Task {
    pub(crate) request: Request,
    pub(crate) answer: Answer,
}

/// What is to be checked. Any of its numbers may be symbolic but those that say so.
#[repr(C)]
pub(crate) struct Request {
    files: u64,
    file: u64,
    message: u64,
    frame: u64,
    any_version: u64,
    /// Payload bytes that are moved past the decoder behind the prefix.
    advance: u64,
    /// The input of [`check_payload`](crate::check_payload): its length, and where it is cut.
    pub(crate) long: usize,
    pub(crate) long_cut: usize,
    /// Bytes of `stream` that put the decoder into the state that is checked. Concrete.
    prefix: usize,
    /// Bytes behind them that are cut. Concrete.
    input: usize,
    /// How many bytes into the input the first cut is, at least and at most. Concrete.
    first_cut: usize,
    last_cut: usize,
    /// 2 or 3, the number of pieces; 3 includes 2. Concrete.
    pieces: usize,
    pub(crate) stream: [u8; CAPACITY],
}

/// What came of it.
#[repr(C)]
pub(crate) struct Answer {
    /// By [`Path::OTHERS`](crate::run::Path::OTHERS): not 0 where that way makes a difference.
    pub(crate) other_paths: [u64; 3],
    /// At `first * (CAPACITY + 1) + second`, counted from the start of the stream: not 0 where these cuts make a
    /// difference.
    pub(crate) differences: [u64; (CAPACITY + 1) * (CAPACITY + 1)],
    /// What the decoder said when it got its input byte by byte.
    pub(crate) reference: Record,
    /// What it said the last time.
    pub(crate) record: Record,
}

/// A decoder behind a prefix of at most one frame.
pub(crate) struct Start<'l> {
    pub(crate) decoder: Decoder<[u8; NAME], &'l Limits>,
    /// The kind of entry for the payload that it is in, if it is.
    pub(crate) payload: u64,
}

impl Request {
    pub(crate) fn limits(&self) -> Limits {
        let [.., a, b, c, d] = self.files.to_be_bytes();
        Limits {
            any_version: self.any_version != 0,
            files: u32::from_be_bytes([a, b, c, d]),
            file: self.file,
            message: self.message,
            frame: self.frame,
        }
    }

    /// The decoder behind the prefix; `None` if that is refused.
    pub(crate) fn start<'l>(&self, limits: &'l Limits) -> Option<Start<'l>> {
        let mut decoder = Decoder::new([0; NAME], limits);
        let mut prefix = self.stream.get(..self.prefix_len()).unwrap_or_default();
        let mut payload = record::FILE_DATA;
        while let Some(event) = decode(&mut decoder, &mut prefix).ok()? {
            if matches!(event, Event::MessageStart { .. }) {
                payload = record::MESSAGE_DATA;
            }
        }
        // More than there is to move moves nothing, which is a state like any other.
        let _ = decoder.advance_payload(self.advance);
        Some(Start { decoder, payload })
    }

    /// Where the input begins in the stream.
    pub(crate) fn prefix_len(&self) -> usize {
        self.prefix.min(CAPACITY)
    }

    /// Where the input ends in the stream.
    pub(crate) fn end(&self) -> usize {
        self.prefix_len() + self.input.min(CAPACITY - self.prefix_len())
    }

    pub(crate) fn first_cuts(&self) -> RangeInclusive<usize> {
        let cut = |at: usize| self.prefix_len() + at.min(self.end() - self.prefix_len());
        cut(self.first_cut)..=cut(self.last_cut)
    }

    pub(crate) fn second_cuts(&self, first: usize) -> RangeInclusive<usize> {
        if self.pieces == 3 { first..=self.end() } else { self.end()..=self.end() }
    }

    /// How far a place in the memory of the stream is from its start. Elsewhere, more than it has.
    pub(crate) fn place(&self, bytes: &[u8]) -> usize {
        bytes.as_ptr().addr().wrapping_sub(self.stream.as_ptr().addr())
    }
}

/// Bytes of the longest stream.
pub(crate) const CAPACITY: usize = 64;
/// Bytes of the longest name.
pub(crate) const NAME: usize = 8;
