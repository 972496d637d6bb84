//! Frames, their files and their message, pulled one after the other.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tej_core::EventSpan;
use tokio::io::{AsyncRead, ReadBuf};

use crate::{Event, FrameHeader, ReceiveError, Receiver, Status};

/// A frame that is being received: its files, each read as a stream, then its message.
///
/// What is not read is passed over, by the next call or by the next
/// [`Receiver::next_frame`]; nothing of it is kept.
///
/// ```
/// # use tej_std::{Config, Receiver};
/// use tokio::io::AsyncReadExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stream = &b"\x80\x01\0\0\0\0\0\0\0\x01\0\x05a.txt\0\0\0\0\0\0\0\x02hi\0\0\0\0\0\0\0\x05Hello"[..];
/// # let mut receiver = Receiver::new(stream, &Config::default());
/// while let Some(mut frame) = receiver.next_frame().await? {
///     while let Some(mut file) = frame.next_file().await? {
///         let mut content = String::new();
///         file.read_to_string(&mut content).await?; // or `tokio::io::copy`, for one of any size
///         assert_eq!((file.name(), content.as_str()), (&b"a.txt"[..], "hi"));
///     }
///     assert_eq!(frame.message().await?, b"Hello");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct IncomingFrame<'r, R> {
    receiver: &'r mut Receiver<R>,
    header: FrameHeader,
    /// The message's size, once its start was found on the way to a file.
    message: Option<u64>,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Receiver<R> {
    /// The next frame, or `None` when the peer ended its stream between two frames. What is left of the one before is
    /// passed over first.
    ///
    /// # Errors
    ///
    /// As for [`next`](Self::next).
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses nothing of the next frame; call it again.
    pub async fn next_frame(&mut self) -> Result<Option<IncomingFrame<'_, R>>, ReceiveError> {
        loop {
            match self.next().await? {
                Some(Event::FrameStart(header)) => {
                    return Ok(Some(IncomingFrame { receiver: self, header, message: None, ended: false }));
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }
}

impl<R: AsyncRead + Unpin> IncomingFrame<'_, R> {
    /// Status, version and the number of files.
    pub fn header(&self) -> FrameHeader {
        self.header
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.header.status
    }

    /// The next file, or `None` after the last. What was not read of the one before is passed over.
    ///
    /// # Errors
    ///
    /// As for [`Receiver::next`].
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses nothing of the next file; call it again.
    pub async fn next_file(&mut self) -> Result<Option<IncomingFile<'_, R>>, ReceiveError> {
        loop {
            if self.ended || self.message.is_some() {
                return Ok(None);
            }
            let found = match self.event().await? {
                Event::FileStart { name, size } => Some((name.to_vec(), size)),
                _ => None,
            };
            if let Some((name, size)) = found {
                let file =
                    IncomingFile { receiver: &mut *self.receiver, name, size, chunk: None, ended: false };
                return Ok(Some(file));
            }
        }
    }

    /// Size of the message in bytes, 0 where there is none. Files that were not asked for are passed over.
    ///
    /// # Errors
    ///
    /// As for [`Receiver::next`].
    pub async fn message_size(&mut self) -> Result<u64, ReceiveError> {
        while self.message.is_none() && !self.ended {
            self.event().await?;
        }
        Ok(self.message.unwrap_or(0))
    }

    /// What is left of the message, whole: not more than [`Limits::message`](crate::Limits::message), which is to be
    /// chosen with the memory in mind. Room is made for what has come, never for what was announced.
    ///
    /// # Errors
    ///
    /// As for [`Receiver::next`].
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses what came of the message.
    pub async fn message(&mut self) -> Result<Vec<u8>, ReceiveError> {
        let mut message = Vec::new();
        while let Some(chunk) = self.next_message_chunk().await? {
            message.extend_from_slice(chunk);
        }
        Ok(message)
    }

    /// The next bytes of the message, for one that is too large for memory; `None` after the last.
    ///
    /// # Errors
    ///
    /// As for [`Receiver::next`].
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses nothing; call it again.
    pub async fn next_message_chunk(&mut self) -> Result<Option<&[u8]>, ReceiveError> {
        let span = loop {
            if self.ended {
                return Ok(None);
            }
            let span = self.span().await?;
            if matches!(self.receiver.resolve(span), Event::MessageData(_)) {
                break span;
            }
        };
        match self.receiver.resolve(span) {
            Event::MessageData(chunk) => Ok(Some(chunk)),
            _ => Ok(None),
        }
    }

    /// Passes over what is left of the frame, so that it is known to be complete.
    ///
    /// # Errors
    ///
    /// As for [`Receiver::next`].
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses nothing that was wanted; call it again.
    pub async fn finish(&mut self) -> Result<(), ReceiveError> {
        while self.next_message_chunk().await?.is_some() {}
        Ok(())
    }

    /// The next event of this frame, which has not ended.
    async fn event(&mut self) -> Result<Event<'_>, ReceiveError> {
        let span = self.span().await?;
        Ok(self.receiver.resolve(span))
    }

    /// Finds the next event, and notes what it says of the place in the frame.
    async fn span(&mut self) -> Result<EventSpan, ReceiveError> {
        let span = self.receiver.next_span().await?;
        // Inside a frame the end of the stream is an error.
        let span = span.ok_or_else(|| ReceiveError::Io(io::ErrorKind::UnexpectedEof.into()))?;
        match self.receiver.resolve(span) {
            Event::MessageStart { size } => self.message = Some(size),
            Event::FrameEnd => self.ended = true,
            _ => {}
        }
        Ok(span)
    }
}

/// A file that is being received, to be read to its end as any other stream.
///
/// A read fails with the [`ReceiveError`] that [`Receiver::next`] would have failed with, inside of an [`io::Error`].
/// Dropped before its end, it leaves its rest to be passed over.
#[derive(Debug)]
pub struct IncomingFile<'r, R> {
    receiver: &'r mut Receiver<R>,
    name: Vec<u8>,
    size: u64,
    /// What the buffer holds of it, and how much of that was read.
    chunk: Option<(EventSpan, usize)>,
    ended: bool,
}

impl<R> IncomingFile<'_, R> {
    /// The name: UTF-8 by convention, and a stranger's: never a path to open as it stands.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Its size in bytes, as announced.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for IncomingFile<'_, R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if let Some((span, read)) = this.chunk
                && let Event::FileData(chunk) = this.receiver.resolve(span)
            {
                let unread = chunk.get(read..).unwrap_or_default();
                let n = unread.len().min(buf.remaining());
                buf.put_slice(&unread[..n]);
                this.chunk = (n < unread.len()).then_some((span, read + n));
                return Poll::Ready(Ok(()));
            }
            if this.ended || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let span = match ready!(this.receiver.poll_next(cx)) {
                Ok(span) => span.ok_or(io::ErrorKind::UnexpectedEof)?,
                Err(error) => return Poll::Ready(Err(error.into())),
            };
            match this.receiver.resolve(span) {
                Event::FileData(_) => this.chunk = Some((span, 0)),
                _ => this.ended = true,
            }
        }
    }
}
