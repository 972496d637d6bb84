//! One connection and its two halves.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use embedded_io_adapters::tokio_1::FromTokio;
use tej_core::io::{DecodeBuffer, FrameWriter, ReadError, Staged};
use tej_core::{Decoder, EncodeError, EventSpan, Frame, MIN_FRAME_LEN};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::idle::{Activity, IdleRead, IdleWrite};
use crate::transfer::Socket;
use crate::{Config, DiscardError, Event, Limits, Place, ReceiveError, SendError, Status};

/// A connection to a peer: a [`Receiver`] and a [`Sender`] that work independently of each other.
///
/// Receive while you send. A peer may push a frame of any size at any time, and two sides that both only write
/// wait for each other for ever.
#[derive(Debug)]
pub struct Connection<R = OwnedReadHalf, W = OwnedWriteHalf> {
    receiver: Receiver<R>,
    sender: Sender<W>,
}

impl Connection {
    /// Speaks TEJ over a connected TCP stream; turns Nagle's algorithm off, for the sender stages by itself.
    ///
    /// # Errors
    ///
    /// The stream is no longer connected.
    pub fn from_tcp(stream: TcpStream, config: &Config) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let mut connection = Self::new(read, write, config);
        connection.receiver.socket = Some(OwnedReadHalf::as_ref);
        connection.sender.socket = Some(OwnedWriteHalf::as_ref);
        Ok(connection)
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Connection<R, W> {
    /// Speaks TEJ over the two directions of any byte stream: a Unix socket, TLS, a pipe. TCP is better served by
    /// [`from_tcp`](Self::from_tcp).
    pub fn new(read: R, write: W, config: &Config) -> Self {
        Self::with_activity(read, write, config, Activity::new(config.timeouts))
    }

    /// A connection over a transport whose own stream takes part in `activity`.
    pub(crate) fn with_activity(read: R, write: W, config: &Config, activity: Arc<Activity>) -> Self {
        let receiver = Receiver::with_activity(read, config, Arc::clone(&activity));
        let sender = Sender::with_activity(write, config, activity);
        Self { receiver, sender }
    }

    /// Keeps `place` until both halves are dropped.
    #[must_use]
    pub fn holding(self, place: Place) -> Self {
        self.receiver.read.activity().hold(place);
        self
    }

    /// The halves, for two tasks or two branches of a `join!`.
    pub fn split(self) -> (Receiver<R>, Sender<W>) {
        (self.receiver, self.sender)
    }
}

/// The receiving half.
pub struct Receiver<R = OwnedReadHalf> {
    pub(crate) read: IdleRead<R>,
    /// Of no length while nothing comes between two frames, for most connections wait most of the time.
    pub(crate) buffer: DecodeBuffer<Vec<u8>, NameStorage, Limits>,
    /// Length up to which it may [`grow`](Self::grow).
    largest: usize,
    /// Past us payload may go through this.
    pub(crate) socket: Option<Socket<R>>,
}

impl<R: AsyncRead + Unpin> Receiver<R> {
    /// Receives from anything that can be read, with no sender beside it: a file, a pipe.
    pub fn new(read: R, config: &Config) -> Self {
        Self::with_activity(read, config, Activity::new(config.timeouts))
    }

    fn with_activity(read: R, config: &Config, activity: Arc<Activity>) -> Self {
        let largest = config.receive_buffer.max(1);
        let name = NameStorage { limit: config.name_limit, bytes: Vec::new() };
        let decoder = Decoder::new(name, config.limits);
        let buffer = DecodeBuffer::new(Vec::new(), decoder);
        Self { read: IdleRead::new(read, activity), buffer, largest, socket: None }
    }

    /// The next event, or `None` when the peer ended its stream between two frames.
    ///
    /// # Errors
    ///
    /// A fault of the peer, one of [`Config::timeouts`], or the transport's failure.
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses nothing; call it again.
    pub async fn next(&mut self) -> Result<Option<Event<'_>>, ReceiveError> {
        let span = self.next_span().await?;
        Ok(span.map(|span| self.resolve(span)))
    }

    /// Throws away what was read ahead and what comes, until nothing has come for `gap`, and returns how many bytes that were.
    /// [`offset`](Self::offset) does not count them.
    ///
    /// For a line that has no connections, such as a UART, before the first frame of either side, or between two: what comes
    /// then is the rest of something that was not for us. After an error, or inside a frame, this receiver is of no use any
    /// more: call this on a new connection over the line. If nothing is sent meanwhile, a peer that reads through tej-core's
    /// `io::IdleGap` has forgotten half a frame by then; its gap is to be shorter than this one.
    ///
    /// The timeouts do not count here, and for a line that is never silent this waits for ever.
    ///
    /// # Errors
    ///
    /// [`DiscardError::InsideFrame`] unless it is [between two frames](Self::is_between_frames); nothing is thrown away.
    /// [`DiscardError::Io`]: the transport failed, or has ended ([`UnexpectedEof`](io::ErrorKind::UnexpectedEof)).
    ///
    /// # Cancel safety
    ///
    /// A dropped future has thrown away what had come.
    pub async fn discard_until_silent(&mut self, gap: Duration) -> Result<u64, DiscardError> {
        if !self.is_between_frames() {
            return Err(DiscardError::InsideFrame { offset: self.offset() });
        }
        let mut discarded = self.buffer.discard() as u64;
        loop {
            let mut some = [0; FIRST_BUFFER];
            match timeout(gap, self.read.transport().read(&mut some)).await {
                Err(_) => return Ok(discarded),
                Ok(Ok(0)) => return Err(DiscardError::Io(io::ErrorKind::UnexpectedEof.into())),
                Ok(n) => discarded += n.map_err(DiscardError::Io)? as u64,
            }
        }
    }

    /// The next frame, if all of it was read together with what came before it: the short way for many small frames, on
    /// which nothing waits and no events are made. `None` says only that this way is closed: ask again after
    /// [`next`](Self::next), which yields the events of all that did not come so.
    ///
    /// ```
    /// # async fn example(mut receiver: tej_std::Receiver) -> Result<(), tej_std::ReceiveError> {
    /// while let Some(event) = receiver.next().await? {
    ///     println!("{event:?}"); // of a frame that a read has cut, or is large
    ///     while let Some(frame) = receiver.ready_frame() {
    ///         println!("{}: {} bytes", frame.header().status.value(), frame.message().len());
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn ready_frame(&mut self) -> Option<Frame<'_>> {
        self.buffer.frame()
    }

    /// [`next`](Self::next), to [`resolve`](Self::resolve) before the next call.
    pub(crate) fn next_span(&mut self) -> Waiting<'_, R> {
        Waiting(self)
    }

    /// [`next_span`](Self::next_span) without a future.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<EventSpan>, ReceiveError>> {
        loop {
            if let Some(span) = self.buffer.poll().map_err(ReadError::Decode)? {
                if self.buffer.decoder().is_between_frames() {
                    self.read.inside_frame(false);
                }
                return Poll::Ready(Ok(Some(span)));
            }
            self.read.inside_frame(!self.buffer.decoder().is_between_frames());
            let (n, len) = match ready!(self.poll_fill(cx)) {
                Ok(filled) => filled,
                Err(error) => {
                    if error.kind() == io::ErrorKind::UnexpectedEof {
                        // The transport knows that the stream was cut off: inside a frame we know better where.
                        self.buffer.decoder().finish().map_err(ReadError::Decode)?;
                    }
                    return Poll::Ready(Err(ReadError::Io(error).into()));
                }
            };
            if n == 0 {
                self.buffer.decoder().finish().map_err(ReadError::Decode)?;
                return Poll::Ready(Ok(None));
            }
            self.buffer.filled(n);
            if n == len {
                self.grow();
            }
        }
    }

    /// Reads into the buffer, of which everything is decoded: how much came, and how much could have.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(usize, usize)>> {
        if self.buffer.bytes_mut().is_empty() {
            let mut first = [MaybeUninit::uninit(); FIRST_BUFFER];
            let mut read = ReadBuf::uninit(&mut first[..self.largest.min(FIRST_BUFFER)]);
            ready!(Pin::new(&mut self.read).poll_read(cx, &mut read))?;
            let (filled, len) = (read.filled(), read.capacity());
            if !filled.is_empty() {
                self.buffer.bytes_mut().resize(len, 0);
                self.buffer.space()[..filled.len()].copy_from_slice(filled);
            }
            return Poll::Ready(Ok((filled.len(), len)));
        }
        let space = self.buffer.space();
        let len = space.len();
        let mut read = ReadBuf::new(space);
        match Pin::new(&mut self.read).poll_read(cx, &mut read) {
            Poll::Ready(result) => Poll::Ready(result.map(|()| (read.filled().len(), len))),
            Poll::Pending => {
                if self.buffer.decoder().is_between_frames() {
                    *self.buffer.bytes_mut() = Vec::new();
                }
                Poll::Pending
            }
        }
    }

    /// Borrows the event that was found last.
    pub(crate) fn resolve(&self, span: EventSpan) -> Event<'_> {
        self.buffer.resolve(span)
    }

    /// The same over a transport whose type is forgotten.
    pub(crate) fn boxed(self) -> Receiver<Box<dyn AsyncRead + Send + Unpin>>
    where
        R: Send + 'static,
    {
        let Self { read, buffer, largest, socket: _ } = self;
        Receiver { read: read.boxed(), buffer, largest, socket: None }
    }

    /// Bytes of the stream that were decoded so far.
    pub fn offset(&self) -> u64 {
        self.buffer.decoder().offset()
    }

    /// Whether the last event ended a frame, or none was ever begun. Bytes of the next one may have been read ahead.
    pub fn is_between_frames(&self) -> bool {
        self.buffer.decoder().is_between_frames()
    }

    /// A peer that fills the buffer has much to send: fewer, larger reads cost less. It grows with what has come,
    /// never with what was announced.
    fn grow(&mut self) {
        let bytes = self.buffer.bytes_mut();
        bytes.resize(bytes.len().saturating_mul(4).min(self.largest), 0);
    }
}

impl<R> fmt::Debug for Receiver<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// A call that may wait for the peer: for the next event, unless it is polled otherwise. When it is dropped, nobody waits any
/// more.
pub(crate) struct Waiting<'r, R>(pub(crate) &'r mut Receiver<R>);

impl<R: AsyncRead + Unpin> Future for Waiting<'_, R> {
    type Output = Result<Option<EventSpan>, ReceiveError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().0.poll_next(cx)
    }
}

impl<R> Drop for Waiting<'_, R> {
    fn drop(&mut self) {
        self.0.read.given_up();
    }
}

/// The sending half.
///
/// A frame is [`start_frame`](Self::start_frame), each of its files by [`send_file`](Self::send_file), and
/// [`finish_frame`](Self::finish_frame) with the message; [`send_message`](Self::send_message) and
/// [`send_ping`](Self::send_ping) are whole frames.
///
/// Dropping the sender of a TCP connection ends our direction of it, as [`shutdown`](Self::shutdown) does, but in the
/// middle of whatever was being sent.
///
/// # Cancel safety
///
/// A future of this type that is dropped while it writes leaves the peer with an unknown part of a frame: every later
/// call returns [`SendError::Interrupted`]. One that is dropped while it waits for a source, in
/// [`send_file`](Self::send_file), leaves the frame open: the rest of that file is still due, from
/// [`payload_space`](Self::payload_space).
pub struct Sender<W = OwnedWriteHalf> {
    pub(crate) writer: FrameWriter<FromTokio<IdleWrite<W>>, Stage>,
    pub(crate) activity: Arc<Activity>,
    /// As for a receiver.
    pub(crate) socket: Option<Socket<W>>,
}

impl<W: AsyncWrite + Unpin> Sender<W> {
    /// Sends to anything that can be written, with no receiver beside it: a file, a pipe.
    pub fn new(write: W, config: &Config) -> Self {
        Self::with_activity(write, config, Activity::new(config.timeouts))
    }

    fn with_activity(write: W, config: &Config, activity: Arc<Activity>) -> Self {
        let stage = Stage::new(config.send_buffer.max(1));
        let write = IdleWrite::new(write, Arc::clone(&activity));
        Self { writer: FrameWriter::new(FromTokio::new(write), stage), activity, socket: None }
    }

    /// Begins a frame of `files` files.
    ///
    /// # Errors
    ///
    /// Another frame is unfinished, or the connection failed.
    pub async fn start_frame(&mut self, status: Status, files: u32) -> Result<(), SendError> {
        self.make_room(MIN_FRAME_LEN);
        let excuse = Excuse::new(&self.activity);
        self.writer.start_frame(status, files).await?;
        excuse.stands();
        Ok(())
    }

    /// Sends the next file: exactly `size` bytes of `source`, never more.
    ///
    /// # Errors
    ///
    /// [`SendError::Source`] when `source` fails or ends early: the frame can then not be completed, so drop the
    /// connection. Otherwise as for [`start_frame`](Self::start_frame).
    pub async fn send_file(
        &mut self,
        name: &str,
        size: u64,
        source: &mut (impl AsyncRead + Unpin),
    ) -> Result<(), SendError> {
        self.send_file_of(name, size, source, None).await
    }

    /// [`send_file`](Self::send_file) of a source that has `patience` for each read.
    pub(crate) async fn send_file_of(
        &mut self,
        name: &str,
        size: u64,
        source: &mut (impl AsyncRead + Unpin),
        patience: Option<Duration>,
    ) -> Result<(), SendError> {
        let excuse = Excuse::new(&self.activity);
        self.start_file(name, size).await?;
        loop {
            let space = self.payload_space().await?;
            if space.is_empty() {
                excuse.stands();
                return Ok(());
            }
            let read = source.read(space);
            let read = match patience {
                Some(patience) => timeout(patience, read).await.unwrap_or_else(|_| Err(stalled())),
                None => read.await,
            };
            match read {
                Ok(0) => return Err(SendError::Source(io::ErrorKind::UnexpectedEof.into())),
                Ok(n) => self.commit_payload(n)?,
                Err(error) => return Err(SendError::Source(error)),
            }
        }
    }

    /// Sends the message of a frame without files, or of one whose files have all been sent, and completes the
    /// frame. An empty message is "no message".
    ///
    /// # Errors
    ///
    /// As for [`start_frame`](Self::start_frame); also when files are missing.
    pub async fn finish_frame(&mut self, message: &[u8]) -> Result<(), SendError> {
        let _excuse = Excuse::new(&self.activity);
        self.start_message(message.len() as u64).await?;
        self.make_room(message.len());
        self.writer.write_payload(message).await?;
        self.push().await
    }

    /// Sends a whole frame without files.
    ///
    /// # Errors
    ///
    /// As for [`start_frame`](Self::start_frame).
    pub async fn send_message(&mut self, status: Status, message: &[u8]) -> Result<(), SendError> {
        self.feed_message(status, message).await?;
        self.push().await
    }

    /// Stages a whole frame without files, so that many small ones leave together: when the stage is full, and by
    /// [`push`](Self::push), which is due after the last of them.
    ///
    /// # Errors
    ///
    /// As for [`start_frame`](Self::start_frame).
    pub async fn feed_message(&mut self, status: Status, message: &[u8]) -> Result<(), SendError> {
        if self.stage_message(status, message)? == Staged::Yes {
            return Ok(());
        }
        let _excuse = Excuse::new(&self.activity);
        Ok(self.writer.feed_message(status, message).await?)
    }

    /// [`feed_message`](Self::feed_message) if nothing has to be written for it: without a future, for as many messages as
    /// there can be.
    ///
    /// ```
    /// # async fn example(mut sender: tej_std::Sender) -> Result<(), tej_std::SendError> {
    /// use tej_std::{Staged, Status};
    ///
    /// for reading in 0..1_000_000_u32 {
    ///     let message = reading.to_be_bytes();
    ///     if sender.stage_message(Status::ZERO, &message)? == Staged::No {
    ///         sender.feed_message(Status::ZERO, &message).await?;
    ///     }
    /// }
    /// sender.push().await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`start_frame`](Self::start_frame).
    #[inline]
    pub fn stage_message(&mut self, status: Status, message: &[u8]) -> Result<Staged, SendError> {
        if self.writer.stage_message(status, message)? == Staged::Yes {
            return Ok(Staged::Yes);
        }
        self.make_room((MIN_FRAME_LEN + 1).saturating_add(message.len()));
        Ok(self.writer.stage_message(status, message)?)
    }

    /// Sends a ping: an empty frame of [`Status::PING`]. There is no answer to it.
    ///
    /// # Errors
    ///
    /// As for [`start_frame`](Self::start_frame).
    pub async fn send_ping(&mut self) -> Result<(), SendError> {
        self.send_message(Status::PING, &[]).await
    }

    /// Begins a file whose `size` bytes of payload the caller produces in [`payload_space`](Self::payload_space).
    ///
    /// # Errors
    ///
    /// As for [`start_frame`](Self::start_frame).
    pub async fn start_file(&mut self, name: &str, size: u64) -> Result<(), SendError> {
        self.make_room(MIN_FRAME_LEN.saturating_add(name.len()));
        let excuse = Excuse::new(&self.activity);
        self.writer.start_file(name.as_bytes(), size).await?;
        excuse.stands();
        Ok(())
    }

    /// Begins the message, whose `size` bytes the caller produces in [`payload_space`](Self::payload_space); after the
    /// last of them [`push`](Self::push) completes the frame.
    ///
    /// # Errors
    ///
    /// As for [`start_frame`](Self::start_frame).
    pub async fn start_message(&mut self, size: u64) -> Result<(), SendError> {
        self.make_room(MIN_FRAME_LEN);
        let excuse = Excuse::new(&self.activity);
        self.writer.start_message(size).await?;
        excuse.stands();
        Ok(())
    }

    /// Where the next payload bytes can be put without a copy; empty once the file or message is complete. Say with
    /// [`commit_payload`](Self::commit_payload) how many were.
    ///
    /// # Errors
    ///
    /// The connection failed.
    pub async fn payload_space(&mut self) -> Result<&mut [u8], SendError> {
        self.make_room(usize::try_from(self.writer.encoder().payload_remaining()).unwrap_or(usize::MAX));
        let excuse = Excuse::new(&self.activity);
        let space = self.writer.payload_space().await?;
        excuse.stands();
        Ok(space)
    }

    /// Takes the first `n` bytes of [`payload_space`](Self::payload_space) as the next payload.
    ///
    /// # Errors
    ///
    /// `n` is more than there was space.
    pub fn commit_payload(&mut self, n: usize) -> Result<(), SendError> {
        Ok(self.writer.commit_payload(n)?)
    }

    /// Hands everything staged to the transport. Not needed after [`finish_frame`](Self::finish_frame); useful when
    /// the source of a file is slow and the peer should have what there is.
    ///
    /// # Errors
    ///
    /// The connection failed.
    pub async fn push(&mut self) -> Result<(), SendError> {
        let excuse = Excuse::new(&self.activity);
        // Some transports hold bytes back, like TLS.
        self.writer.flush().await?;
        if self.writer.encoder().is_idle() {
            self.writer.stage_mut().release();
        } else {
            excuse.stands();
        }
        Ok(())
    }

    /// Lets the stage grow until it has room for `bytes` more, if it may.
    fn make_room(&mut self, bytes: usize) {
        let free = self.writer.stage_free();
        if free < bytes {
            self.writer.stage_mut().grow(bytes - free);
        }
    }

    /// Bytes on the wire of the current frame as announced so far, or of the last frame once it is complete.
    pub fn frame_len(&self) -> u64 {
        self.writer.encoder().frame_len()
    }

    /// Ends our direction of the stream and leaves the other open: the peer sees the end of the stream once it has
    /// read everything.
    ///
    /// # Errors
    ///
    /// A frame is unfinished, or the transport failed.
    pub async fn shutdown(&mut self) -> Result<(), SendError> {
        let _excuse = Excuse::new(&self.activity);
        self.writer.flush().await?;
        if !self.writer.encoder().is_idle() {
            return Err(SendError::Encode(EncodeError::OutOfOrder));
        }
        self.writer.io_mut().inner_mut().shutdown().await.map_err(SendError::from_transport)
    }
}

impl<W> fmt::Debug for Sender<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

fn stalled() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "a source has yielded nothing for as long as a write may wait")
}

/// Storage for file names that takes memory only once a read has cut a name in two; most connections never do.
#[derive(Debug)]
pub(crate) struct NameStorage {
    limit: u16,
    /// Empty or `limit` bytes long.
    bytes: Vec<u8>,
}

impl AsRef<[u8]> for NameStorage {
    fn as_ref(&self) -> &[u8] {
        if self.bytes.is_empty() { &NOTHING[..usize::from(self.limit)] } else { &self.bytes }
    }
}

impl AsMut<[u8]> for NameStorage {
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.resize(self.limit.into(), 0);
        &mut self.bytes
    }
}

/// A staging buffer that takes memory only while something is staged; most connections are idle most of the time.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Length up to which it may grow.
    limit: usize,
    /// Empty while nothing is staged. It is as if it had its first length then.
    bytes: Vec<u8>,
}

impl Stage {
    fn new(limit: usize) -> Self {
        Self { limit, bytes: Vec::new() }
    }

    fn first_len(&self) -> usize {
        self.limit.min(FIRST_BUFFER)
    }

    /// Makes it `more` bytes longer at least, as far as it may be.
    fn grow(&mut self, more: usize) {
        let len = self.as_ref().len();
        let longer = len.saturating_add(more).max(len.saturating_mul(4)).min(self.limit);
        self.bytes.resize(longer, 0);
    }

    /// Gives the memory back; nothing may be staged.
    fn release(&mut self) {
        self.bytes = Vec::new();
    }
}

impl AsRef<[u8]> for Stage {
    fn as_ref(&self) -> &[u8] {
        if self.bytes.is_empty() { &NOTHING[..self.first_len()] } else { &self.bytes }
    }
}

impl AsMut<[u8]> for Stage {
    fn as_mut(&mut self) -> &mut [u8] {
        if self.bytes.is_empty() {
            self.bytes.resize(self.first_len(), 0);
        }
        &mut self.bytes
    }
}

/// What all unused storages look like. Zeros, which take no room in a program.
static NOTHING: [u8; 1 << 16] = [0; 1 << 16];

/// Excuses the peer's silence while we send: until it is dropped, by an error or with the future that holds it, or
/// from then on if it stands.
pub(crate) struct Excuse(Option<Arc<Activity>>);

impl Excuse {
    pub(crate) fn new(activity: &Arc<Activity>) -> Self {
        activity.sending();
        Self(Some(Arc::clone(activity)))
    }

    /// The frame goes on: another call will end it.
    pub(crate) fn stands(mut self) {
        self.0 = None;
    }
}

impl Drop for Excuse {
    fn drop(&mut self) {
        if let Some(activity) = &self.0 {
            activity.sent();
        }
    }
}

/// Bytes of a buffer before it has grown: enough for small frames, and little to take and to give back for each.
const FIRST_BUFFER: usize = 512;
