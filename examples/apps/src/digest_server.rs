//! Receives files, answers with their digests.

use core::borrow::Borrow;

use embedded_io_async::{Read, Write};
use tej_core::io::{FrameReader, FrameWriter};
use tej_core::{Limits, Status};

use crate::Error;
use crate::report::Report;

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
    report: Report<REPORT>,
    frames: u64,
}

impl<const REPORT: usize> DigestServer<REPORT> {
    /// A server before its first connection; for a `static`. Less than 256 bytes for a report do not compile.
    pub const fn new() -> Self {
        Self { report: Report::new(), frames: 0 }
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
        self.frames = 0;
        let mut digests = self.report.of_stream();
        while let Some(event) = reader.next().await? {
            if digests.is_full_for(&event) {
                writer.send_message(Status::ZERO, digests.lines()).await?;
                digests.clear();
            }
            if digests.take(event) {
                writer.send_message(Status::ZERO, digests.lines()).await?;
                digests.clear();
                self.frames += 1;
            }
        }
        Ok(())
    }

    /// Frames answered on the last connection; pings are none.
    pub fn frames(&self) -> u64 {
        self.frames
    }
}

impl<const REPORT: usize> Default for DigestServer<REPORT> {
    fn default() -> Self {
        Self::new()
    }
}
