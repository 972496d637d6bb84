//! The loops over `embedded_io_async`.

use core::borrow::Borrow;

use embedded_io_async::{BufRead, ErrorType, Read, Write};

use super::{DecodeBuffer, EncodeBuffer, ReadError, Staged, WriteError, encode_buffer::Then};
use crate::{Decoder, EncodeError, Encoder, Event, Limits, MIN_FRAME_LEN, PayloadOverrun, Status};

/// Reads [`Event`]s from a transport through a buffer of the caller's.
///
/// `B` is the buffer, of any length from 1: a longer one means fewer, larger reads and payload chunks. Bytes that
/// were read ahead of the current event stay in it.
///
/// ```
/// use tej_core::io::FrameReader;
/// use tej_core::{Decoder, DefaultLimits, Event};
///
/// # futures_lite::future::block_on(async {
/// let transport: &[u8] = b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05Hello";
/// let mut reader = FrameReader::new(transport, [0; 4], Decoder::new([0; 16], DefaultLimits));
/// let mut message = Vec::new();
/// while let Some(event) = reader.next().await? {
///     if let Event::MessageData(piece) = event {
///         message.extend_from_slice(piece); // lent from the reader's buffer; `.await` whatever takes it
///     }
/// }
/// assert_eq!(message, b"Hello");
/// # Ok::<(), tej_core::io::ReadError<core::convert::Infallible>>(())
/// # })?;
/// # Ok::<(), tej_core::io::ReadError<core::convert::Infallible>>(())
/// ```
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
                self.buffer.decoder().finish()?;
                return Ok(None);
            }
            self.buffer.filled(n);
        };
        Ok(Some(self.buffer.resolve(span)))
    }

    /// [`next`](Self::next), decoded where the transport has the bytes: what `take` makes of the event. Nothing is copied,
    /// pieces of payload are as long as what the transport lends, and the buffer is not used: it may have a length of 0,
    /// unless `next` is called too. What that has read ahead comes first.
    ///
    /// `take` is called once at most. What it is given is gone afterwards, and it cannot wait: copy what is to be kept. It runs
    /// while the transport lends, and may use nothing that the transport has borrowed meanwhile: over tej-embassy the network
    /// stack.
    ///
    /// ```
    /// use tej_core::io::FrameReader;
    /// use tej_core::{Decoder, DefaultLimits, Event};
    ///
    /// # futures_lite::future::block_on(async {
    /// let transport: &[u8] = b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05Hello";
    /// let mut reader = FrameReader::new(transport, [], Decoder::new([0; 16], DefaultLimits));
    /// let mut page = [0; 5]; // of flash, say
    /// let mut copy = |event: Event<'_>| {
    ///     if let Event::MessageData(piece) = event {
    ///         page.copy_from_slice(piece);
    ///     }
    /// };
    /// while reader.next_with(&mut copy).await?.is_some() {}
    /// assert_eq!(&page, b"Hello");
    /// # Ok::<(), tej_core::io::ReadError<core::convert::Infallible>>(())
    /// # })?;
    /// # Ok::<(), tej_core::io::ReadError<core::convert::Infallible>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for `next`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: bytes are consumed and `take` is called in one step.
    pub async fn next_with<T>(
        &mut self,
        mut take: impl FnMut(Event<'_>) -> T,
    ) -> Result<Option<T>, ReadError<R::Error>>
    where
        R: ReadWith,
    {
        let Self { io, buffer } = self;
        if let Some(span) = buffer.poll()? {
            return Ok(Some(take(buffer.resolve(span))));
        }
        loop {
            let decode = |lent: &[u8]| match buffer.poll_lent(lent, &mut take) {
                Ok((consumed, taken)) => (consumed, Ok((taken, lent.is_empty()))),
                Err(error) => (0, Err(error)),
            };
            let (taken, ended) = io.read_with(decode).await.map_err(ReadError::Io)??;
            if taken.is_some() {
                return Ok(taken);
            }
            if ended {
                buffer.decoder().finish()?;
                return Ok(None);
            }
        }
    }

    /// Bytes of the current payload that the transport has next, for a caller that moves them from
    /// [`io_mut`](Self::io_mut) itself (splice, DMA, a read straight into flash) and then calls
    /// [`advance_payload`](Self::advance_payload).
    ///
    /// 0 outside payload, and while bytes that were read ahead are not decoded: [`next`](Self::next) comes first.
    ///
    /// ```
    /// use tej_core::{Decoder, DefaultLimits, Event};
    /// use tej_core::io::FrameReader;
    /// use embedded_io_async::Read;
    ///
    /// # futures_lite::future::block_on(async {
    /// let transport: &[u8] = b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05Hello";
    /// let mut reader = FrameReader::new(transport, [0; 18], Decoder::new([0; 16], DefaultLimits));
    /// let mut flash = [0; 5];
    /// while let Some(event) = reader.next().await? {
    ///     if let Event::FileData(bytes) | Event::MessageData(bytes) = event {
    ///         unreachable!("only what was read ahead passes the reader, and here that is nothing: {bytes:?}");
    ///     }
    ///     if reader.payload_unread() > 0 {
    ///         let n = reader.io_mut().read(&mut flash).await?;
    ///         reader.advance_payload(n as u64)?;
    ///     }
    /// }
    /// assert_eq!(&flash, b"Hello");
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn payload_unread(&self) -> u64 {
        self.buffer.payload_unread()
    }

    /// Says that the caller read the next `n` bytes of payload from the transport itself. Go on with
    /// [`next`](Self::next), which yields the end of the file or frame when it is due.
    ///
    /// # Errors
    ///
    /// `n` is more than [`payload_unread`](Self::payload_unread); nothing is changed.
    pub fn advance_payload(&mut self, n: u64) -> Result<(), PayloadOverrun> {
        self.buffer.advance_payload(n)
    }

    /// The name of the current file, from the event of its start until that of its end has been returned; for a caller that
    /// could not keep the first.
    pub fn file_name(&self) -> Option<&[u8]> {
        self.buffer.file_name()
    }

    /// Bytes of the stream that were decoded so far.
    pub fn offset(&self) -> u64 {
        self.buffer.decoder().offset()
    }

    /// The decoder, for its questions: what is left of the payload, the limits.
    pub fn decoder(&self) -> &Decoder<N, L> {
        self.buffer.decoder()
    }

    /// Whether the next byte to be decoded starts a frame: false from a frame's first decoded byte to its end event.
    /// Bytes of the next one may have been read ahead.
    pub fn is_between_frames(&self) -> bool {
        self.buffer.decoder().is_between_frames()
    }

    /// The transport, to configure or to close it, or to move [`payload_unread`](Self::payload_unread) bytes from. Others
    /// that are read from it directly are lost to the decoder.
    pub fn io_mut(&mut self) -> &mut R {
        &mut self.io
    }

    /// Gives the transport and the buffer back; bytes that were read ahead are lost.
    pub fn into_parts(self) -> (R, B) {
        (self.io, self.buffer.into_bytes())
    }
}

/// A transport that lends what it has received, where it lies, rather than copy it: the ring of a TCP socket, a buffered
/// UART. Every [`BufRead`] is one.
pub trait ReadWith: ErrorType {
    /// Waits for bytes, and gives some of them, at least one, to `take`, which says how many are done with and, whatever
    /// that is for, something to return. An empty slice is the end of the stream.
    ///
    /// `take` is called once, unless the future fails or is dropped, and the bytes are consumed in the same step: dropping
    /// the future before loses nothing.
    ///
    /// # Errors
    ///
    /// Those of the transport.
    #[allow(
        async_fn_in_trait,
        reason = "as in embedded_io_async: executors of devices do not ask for `Send`"
    )]
    async fn read_with<T>(&mut self, take: impl FnMut(&[u8]) -> (usize, T)) -> Result<T, Self::Error>;
}

impl<R: BufRead> ReadWith for R {
    async fn read_with<T>(&mut self, mut take: impl FnMut(&[u8]) -> (usize, T)) -> Result<T, R::Error> {
        let (consumed, taken) = take(self.fill_buf().await?);
        self.consume(consumed);
        Ok(taken)
    }
}

/// Writes frames to a transport; payload may come in pieces of any size.
///
/// `B` is the staging buffer: heads and small pieces collect in it, so that a head travels with the first bytes of its
/// payload and small frames share a segment. A piece that fits joins what is staged. Otherwise the stage is filled and
/// written; what is left goes out from where it lies if it is at least as long as the stage, and is staged if not. A piece
/// that has begun to go out from where it lies goes so to its end. With a buffer of length 0 every piece goes out by itself.
///
/// Nothing has to leave before [`push`](Self::push) or [`flush`](Self::flush).
///
/// ```
/// use tej_core::Status;
/// use tej_core::io::FrameWriter;
///
/// # futures_lite::future::block_on(async {
/// let mut line = [0; 64];
/// let mut writer = FrameWriter::new(&mut line[..], [0; 16]);
/// writer.start_frame(Status::ZERO, 1).await?;
/// writer.start_file(b"a.txt", 2).await?;
/// writer.write_payload(b"h").await?;
/// writer.write_payload(b"i").await?;
/// writer.start_message(0).await?;
/// writer.push().await?; // or `flush`, to wait until it is on the line
/// assert!(line.starts_with(b"\x80\x01\0\0\0\0\0\0\0\x01\0\x05a.txt\0\0\0\0\0\0\0\x02hi\0\0\0\0\0\0\0\0"));
/// # Ok::<(), tej_core::io::WriteError<embedded_io::SliceWriteError>>(())
/// # })?;
/// # Ok::<(), tej_core::io::WriteError<embedded_io::SliceWriteError>>(())
/// ```
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
    buffer: EncodeBuffer<B>,
}

impl<W: Write, B: AsRef<[u8]> + AsMut<[u8]>> FrameWriter<W, B> {
    /// A writer between two frames.
    pub const fn new(io: W, stage: B) -> Self {
        Self { io, buffer: EncodeBuffer::new(stage) }
    }

    /// Begins a frame of `files` files: [`start_file`](Self::start_file) that many times, each followed by its
    /// payload, then [`start_message`](Self::start_message) and its payload.
    ///
    /// # Errors
    ///
    /// Besides the transport's, those of [`Encoder::start_frame`].
    pub async fn start_frame(&mut self, status: Status, files: u32) -> Result<(), WriteError<W::Error>> {
        let head = self.buffer.encoder_mut()?.start_frame(status, files)?;
        self.put(&[&head], Then::Stage).await
    }

    /// Begins the next file, of `size` bytes.
    ///
    /// # Errors
    ///
    /// Besides the transport's, those of [`Encoder::start_file`].
    pub async fn start_file(&mut self, name: &[u8], size: u64) -> Result<(), WriteError<W::Error>> {
        let head = self.buffer.encoder_mut()?.start_file(name, size)?;
        self.put(&[&head.name_len, name, &head.size], Then::Stage).await
    }

    /// Begins the message, of `size` bytes; its last byte ends the frame, at once if `size` is 0.
    ///
    /// # Errors
    ///
    /// Besides the transport's, those of [`Encoder::start_message`].
    pub async fn start_message(&mut self, size: u64) -> Result<(), WriteError<W::Error>> {
        let head = self.buffer.encoder_mut()?.start_message(size)?;
        self.put(&[&head], Then::Stage).await
    }

    /// Writes the next bytes of the current file or message, all of `payload`.
    ///
    /// # Errors
    ///
    /// [`EncodeError::PayloadOverrun`] when that is more than was announced; nothing of it is written.
    pub async fn write_payload(&mut self, payload: &[u8]) -> Result<(), WriteError<W::Error>> {
        self.buffer.encoder_mut()?.payload(payload.len() as u64)?;
        self.put(&[payload], Then::Stage).await
    }

    /// Free space of the staging buffer, to produce payload in place (from a disk, a sensor, a generator) instead of
    /// copying it there; at most the rest of the current payload. Say with
    /// [`commit_payload`](Self::commit_payload) how much was filled in.
    ///
    /// Empty only when no payload is due, or the buffer has no length.
    ///
    /// ```
    /// use tej_core::Status;
    /// use tej_core::io::FrameWriter;
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut line = [0; 64];
    /// let mut writer = FrameWriter::new(&mut line[..], [0; 16]);
    /// writer.start_frame(Status::ZERO, 0).await?;
    /// writer.start_message(32).await?;
    /// while writer.encoder().payload_remaining() > 0 {
    ///     let space = writer.payload_space().await?;
    ///     space.fill(7); // a sensor's DMA, say
    ///     let n = space.len();
    ///     writer.commit_payload(n)?;
    /// }
    /// writer.push().await?;
    /// assert_eq!(line[18..50], [7; 32]);
    /// # Ok::<(), tej_core::io::WriteError<embedded_io::SliceWriteError>>(())
    /// # })?;
    /// # Ok::<(), tej_core::io::WriteError<embedded_io::SliceWriteError>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the transport: a full buffer is written out first.
    pub async fn payload_space(&mut self) -> Result<&mut [u8], WriteError<W::Error>> {
        self.buffer.encoder_mut()?;
        if self.buffer.is_full() {
            self.push().await?;
        }
        Ok(self.buffer.space())
    }

    /// Takes the first `n` bytes of [`payload_space`](Self::payload_space) as the next payload.
    ///
    /// # Errors
    ///
    /// [`EncodeError::PayloadOverrun`] when `n` is more than that space; nothing is taken.
    /// [`EncodeError::Aborted`] when the writer is interrupted.
    pub fn commit_payload(&mut self, n: usize) -> Result<(), EncodeError> {
        self.buffer.commit(n)
    }

    /// The transport, for a caller that writes payload itself (sendfile, DMA), behind all that was staged before, which is
    /// pushed. Say with [`pass_payload`](Self::pass_payload) how many bytes it took, whatever else happened.
    ///
    /// # Errors
    ///
    /// Those of the transport.
    pub async fn payload_io(&mut self) -> Result<&mut W, WriteError<W::Error>> {
        self.push().await?;
        Ok(&mut self.io)
    }

    /// Says that the caller wrote the next `n` bytes of payload to [`payload_io`](Self::payload_io).
    ///
    /// # Errors
    ///
    /// [`EncodeError::PayloadOverrun`] when that is more than is due, [`EncodeError::OutOfOrder`] when something was staged
    /// since, [`EncodeError::Aborted`] when the writer is interrupted. Nothing is changed.
    pub fn pass_payload(&mut self, n: u64) -> Result<(), EncodeError> {
        self.buffer.pass_payload(n)
    }

    /// Writes a whole frame without files, and hands it to the transport.
    ///
    /// # Errors
    ///
    /// Those of the transport; [`EncodeError::OutOfOrder`] or [`EncodeError::PayloadMissing`] inside another frame.
    pub async fn send_message(&mut self, status: Status, message: &[u8]) -> Result<(), WriteError<W::Error>> {
        let mut head = [0; MIN_FRAME_LEN];
        self.buffer.encoder_mut()?.message_frame(status, message.len() as u64, &mut head)?;
        self.put(&[&head, message], Then::Push).await
    }

    /// Stages a whole frame without files, so that many small ones leave in one write: when the stage is full, and by
    /// [`push`](Self::push), which is due after the last of them.
    ///
    /// # Errors
    ///
    /// As for [`send_message`](Self::send_message).
    pub async fn feed_message(&mut self, status: Status, message: &[u8]) -> Result<(), WriteError<W::Error>> {
        self.buffer.encoder_mut()?;
        if self.buffer.stage_message(status, message)? == Staged::Yes {
            return Ok(());
        }
        let mut head = [0; MIN_FRAME_LEN];
        self.buffer.encoder_mut()?.message_frame(status, message.len() as u64, &mut head)?;
        self.put(&[&head, message], Then::Stage).await
    }

    /// [`feed_message`](Self::feed_message) if nothing has to be written for it, which takes more room in the stage than the
    /// frame has bytes.
    ///
    /// # Errors
    ///
    /// Those of [`Encoder::message_frame`]; [`EncodeError::Aborted`] when the writer is interrupted. Nothing is staged.
    #[inline]
    pub fn stage_message(&mut self, status: Status, message: &[u8]) -> Result<Staged, EncodeError> {
        self.buffer.stage_message(status, message)
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
        self.put(&[], Then::Push).await
    }

    /// [`push`](Self::push), then the transport's own `flush`. One that fails or is cut off interrupts the writer like a
    /// write.
    ///
    /// # Errors
    ///
    /// Those of the transport.
    pub async fn flush(&mut self) -> Result<(), WriteError<W::Error>> {
        self.push().await?;
        self.buffer.begin()?;
        self.io.flush().await.map_err(WriteError::Io)?;
        self.buffer.end();
        Ok(())
    }

    /// Whether an earlier write failed or was cut off: every later call fails, and the connection can only be closed.
    pub fn is_interrupted(&self) -> bool {
        self.buffer.is_interrupted()
    }

    /// The books: what is still to come of the current payload, and whether a frame is open. They say nothing of the
    /// bytes that are staged.
    pub fn encoder(&self) -> &Encoder {
        self.buffer.encoder()
    }

    /// Bytes that can be staged before any are written.
    pub fn stage_free(&self) -> usize {
        self.buffer.free()
    }

    /// The staging buffer itself, for one that can grow. A longer buffer must keep all its bytes where they are; a shorter
    /// one, or another, may take its place only while nothing is staged, as after [`push`](Self::push).
    pub fn stage_mut(&mut self) -> &mut B {
        self.buffer.stage_mut()
    }

    /// The transport, to configure or to close it. Bytes written to it directly break the stream.
    pub fn io_mut(&mut self) -> &mut W {
        &mut self.io
    }

    /// Gives the transport and the staging buffer back; bytes that were staged are lost.
    pub fn into_parts(self) -> (W, B) {
        (self.io, self.buffer.into_stage())
    }

    /// Stages or writes all of `pieces`.
    async fn put(&mut self, pieces: &[&[u8]], then: Then) -> Result<(), WriteError<W::Error>> {
        self.buffer.begin()?;
        let mut pieces = pieces.iter();
        let mut piece = &[][..];
        while self.buffer.stage_all(&mut piece, &mut pieces, then) {
            let n = self.io.write(self.buffer.pending(piece)).await.map_err(WriteError::Io)?;
            if n == 0 {
                return Err(WriteError::Closed);
            }
            self.buffer.advance(n, &mut piece);
        }
        self.buffer.end();
        Ok(())
    }
}
