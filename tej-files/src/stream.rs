//! Files that are streams of embedded-io: an open file of an SD card's file system, a serial line.

use embedded_io_async::{Read, Seek, SeekFrom, Write};

use crate::{FileSink, FileSource, Refusal, StartError};

/// Writes files to a stream, one behind the other.
///
/// A stream takes nothing back. After a file that did not come to its end, all others are refused.
#[derive(Debug)]
pub struct StreamSink<W> {
    io: W,
    is_torn: bool,
}

impl<W: Write> StreamSink<W> {
    /// A sink at the place where the stream is.
    pub const fn new(io: W) -> Self {
        Self { io, is_torn: false }
    }

    /// Whether a part of a file is in the stream, and no more of it will come.
    pub fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// Gives the stream back.
    pub fn into_inner(self) -> W {
        self.io
    }
}

/// Without the stream.
#[cfg(feature = "defmt")]
impl<W> defmt::Format for StreamSink<W> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "StreamSink {{ is_torn: {=bool} }}", self.is_torn);
    }
}

impl<W: Write> FileSink for StreamSink<W> {
    type Error = StreamError<W::Error>;

    async fn start(&mut self, _name: &[u8], _size: u64) -> Result<(), StartError<Self::Error>> {
        if self.is_torn { Err(StartError::Refused(Refusal::Unavailable)) } else { Ok(()) }
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Self::Error> {
        while !bytes.is_empty() {
            match self.io.write(bytes).await.map_err(StreamError::Io)? {
                0 => return Err(StreamError::Closed),
                n => bytes = bytes.get(n..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Self::Error> {
        self.io.flush().await.map_err(StreamError::Io)
    }

    async fn abandon(&mut self) {
        self.is_torn = true;
    }
}

/// Why a file could not be written to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StreamError<E> {
    /// The stream failed.
    Io(E),
    /// The stream takes no more bytes.
    Closed,
}

/// A file that is a stream with a position.
#[derive(Debug)]
pub struct SeekSource<R> {
    io: R,
    /// Where the stream is, if that is known.
    at: Option<u64>,
}

impl<R: Read + Seek> SeekSource<R> {
    /// All of the stream, wherever it is now.
    pub const fn new(io: R) -> Self {
        Self { io, at: None }
    }

    /// Gives the stream back, at no place in particular.
    pub fn into_inner(self) -> R {
        self.io
    }

    async fn seek(&mut self, to: SeekFrom) -> Result<u64, R::Error> {
        self.at = None;
        let at = self.io.seek(to).await?;
        self.at = Some(at);
        Ok(at)
    }
}

/// Without the stream.
#[cfg(feature = "defmt")]
impl<R> defmt::Format for SeekSource<R> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "SeekSource {{ at: {} }}", self.at);
    }
}

impl<R: Read + Seek> FileSource for SeekSource<R> {
    type Error = R::Error;

    async fn size(&mut self) -> Result<u64, R::Error> {
        self.seek(SeekFrom::End(0)).await
    }

    async fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, R::Error> {
        if self.at != Some(offset) {
            self.seek(SeekFrom::Start(offset)).await?;
        }
        // Where a read leaves the stream that fails or is dropped, nobody knows.
        self.at = None;
        let n = self.io.read(buffer).await?;
        self.at = Some(offset.saturating_add(n as u64));
        Ok(n)
    }
}
