//! What a digest server says of a frame, line by line. No I/O: a loop hands each event over and sends what is due.

use core::fmt::Write as _;

use heapless::Vec;
use sha2::{Digest, Sha256};
use tej_core::Event;

use crate::{hex, printable};

/// Lines that have not been sent, `CAPACITY` bytes of them.
pub(crate) struct Report<const CAPACITY: usize> {
    lines: Vec<u8, CAPACITY>,
    /// Where the digest of the line begun last belongs.
    digest_at: usize,
}

impl<const CAPACITY: usize> Report<CAPACITY> {
    pub(crate) const fn new() -> Self {
        const { assert!(CAPACITY >= 256, "a report must hold a line with a name that says something") };
        Self { lines: Vec::new(), digest_at: 0 }
    }

    /// The hashing of a stream from its start. What is left of another one's report is dropped.
    pub(crate) fn of_stream(&mut self) -> Digests<'_, CAPACITY> {
        self.lines.clear();
        Digests { report: self, hash: Sha256::new(), is_ping: false }
    }

    /// The longest name, escaped, for which a line fits into an empty report.
    const NAME: usize = CAPACITY - FILE_LINE;

    fn has_room(&self, len: usize) -> bool {
        self.lines.len() + len <= CAPACITY
    }

    /// The name is there before the digest, so the line is written at once, and the digest put in its place later.
    fn begin_file_line(&mut self, name: &[u8], size: u64) {
        self.put_digest_place();
        self.put_size(size);
        self.put(b" ");
        printable::escape_within(Self::NAME, name, |piece| self.put(piece));
        self.put(b"\n");
    }

    fn begin_message_line(&mut self, size: u64) {
        self.put(MESSAGE);
        self.put_digest_place();
        self.put_size(size);
        self.put(b"\n");
    }

    fn finish_line(&mut self, hash: &mut Sha256) {
        let digest = hash.finalize_reset();
        let place = self.lines.iter_mut().skip(self.digest_at);
        for (place, digit) in place.zip(hex::digits(&digest)) {
            *place = digit;
        }
    }

    fn put_digest_place(&mut self) {
        self.digest_at = self.lines.len();
        self.put(&[b'0'; DIGEST]);
    }

    fn put_size(&mut self, size: u64) {
        let fits = write!(self.lines, " {size}").is_ok();
        debug_assert!(fits, "there is too little room");
    }

    fn put(&mut self, bytes: &[u8]) {
        let fits = self.lines.extend_from_slice(bytes).is_ok();
        debug_assert!(fits, "there is too little room");
    }
}

/// The digests of what is on one stream, from its events. A ping has none.
pub(crate) struct Digests<'r, const CAPACITY: usize> {
    report: &'r mut Report<CAPACITY>,
    hash: Sha256,
    is_ping: bool,
}

impl<const CAPACITY: usize> Digests<'_, CAPACITY> {
    /// Whether what is there has to be sent before the event is [taken](Self::take), for want of room.
    pub(crate) fn is_full_for(&self, event: &Event<'_>) -> bool {
        let needed = match event {
            _ if self.is_ping => 0,
            Event::FileStart { name, .. } => {
                FILE_LINE + printable::escaped_len(name).min(Report::<CAPACITY>::NAME)
            }
            Event::MessageStart { .. } => MESSAGE_LINE,
            _ => 0,
        };
        !self.report.has_room(needed)
    }

    /// Takes the next event. `true`: the frame has ended, and what is there is to be sent.
    pub(crate) fn take(&mut self, event: Event<'_>) -> bool {
        match event {
            Event::FrameStart(header) => self.is_ping = header.status.is_ping(),
            _ if self.is_ping => {}
            Event::FileStart { name, size } => self.report.begin_file_line(name, size),
            Event::MessageStart { size } => self.report.begin_message_line(size),
            Event::FileData(piece) | Event::MessageData(piece) => self.hash.update(piece),
            Event::FileEnd => self.report.finish_line(&mut self.hash),
            Event::FrameEnd => {
                self.report.finish_line(&mut self.hash);
                return true;
            }
            _ => {}
        }
        false
    }

    /// The lines to be sent.
    pub(crate) fn lines(&self) -> &[u8] {
        &self.report.lines
    }

    /// They were sent, or are not to be.
    pub(crate) fn clear(&mut self) {
        self.report.lines.clear();
    }
}

const MESSAGE: &[u8] = b"message ";
/// Digits of a SHA-256.
const DIGEST: usize = 64;
/// Digits of the largest 64-bit number.
const NUMBER: usize = 20;
/// Bytes of a file's line, without the name.
const FILE_LINE: usize = DIGEST + 1 + NUMBER + 1 + 1;
/// Bytes of the message's line.
const MESSAGE_LINE: usize = MESSAGE.len() + DIGEST + 1 + NUMBER + 1;
