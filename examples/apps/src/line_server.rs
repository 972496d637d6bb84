//! The applications over a line without connections that blocks, such as a UART: one peer at its other end, who comes and
//! goes unseen.

use embedded_io::{Read, ReadReady, Write};
use heapless::Vec;
use tej_core::io::blocking::{FrameReader, FrameWriter};
use tej_core::io::{IdleGap, ReadError};
use tej_core::{Decoder, DefaultLimits, Event, Status};

use crate::fmt::{info, warning};
use crate::report::Report;
use crate::{Arguments, Error, GeneratedFile};

/// Answers each frame as a `DigestServer` does, and sends a [`GeneratedFile`] to whoever asks for it.
///
/// To ask is to send a frame without files, with a message such as `send size=262144 seed=42`; the answer is the file's
/// frame. Every other frame is answered with the digests of what is in it.
///
/// `READ`, `STAGE` and `NAME` are the bytes of a read, of what is staged to be written, and of the longest name; `REPORT` is
/// the longest answer.
pub struct LineServer<const READ: usize, const STAGE: usize, const NAME: usize, const REPORT: usize> {
    read: [u8; READ],
    stage: [u8; STAGE],
    name: [u8; NAME],
    report: Report<REPORT>,
}

impl<const READ: usize, const STAGE: usize, const NAME: usize, const REPORT: usize>
    LineServer<READ, STAGE, NAME, REPORT>
{
    /// A server before its first frame; for a `static`. Less than 256 bytes for an answer do not compile.
    pub const fn new() -> Self {
        Self { read: [0; READ], stage: [0; STAGE], name: [0; NAME], report: Report::new() }
    }

    /// Serves whoever is at the other end, for ever. After a fault everything up to the next gap is thrown away, and the
    /// stream begins afresh.
    ///
    /// `after_each` is called after every frame that was answered and every fault, for what a board may want to report then.
    pub fn serve_forever<R, C, W>(
        &mut self,
        mut input: IdleGap<R, C>,
        mut output: W,
        mut after_each: impl FnMut(),
    ) -> !
    where
        R: Read + ReadReady,
        C: FnMut() -> u64,
        W: Write,
    {
        info!("listening on the line");
        loop {
            self.serve(&mut input, &mut output, &mut after_each);
        }
    }

    /// Serves one stream: up to a gap between two frames, or up to the gap after a fault.
    pub fn serve<R, C, W>(&mut self, input: &mut IdleGap<R, C>, output: &mut W, after_each: &mut impl FnMut())
    where
        R: Read + ReadReady,
        C: FnMut() -> u64,
        W: Write,
    {
        match self.answer(input, output, after_each) {
            Ok(()) => return,
            Err(Error::Read(ReadError::Decode(fault))) => warning!("line: peer error: {}", fault),
            Err(_) => warning!("line: cannot be read from or written to"),
        }
        // One that cannot be read from is not read from any better now.
        let _ = input.skip();
        info!("line: silent, so the stream begins afresh");
        after_each();
    }

    /// Answers frames up to the next gap.
    fn answer<R, C, W>(
        &mut self,
        input: &mut IdleGap<R, C>,
        output: &mut W,
        after_each: &mut impl FnMut(),
    ) -> Result<(), Error<R::Error, W::Error>>
    where
        R: Read + ReadReady,
        C: FnMut() -> u64,
        W: Write,
    {
        let Self { read, stage, name, report } = self;
        let mut reader = FrameReader::new(input, read, Decoder::new(name, DefaultLimits));
        let mut writer = FrameWriter::new(output, stage);
        let mut digests = report.of_stream();
        let mut request = Request::default();
        while let Some(event) = reader.next()? {
            match event {
                Event::FrameStart(header) => request = Request::begin(header.files),
                Event::MessageData(piece) => request.push(piece),
                _ => {}
            }
            if digests.is_full_for(&event) {
                writer.send_message(Status::ZERO, digests.lines())?;
                digests.clear();
            }
            if digests.take(event) {
                match request.file() {
                    Some(file) => file.send_blocking(&mut writer)?,
                    None => writer.send_message(Status::ZERO, digests.lines())?,
                }
                digests.clear();
                writer.flush()?;
                info!("answered a frame");
                after_each();
            }
        }
        Ok(())
    }
}

impl<const READ: usize, const STAGE: usize, const NAME: usize, const REPORT: usize> Default
    for LineServer<READ, STAGE, NAME, REPORT>
{
    fn default() -> Self {
        Self::new()
    }
}

/// A frame's message, as far as it may be a request.
#[derive(Default)]
struct Request {
    /// `None`: it is none.
    text: Option<Vec<u8, LONGEST_REQUEST>>,
}

impl Request {
    fn begin(files: u32) -> Self {
        Self { text: (files == 0).then(Vec::new) }
    }

    fn push(&mut self, piece: &[u8]) {
        if self.text.as_mut().is_some_and(|text| text.extend_from_slice(piece).is_err()) {
            self.text = None;
        }
    }

    /// What is asked for.
    fn file(&self) -> Option<GeneratedFile> {
        let text = str::from_utf8(self.text.as_ref()?).ok()?;
        let is_request = text.split_ascii_whitespace().next() == Some("send");
        match Arguments::parse(text) {
            Ok(Arguments {
                peer: None,
                size,
                seed,
                #[cfg(feature = "tls")]
                    server: None,
            }) if is_request => {
                Some(GeneratedFile { seed: seed.unwrap_or(DEFAULT_SEED), size: size.unwrap_or(DEFAULT_SIZE) })
            }
            _ => None,
        }
    }
}

/// Bytes of `send`, both keys and two numbers of 20 digits, and some to spare.
const LONGEST_REQUEST: usize = 80;

/// What is sent where the request does not say.
const DEFAULT_SIZE: u64 = 256 << 10;
const DEFAULT_SEED: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(files: u32, pieces: &[&str]) -> Option<(u64, u64)> {
        let mut request = Request::begin(files);
        for piece in pieces {
            request.push(piece.as_bytes());
        }
        request.file().map(|file| (file.size, file.seed))
    }

    #[test]
    fn a_request_says_what_it_wants_or_gets_the_defaults() {
        assert_eq!(asked(0, &["send"]), Some((DEFAULT_SIZE, DEFAULT_SEED)));
        assert_eq!(asked(0, &["se", "nd size=7 se", "ed=9\n"]), Some((7, 9)));
        let longest = "send size=18446744073709551615 seed=18446744073709551615";
        assert_eq!(asked(0, &[longest]), Some((u64::MAX, u64::MAX)));
    }

    #[test]
    fn what_is_no_request_is_none() {
        for text in ["", "sender", "please send", "send size", "send peer=10.0.2.2:7 size=1", "\u{e9}"] {
            assert_eq!(asked(0, &[text]), None, "{text}");
        }
        assert_eq!(asked(1, &["send"]), None);
        assert_eq!(asked(0, &["send", &" ".repeat(LONGEST_REQUEST)]), None);
    }
}
