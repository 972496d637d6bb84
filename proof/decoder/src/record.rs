//! What a decoder said, so that it does not show how its input was cut.

use tej_core::{DecodeError, DecodeErrorKind};

use crate::task::CAPACITY;

/// Events in their order and, behind each piece of input, what the decoder said of itself.
///
/// Payload that lies together is one entry, however many pieces it came in.
#[repr(C)]
pub(crate) struct Record {
    len: usize,
    entries: [Entry; ENTRIES],
    marks: [Mark; CAPACITY + 1],
}

/// An event or a fault.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) kind: u64,
    /// Of payload, where it begins; of all others, the stream's offset once they were yielded.
    pub(crate) at: u64,
    pub(crate) first: u64,
    /// Of payload, where it ends.
    pub(crate) second: u64,
}

/// What a decoder says of itself, and how much it has said.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) len: usize,
    /// Where the payload ends, if the last entry is payload.
    pub(crate) payload_end: u64,
    pub(crate) offset: u64,
    pub(crate) remaining: u64,
    pub(crate) between_frames: u64,
    pub(crate) finish: [u64; 3],
}

impl Record {
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds an entry, and answers not 0 if there is no room for it.
    pub(crate) fn push(&mut self, entry: Entry) -> u64 {
        let Some(place) = self.entries.get_mut(self.len) else { return 1 };
        *place = entry;
        self.len += 1;
        0
    }

    /// Adds payload from `start` to `end`.
    pub(crate) fn push_payload(&mut self, kind: u64, start: usize, end: usize) -> u64 {
        let (start, end) = (start as u64, end as u64);
        match self.last_mut() {
            Some(last) if last.kind == kind && last.second == start => {
                last.second = end;
                0
            }
            _ => self.push(Entry { kind, at: start, first: 0, second: end }),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn payload_end(&mut self) -> u64 {
        match self.last_mut() {
            Some(last) if matches!(last.kind, FILE_DATA | MESSAGE_DATA) => last.second,
            _ => 0,
        }
    }

    pub(crate) fn set_mark(&mut self, place: usize, mark: Mark) {
        if let Some(at) = self.marks.get_mut(place) {
            *at = mark;
        }
    }

    /// Not 0 if `mark` is not what this record has at `place`.
    pub(crate) fn difference_from_mark(&self, place: usize, mark: &Mark) -> u64 {
        self.marks.get(place).map_or(1, |own| own.difference(mark))
    }

    /// Not 0 if the entries are not the same.
    pub(crate) fn difference(&self, other: &Self) -> u64 {
        let count = (self.len ^ other.len) as u64;
        self.entries.iter().zip(&other.entries).take(self.len).fold(count, |all, (one, other)| {
            all | one.kind ^ other.kind
                | one.at ^ other.at
                | one.first ^ other.first
                | one.second ^ other.second
        })
    }

    fn last_mut(&mut self) -> Option<&mut Entry> {
        self.entries.get_mut(self.len.checked_sub(1)?)
    }
}

impl Mark {
    pub(crate) fn difference(&self, other: &Self) -> u64 {
        (self.len ^ other.len) as u64
            | self.payload_end ^ other.payload_end
            | self.offset ^ other.offset
            | self.remaining ^ other.remaining
            | self.between_frames ^ other.between_frames
            | self.finish[0] ^ other.finish[0]
            | self.finish[1] ^ other.finish[1]
            | self.finish[2] ^ other.finish[2]
    }
}

/// Kind, value and offset of an outcome; the kind is 0 if it is a success.
pub(crate) fn fault(outcome: Result<(), DecodeError>) -> [u64; 3] {
    let Err(DecodeError { kind, value, offset, .. }) = outcome else { return [0; 3] };
    let kind = match kind {
        DecodeErrorKind::BadStartBit => 0x11,
        DecodeErrorKind::UnsupportedVersion => 0x12,
        DecodeErrorKind::TooManyFiles => 0x13,
        DecodeErrorKind::NameTooLong => 0x14,
        DecodeErrorKind::FileTooLong => 0x15,
        DecodeErrorKind::MessageTooLong => 0x16,
        DecodeErrorKind::FrameTooLong => 0x17,
        DecodeErrorKind::Truncated => 0x18,
        _ => 0x1f,
    };
    [kind, value, offset]
}

pub(crate) const FRAME_START: u64 = 1;
pub(crate) const FILE_START: u64 = 2;
pub(crate) const FILE_DATA: u64 = 3;
pub(crate) const FILE_END: u64 = 4;
pub(crate) const MESSAGE_START: u64 = 5;
pub(crate) const MESSAGE_DATA: u64 = 6;
pub(crate) const FRAME_END: u64 = 7;
/// No kind of event that we know.
pub(crate) const UNKNOWN: u64 = 8;
/// More than a stream of [`CAPACITY`] bytes has.
const ENTRIES: usize = 24;
