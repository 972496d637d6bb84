//! Receives files, answers with their digests.

use core::borrow::Borrow;
use core::fmt::Write as _;

use embedded_io_async::{Read, Write};
use heapless::Vec;
use sha2::{Digest, Sha256};
use tej_core::io::{FrameReader, FrameWriter, WriteError};
use tej_core::{Event, Limits, Status};

use crate::{Error, hex, printable};

/// Hashes everything it receives, whatever the size, and answers each frame with a report.
///
/// The answer is a frame with status 0 and without files. Its message has one line per file, in order, then one for
/// the message; every line ends in `\n`:
///
/// ```text
/// 8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4 2 a.txt
/// message 185f8db32271fe25f561a6fc938b2e264306ec304eda518007d1764826381969 5
/// ```
///
/// That is the SHA-256, the size in bytes and the name; single spaces, the name last. In the name, each byte of what
/// does not show, is no UTF-8 or is a backslash is written `\xNN`, so a line is always one line; a name too long for
/// any report is cut and ends in `\...`.
///
/// `REPORT` bytes hold the report. When a line does not fit, what is there is sent as a frame of its own and the
/// report goes on in the next: the answer to a frame ends with the line that begins `message `.
///
/// A ping gets no answer.
///
/// # Back-pressure
///
/// The next frame is received only when the answer has been handed to the transport. A peer that receives while it
/// sends, as TEJ asks of it, always takes the answer sooner or later, and both go on. One that never reads stops its
/// own connection alone, until the transport's write timeout ends it.
pub struct DigestServer<const REPORT: usize = 2048> {
    report: Vec<u8, REPORT>,
    /// Where the digest of the line begun last belongs.
    digest_at: usize,
    frames: u64,
}

impl<const REPORT: usize> DigestServer<REPORT> {
    /// A server before its first connection; for a `static`. Less than 256 bytes for a report do not compile.
    pub const fn new() -> Self {
        const { assert!(REPORT >= 256, "a report must hold a line with a name that says something") };
        Self { report: Vec::new(), digest_at: 0, frames: 0 }
    }

    /// Serves one connection from its start to its end: `Ok` when the peer has ended its stream between two frames.
    /// Closing the connection is the caller's.
    ///
    /// # Errors
    ///
    /// The peer's faults and the transport's errors; see [`Error`]. Complete frames before them have been answered.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the connection good for closing only.
    pub async fn run<R, B, N, L, W, S>(
        &mut self,
        reader: &mut FrameReader<R, B, N, L>,
        writer: &mut FrameWriter<W, S>,
    ) -> Result<(), Error<R::Error, W::Error>>
    where
        R: Read,
        B: AsRef<[u8]> + AsMut<[u8]>,
        N: AsRef<[u8]> + AsMut<[u8]>,
        L: Borrow<Limits>,
        W: Write,
        S: AsRef<[u8]> + AsMut<[u8]>,
    {
        self.report.clear();
        self.frames = 0;
        let mut hash = Sha256::new();
        let mut is_ping = false;
        while let Some(event) = reader.next().await? {
            match event {
                Event::FrameStart(header) => is_ping = header.status.is_ping(),
                _ if is_ping => {}
                Event::FileStart { name, size } => {
                    self.make_room(FILE_LINE + printable::escaped_len(name).min(Self::NAME), writer).await?;
                    self.begin_file_line(name, size);
                }
                Event::MessageStart { size } => {
                    self.make_room(MESSAGE_LINE, writer).await?;
                    self.begin_message_line(size);
                }
                Event::FileData(piece) | Event::MessageData(piece) => hash.update(piece),
                Event::FileEnd => self.finish_line(&mut hash),
                Event::FrameEnd => {
                    self.finish_line(&mut hash);
                    self.send(writer).await?;
                    self.frames += 1;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Frames answered on the last connection; pings are none.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The longest name, escaped, for which a line fits into an empty report.
    const NAME: usize = REPORT - FILE_LINE;

    async fn make_room<W, S>(
        &mut self,
        len: usize,
        writer: &mut FrameWriter<W, S>,
    ) -> Result<(), WriteError<W::Error>>
    where
        W: Write,
        S: AsRef<[u8]> + AsMut<[u8]>,
    {
        if self.report.len() + len > REPORT { self.send(writer).await } else { Ok(()) }
    }

    async fn send<W, S>(&mut self, writer: &mut FrameWriter<W, S>) -> Result<(), WriteError<W::Error>>
    where
        W: Write,
        S: AsRef<[u8]> + AsMut<[u8]>,
    {
        writer.send_message(Status::ZERO, &self.report).await?;
        self.report.clear();
        Ok(())
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
        let place = self.report.iter_mut().skip(self.digest_at);
        for (place, digit) in place.zip(hex::digits(&digest)) {
            *place = digit;
        }
    }

    fn put_digest_place(&mut self) {
        self.digest_at = self.report.len();
        self.put(&[b'0'; DIGEST]);
    }

    fn put_size(&mut self, size: u64) {
        let fits = write!(self.report, " {size}").is_ok();
        debug_assert!(fits, "make_room has made too little room");
    }

    fn put(&mut self, bytes: &[u8]) {
        let fits = self.report.extend_from_slice(bytes).is_ok();
        debug_assert!(fits, "make_room has made too little room");
    }
}

impl<const REPORT: usize> Default for DigestServer<REPORT> {
    fn default() -> Self {
        Self::new()
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
