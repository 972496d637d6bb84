//! Where files come from.

use core::fmt;

use embedded_io_async::Write;
use tej_core::io::{FrameWriter, WriteError};

/// A file to send, from RAM, flash, an SD card. It is read piece by piece, at any offset, so that it can be sent again from
/// the middle.
#[allow(async_fn_in_trait, reason = "as in embedded_io_async: executors of devices do not ask for `Send`")]
pub trait FileSource {
    /// Why the file could not be read.
    type Error;

    /// Bytes of the file.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    async fn size(&mut self) -> Result<u64, Self::Error>;

    /// Reads from `offset` on into `buffer`, which is not empty, and says how many bytes: at least one, and 0 at the end
    /// of the file alone.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the next call says where to read.
    async fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Self::Error>;
}

/// A source that is lent.
impl<S: FileSource> FileSource for &mut S {
    type Error = S::Error;

    async fn size(&mut self) -> Result<u64, Self::Error> {
        S::size(self).await
    }

    async fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        S::read_at(self, offset, buffer).await
    }
}

/// Sends `source` as the next file of the frame that `writer` is in, straight into its staging buffer, and returns its
/// size. The buffer must have a length.
///
/// # Errors
///
/// Before the file was announced, the frame is as it was; later, it cannot be completed any more: close the connection,
/// and the peer sees it truncated.
///
/// # Cancel safety
///
/// After a dropped future the connection can only be closed.
pub async fn send_file<W, B, S>(
    writer: &mut FrameWriter<W, B>,
    name: &[u8],
    mut source: S,
) -> Result<u64, SendFileError<W::Error, S::Error>>
where
    W: Write,
    B: AsRef<[u8]> + AsMut<[u8]>,
    S: FileSource,
{
    let size = source.size().await.map_err(SendFileError::Source)?;
    writer.start_file(name, size).await?;
    loop {
        let missing = writer.encoder().payload_remaining();
        if missing == 0 {
            return Ok(size);
        }
        let space = writer.payload_space().await?;
        if space.is_empty() {
            return Err(SendFileError::NoStage);
        }
        let read = source.read_at(size - missing, space).await.map_err(SendFileError::Source)?;
        if read == 0 {
            return Err(SendFileError::Shrunk { missing });
        }
        writer.commit_payload(read).map_err(WriteError::Encode)?;
    }
}

/// Why a file could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SendFileError<W, S> {
    /// The writer failed.
    Write(WriteError<W>),
    /// The source failed.
    Source(S),
    /// The source ended before the size that it had announced.
    Shrunk {
        /// Bytes that were still to come.
        missing: u64,
    },
    /// The writer's staging buffer has no length.
    NoStage,
}

impl<W, S> From<WriteError<W>> for SendFileError<W, S> {
    fn from(error: WriteError<W>) -> Self {
        Self::Write(error)
    }
}

impl<W: fmt::Debug, S: fmt::Debug> fmt::Display for SendFileError<W, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(error) => error.fmt(f),
            Self::Source(error) => write!(f, "the file cannot be read: {error:?}"),
            Self::Shrunk { missing } => write!(f, "the file ended {missing} bytes too early"),
            Self::NoStage => f.write_str("the writer has no staging buffer"),
        }
    }
}

impl<W: fmt::Debug, S: fmt::Debug> core::error::Error for SendFileError<W, S> {}
