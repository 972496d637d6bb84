//! The codec over an `embedded_io_async` transport: UART, USB, TCP, TLS, a pipe.
//!
//! [`FrameReader`] and [`FrameWriter`] are independent, so the two halves of a full-duplex transport can be driven
//! by two tasks, and must be when both peers may push: a side that only writes while its peer only writes waits
//! for ever.

use core::borrow::Borrow;
use core::fmt;

use embedded_io_async::{Read, Write};

use crate::{DecodeError, Decoder, EncodeError, Encoder, Event, EventSpan, Limits, Status};

/// Reads [`Event`]s from a transport through a buffer of the caller's.
///
/// `B` is the buffer, of any length from 1: a longer one means fewer, larger reads and payload chunks. Bytes that
/// were read ahead of the current event stay in it.
#[derive(Debug)]
pub struct FrameReader<R, B, N = [u8; 255], L = &'static Limits> {
    io: R,
    buffer: DecodeBuffer<B, N, L>,
}

impl<R, B, N, L> FrameReader<R, B, N, L>
where
    R: Read,
    B: AsRef<[u8]> + AsMut<[u8]>,
    N: AsRef<[u8]> + AsMut<[u8]>,
    L: Borrow<Limits>,
{
    /// A reader at the start of a stream. A `buffer` of length 0 makes every read look like the end of the stream.
    pub const fn new(io: R, buffer: B, decoder: Decoder<N, L>) -> Self {
        Self { io, buffer: DecodeBuffer::new(buffer, decoder) }
    }

    /// The next event, or `None` when the stream ended between two frames.
    ///
    /// # Errors
    ///
    /// [`ReadError::Io`] from the transport; a later call tries again. [`ReadError::Decode`] for a fault of the peer,
    /// which is sticky, and for an end of the stream inside a frame.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing if dropping the transport's `read` loses nothing: there is no other
    /// `await`, and what was read is kept.
    #[allow(clippy::should_implement_trait, reason = "a lending iterator, and async")]
    pub async fn next(&mut self) -> Result<Option<Event<'_>>, ReadError<R::Error>> {
        let span = loop {
            if let Some(span) = self.buffer.poll()? {
                break span;
            }
            let n = self.io.read(self.buffer.space()).await.map_err(ReadError::Io)?;
            if n == 0 {
                self.buffer.decoder.finish()?;
                return Ok(None);
            }
            self.buffer.filled(n);
        };
        Ok(Some(self.buffer.resolve(span)))
    }

    /// Bytes of the stream that were decoded so far.
    pub fn offset(&self) -> u64 {
        self.buffer.decoder.offset()
    }

    /// The decoder, for its questions: what is left of the payload, the limits.
    pub fn decoder(&self) -> &Decoder<N, L> {
        &self.buffer.decoder
    }

    /// Whether the last event ended a frame, or none was ever begun. Bytes of the next one may have been read ahead.
    pub fn is_between_frames(&self) -> bool {
        self.buffer.decoder.is_between_frames()
    }

    /// The transport, to configure or to close it. Bytes read from it directly are lost to the decoder.
    pub fn io_mut(&mut self) -> &mut R {
        &mut self.io
    }

    /// Gives the transport and the buffer back; bytes that were read ahead are lost.
    pub fn into_parts(self) -> (R, B) {
        (self.io, self.buffer.bytes)
    }
}

/// Writes frames to a transport; payload may come in pieces of any size.
///
/// `B` is the staging buffer: heads and small pieces collect in it, so that a head travels with the first bytes
/// of its payload and small frames share a segment. Slices longer than the free space fill it up, and the rest
/// goes to the transport directly. With a buffer of length 0 every piece goes out by itself.
///
/// Nothing has to leave before [`push`](Self::push) or [`flush`](Self::flush).
///
/// # Cancel safety
///
/// A write that is cut off leaves the peer with an unknown part of a frame. So when a future of this type is
/// dropped while it waits for the transport, or fails with [`WriteError::Io`] or [`WriteError::Closed`], the
/// writer is *interrupted*: every later call returns [`WriteError::Interrupted`] ([`EncodeError::Aborted`] from
/// [`commit_payload`](Self::commit_payload)), and the connection can only be closed.
#[derive(Debug)]
pub struct FrameWriter<W, B> {
    io: W,
    stage: B,
    staged: usize,
    encoder: Encoder,
    interrupted: bool,
}

impl<W: Write, B: AsRef<[u8]> + AsMut<[u8]>> FrameWriter<W, B> {
    /// A writer between two frames.
    pub const fn new(io: W, stage: B) -> Self {
        Self { io, stage, staged: 0, encoder: Encoder::new(), interrupted: false }
    }

    /// Begins a frame of `files` files: [`start_file`](Self::start_file) that many times, each followed by its
    /// payload, then [`start_message`](Self::start_message) and its payload.
    ///
    /// # Errors
    ///
    /// Besides the transport's, those of [`Encoder::start_frame`].
    pub async fn start_frame(&mut self, status: Status, files: u32) -> Result<(), WriteError<W::Error>> {
        self.check()?;
        let head = self.encoder.start_frame(status, files)?;
        self.put(&head).await
    }

    /// Begins the next file, of `size` bytes.
    ///
    /// # Errors
    ///
    /// Besides the transport's, those of [`Encoder::start_file`].
    pub async fn start_file(&mut self, name: &[u8], size: u64) -> Result<(), WriteError<W::Error>> {
        self.check()?;
        let head = self.encoder.start_file(name, size)?;
        self.put(&head.name_len).await?;
        self.put(name).await?;
        self.put(&head.size).await
    }

    /// Begins the message, of `size` bytes; its last byte ends the frame, at once if `size` is 0.
    ///
    /// # Errors
    ///
    /// Besides the transport's, those of [`Encoder::start_message`].
    pub async fn start_message(&mut self, size: u64) -> Result<(), WriteError<W::Error>> {
        self.check()?;
        let head = self.encoder.start_message(size)?;
        self.put(&head).await
    }

    /// Writes the next bytes of the current file or message, all of `payload`.
    ///
    /// # Errors
    ///
    /// [`EncodeError::PayloadOverrun`] when that is more than was announced; nothing of it is written.
    pub async fn write_payload(&mut self, payload: &[u8]) -> Result<(), WriteError<W::Error>> {
        self.check()?;
        self.encoder.payload(payload.len() as u64)?;
        self.put(payload).await
    }

    /// Free space of the staging buffer, to produce payload in place (from a disk, a sensor, a generator) instead of
    /// copying it there; at most the rest of the current payload. Say with
    /// [`commit_payload`](Self::commit_payload) how much was filled in.
    ///
    /// Empty only when no payload is due, or the buffer has no length.
    ///
    /// # Errors
    ///
    /// Those of the transport: a full buffer is written out first.
    pub async fn payload_space(&mut self) -> Result<&mut [u8], WriteError<W::Error>> {
        self.check()?;
        if self.staged >= self.stage.as_ref().len() {
            self.push().await?;
        }
        let remaining = usize::try_from(self.encoder.payload_remaining()).unwrap_or(usize::MAX);
        let space = self.stage.as_mut().get_mut(self.staged..).unwrap_or_default();
        let len = space.len().min(remaining);
        Ok(space.get_mut(..len).unwrap_or_default())
    }

    /// Takes the first `n` bytes of [`payload_space`](Self::payload_space) as the next payload.
    ///
    /// # Errors
    ///
    /// [`EncodeError::PayloadOverrun`] when `n` is more than that space; nothing is taken.
    /// [`EncodeError::Aborted`] when the writer is interrupted.
    pub fn commit_payload(&mut self, n: usize) -> Result<(), EncodeError> {
        if self.interrupted {
            return Err(EncodeError::Aborted);
        }
        let free = self.stage.as_ref().len().saturating_sub(self.staged);
        if n > free {
            return Err(EncodeError::PayloadOverrun { offered: n as u64, remaining: free as u64 });
        }
        self.encoder.payload(n as u64)?;
        self.staged = self.staged.saturating_add(n);
        Ok(())
    }

    /// Writes a whole frame without files, and hands it to the transport.
    ///
    /// # Errors
    ///
    /// Those of the transport; [`EncodeError::OutOfOrder`] or [`EncodeError::PayloadMissing`] inside another frame.
    pub async fn send_message(&mut self, status: Status, message: &[u8]) -> Result<(), WriteError<W::Error>> {
        self.start_frame(status, 0).await?;
        self.start_message(message.len() as u64).await?;
        self.write_payload(message).await?;
        self.push().await
    }

    /// Writes an empty frame of [`Status::PING`], and hands it to the transport.
    ///
    /// # Errors
    ///
    /// As for [`send_message`](Self::send_message).
    pub async fn send_ping(&mut self) -> Result<(), WriteError<W::Error>> {
        self.send_message(Status::PING, &[]).await
    }

    /// Hands everything staged to the transport, without waiting for it to arrive.
    ///
    /// # Errors
    ///
    /// Those of the transport.
    pub async fn push(&mut self) -> Result<(), WriteError<W::Error>> {
        self.check()?;
        self.interrupted = true;
        self.write_stage().await?;
        self.interrupted = false;
        Ok(())
    }

    /// [`push`](Self::push), then the transport's own `flush`.
    ///
    /// # Errors
    ///
    /// Those of the transport.
    pub async fn flush(&mut self) -> Result<(), WriteError<W::Error>> {
        self.push().await?;
        self.interrupted = true;
        self.io.flush().await.map_err(WriteError::Io)?;
        self.interrupted = false;
        Ok(())
    }

    /// The books: what is still to come of the current payload, and whether a frame is open.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The transport, to configure or to close it. Bytes written to it directly break the stream.
    pub fn io_mut(&mut self) -> &mut W {
        &mut self.io
    }

    /// Gives the transport and the staging buffer back; bytes that were staged are lost.
    pub fn into_parts(self) -> (W, B) {
        (self.io, self.stage)
    }

    /// Stages or writes all of `bytes`; the writer has been checked.
    async fn put(&mut self, mut bytes: &[u8]) -> Result<(), WriteError<W::Error>> {
        self.interrupted = true;
        while !bytes.is_empty() {
            let capacity = self.stage.as_ref().len();
            if self.staged == 0 && bytes.len() >= capacity {
                let n = write_some(&mut self.io, bytes).await?;
                bytes = bytes.get(n..).unwrap_or_default();
                continue;
            }
            let space = self.stage.as_mut().get_mut(self.staged..).unwrap_or_default();
            let n = space.len().min(bytes.len());
            if let (Some(space), Some((now, later))) = (space.get_mut(..n), bytes.split_at_checked(n)) {
                space.copy_from_slice(now);
                bytes = later;
            }
            self.staged = self.staged.saturating_add(n);
            if self.staged >= capacity {
                self.write_stage().await?;
            }
        }
        self.interrupted = false;
        Ok(())
    }

    async fn write_stage(&mut self) -> Result<(), WriteError<W::Error>> {
        let mut bytes = self.stage.as_ref().get(..self.staged).unwrap_or_default();
        while !bytes.is_empty() {
            let n = write_some(&mut self.io, bytes).await?;
            bytes = bytes.get(n..).unwrap_or_default();
        }
        self.staged = 0;
        Ok(())
    }

    fn check(&self) -> Result<(), WriteError<W::Error>> {
        if self.interrupted { Err(WriteError::Interrupted) } else { Ok(()) }
    }
}

/// A [`Decoder`] and the bytes it has not consumed, without the reading: the part of [`FrameReader`] that is the
/// same whether the transport is async, blocking or somebody else's.
///
/// ```
/// use std::io::Read;
/// use tej_core::{Decoder, Event, Limits, io::DecodeBuffer};
///
/// let mut transport: &[u8] = b"\x82\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// let mut buffer = DecodeBuffer::new([0; 7], Decoder::new([0; 64], &Limits::DEFAULT));
/// let mut events = 0;
/// loop {
///     while let Some(span) = buffer.poll()? {
///         if let Event::FrameStart(header) = buffer.resolve(span) {
///             assert!(header.status.is_ping());
///         }
///         events += 1;
///     }
///     let n = transport.read(buffer.space())?;
///     if n == 0 {
///         break;
///     }
///     buffer.filled(n);
/// }
/// assert_eq!(events, 3);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DecodeBuffer<B, N = [u8; 255], L = &'static Limits> {
    bytes: B,
    /// Where the event that was found last begins, then what is not decoded yet, then the free space.
    event_at: usize,
    start: usize,
    end: usize,
    decoder: Decoder<N, L>,
}

impl<B, N, L> DecodeBuffer<B, N, L>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    N: AsRef<[u8]> + AsMut<[u8]>,
    L: Borrow<Limits>,
{
    /// An empty buffer before `decoder`.
    pub const fn new(bytes: B, decoder: Decoder<N, L>) -> Self {
        Self { bytes, event_at: 0, start: 0, end: 0, decoder }
    }

    /// The next event in the bytes that are here; `None` when all of them are decoded and more are needed.
    ///
    /// # Errors
    ///
    /// A fault of the peer; sticky.
    pub fn poll(&mut self) -> Result<Option<EventSpan>, DecodeError> {
        let input = self.bytes.as_ref().get(self.start..self.end).unwrap_or_default();
        let step = self.decoder.step(input)?;
        self.event_at = self.start;
        self.start = self.start.saturating_add(step.consumed);
        Ok(step.event)
    }

    /// Borrows the event that the last [`poll`](Self::poll) found.
    pub fn resolve(&self, span: EventSpan) -> Event<'_> {
        let input = self.bytes.as_ref().get(self.event_at..self.end).unwrap_or_default();
        self.decoder.resolve(span, input)
    }

    /// The buffer to read into, whole. Call it when [`poll`](Self::poll) returned `None`; bytes not decoded
    /// yet are dropped otherwise.
    pub fn space(&mut self) -> &mut [u8] {
        self.start = 0;
        self.end = 0;
        self.bytes.as_mut()
    }

    /// Says that `n` bytes were read into [`space`](Self::space).
    pub fn filled(&mut self, n: usize) {
        self.end = n.min(self.bytes.as_ref().len());
    }

    /// The buffer itself, for one that can grow. What was read and not decoded lies at its start, or after what was
    /// decoded: a longer buffer must keep all its bytes where they are.
    pub fn bytes_mut(&mut self) -> &mut B {
        &mut self.bytes
    }

    /// The decoder, for [`Decoder::finish`] and its other questions.
    pub fn decoder(&self) -> &Decoder<N, L> {
        &self.decoder
    }
}

/// Why reading failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ReadError<E> {
    /// The transport failed.
    Io(E),
    /// The peer's stream is wrong.
    Decode(DecodeError),
}

impl<E> From<DecodeError> for ReadError<E> {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl<E: fmt::Debug> fmt::Display for ReadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the transport failed: {error:?}"),
            Self::Decode(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for ReadError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        if let Self::Decode(error) = self { Some(error) } else { None }
    }
}

/// Why writing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WriteError<E> {
    /// The transport failed.
    Io(E),
    /// The transport accepted no more bytes.
    Closed,
    /// A mistake of the caller; nothing was written.
    Encode(EncodeError),
    /// An earlier write failed or was dropped before it was done: close the connection.
    Interrupted,
}

impl<E> From<EncodeError> for WriteError<E> {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl<E: fmt::Debug> fmt::Display for WriteError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the transport failed: {error:?}"),
            Self::Closed => write!(f, "the transport accepts no more bytes"),
            Self::Encode(error) => error.fmt(f),
            Self::Interrupted => write!(f, "an earlier write did not finish"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for WriteError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        if let Self::Encode(error) = self { Some(error) } else { None }
    }
}

async fn write_some<W: Write>(io: &mut W, bytes: &[u8]) -> Result<usize, WriteError<W::Error>> {
    match io.write(bytes).await {
        Ok(0) => Err(WriteError::Closed),
        Ok(n) => Ok(n),
        Err(error) => Err(WriteError::Io(error)),
    }
}
