//! A connection and its two halves.

use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use embassy_futures::join::join;
use embassy_net::IpEndpoint;
use embassy_net::tcp::{self, State, TcpSocket};
use embassy_time::{Duration, Instant, Timer, with_deadline};
use embedded_io_async::{ErrorType, Read, Write};
use tej_core::Decoder;
use tej_core::io::{FrameReader, FrameWriter, ReadWith, WriteError};

use crate::config::{Settings, Timeout};
#[cfg(feature = "defmt")]
use crate::link::Shown;
use crate::link::{abort, flush, settle};
use crate::{CloseError, Error};

/// The receiving half of a [`Connection`]: see [`FrameReader`]. Its [`next_with`](FrameReader::next_with) decodes on the
/// socket's own ring, without the read buffer.
pub type Receiver<'c, 'd> = FrameReader<ReadHalf<'c, 'd>, &'c mut [u8], &'c mut [u8]>;

/// The sending half of a [`Connection`]: see [`FrameWriter`].
pub type Sender<'c, 'd> = FrameWriter<WriteHalf<'c, 'd>, &'c mut [u8]>;

/// A TCP connection that speaks TEJ. It borrows its [`Listener`](crate::Listener) or [`Dialer`](crate::Dialer), which
/// can go on to the next when this one is gone.
///
/// End it with [`close`](Self::close). A connection that is dropped is reset: what its peer has not acknowledged may
/// be lost, which is right for a peer that sends nonsense and wrong for everybody else.
pub struct Connection<'c, 'd> {
    socket: &'c RefCell<TcpSocket<'d>>,
    receiver: Receiver<'c, 'd>,
    sender: Sender<'c, 'd>,
    close_timeout: Timeout,
}

impl<'c, 'd> Connection<'c, 'd> {
    pub(crate) fn new(
        socket: &'c RefCell<TcpSocket<'d>>,
        read: &'c mut [u8],
        stage: &'c mut [u8],
        name: &'c mut [u8],
        settings: &Settings,
    ) -> Self {
        let reader = ReadHalf { socket, idle_timeout: settings.idle, ended: false };
        let writer = WriteHalf { socket, write_timeout: settings.write, ended_last: false };
        Self {
            socket,
            receiver: FrameReader::new(reader, read, Decoder::new(name, settings.limits)),
            sender: FrameWriter::new(writer, stage),
            close_timeout: settings.close,
        }
    }

    /// The two halves, to be driven by two futures (`join`, `select`) that make progress independently. They keep
    /// their place in the stream: it is fine to drop the references and split again.
    pub fn split(&mut self) -> (&mut Receiver<'c, 'd>, &mut Sender<'c, 'd>) {
        (&mut self.receiver, &mut self.sender)
    }

    /// The peer; `None` once the connection is gone.
    pub fn remote_endpoint(&self) -> Option<IpEndpoint> {
        self.socket.borrow().remote_endpoint()
    }

    /// Pushes what is staged, then ends the sending direction alone: the peer sees the end of the stream after the
    /// last byte, and can still send, which [`split`](Self::split)'s receiver receives.
    ///
    /// Where the peer has ended its direction already, this waits until it has acknowledged everything, as
    /// [`FrameWriter::flush`] does.
    ///
    /// # Errors
    ///
    /// As for [`FrameWriter::flush`]; the sending direction is open then.
    ///
    /// # Cancel safety
    ///
    /// As for [`FrameWriter::flush`]; the sending direction is open then.
    pub async fn close_write(&mut self) -> Result<(), WriteError<Error>> {
        if self.peer_has_ended() {
            self.sender.flush().await?;
        } else {
            self.sender.push().await?;
        }
        self.sender.io_mut().close();
        Ok(())
    }

    /// Ends the connection in order: pushes what is staged, ends the sending direction after it, and waits until the
    /// peer has acknowledged all of that and ended its own direction. What the peer still sends is discarded
    /// meanwhile, so that a peer which pushes before it reads gets there too.
    ///
    /// A peer that has not ended its direction within [`Config::close_timeout`](crate::Config::close_timeout) is reset.
    /// The socket is free afterwards, whatever the result.
    ///
    /// `Ok` says that the peer's TCP has acknowledged every byte that was written, not that its program has read them.
    /// An unfinished frame is sent as far as it was written, and the peer sees it truncated.
    ///
    /// # Errors
    ///
    /// Something of what was written may not have arrived; see [`CloseError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future resets the connection, as dropping the connection does.
    pub async fn close(mut self) -> Result<(), CloseError> {
        let deadline = Instant::now() + self.close_timeout.duration();
        let socket = self.socket;
        let mut delivered = Err(CloseError::TimedOut);
        // In vain only for a peer that does not end its direction, or does not read: the reset below is for it.
        let _ = with_deadline(deadline, join(drain(socket), self.deliver(&mut delivered))).await;
        if socket.borrow().state() == State::TimeWait {
            Timer::after(LAST_ACK_DELAY).await;
        }
        abort(&mut socket.borrow_mut());
        settle(socket).await;
        delivered
    }

    /// Whether our end of the stream would be the last thing to happen on the connection.
    ///
    /// smoltcp 0.13 ignores a mere window update in LAST-ACK, the state that follows: with data left, every time that
    /// the peer's window had closed would cost the wait for a probe. So the data has to go first then.
    fn peer_has_ended(&self) -> bool {
        self.socket.borrow().state() == State::CloseWait
    }

    /// Sends the rest and the end of the stream, waits until the peer has acknowledged both, and says in `result`
    /// whether it has: the caller may have to wait for more, and run out of time.
    async fn deliver(&mut self, result: &mut Result<(), CloseError>) {
        let pushed = self.sender.push().await;
        // Even after a failure: what was sent before it deserves to arrive, and a frame cut off here is seen as such.
        if self.peer_has_ended() {
            flush(self.socket).await;
        }
        self.sender.io_mut().close();
        flush(self.socket).await;
        let peer_ended = self.sender.io_mut().ended_last || self.receiver.io_mut().ended;
        let socket = self.socket.borrow();
        let acknowledged = match socket.state() {
            State::FinWait2 | State::TimeWait => true,
            // The proper last state where both directions had ended; a reset or a timeout otherwise.
            State::Closed => peer_ended && socket.send_queue() == 0,
            _ => false,
        };
        *result = match pushed {
            Err(error) => Err(CloseError::Write(error)),
            Ok(()) if acknowledged => Ok(()),
            Ok(()) => Err(CloseError::ConnectionReset),
        };
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Connection<'_, '_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Connection {{ {} }}", Shown(self.socket));
    }
}

impl Drop for Connection<'_, '_> {
    fn drop(&mut self) {
        abort(&mut self.socket.borrow_mut());
    }
}

/// Reads the bytes of a connection.
///
/// # Cancel safety
///
/// Dropping a read's future loses nothing; the idle timeout starts anew with the next read.
pub struct ReadHalf<'c, 'd> {
    socket: &'c RefCell<TcpSocket<'d>>,
    idle_timeout: Timeout,
    /// The peer has ended its direction, and everything before that was read.
    ended: bool,
}

impl ReadHalf<'_, '_> {
    /// Replaces [`Config::idle_timeout`](crate::Config::idle_timeout) from the next read on.
    pub fn set_idle_timeout(&mut self, timeout: Option<Duration>) {
        self.idle_timeout = Timeout::new(timeout);
    }

    /// Waits for `poll` of the socket to be ready, or for the idle timeout.
    async fn receive<T>(
        &self,
        mut poll: impl FnMut(&mut TcpSocket<'_>, &mut Context<'_>) -> Poll<Result<T, tcp::Error>>,
    ) -> Result<T, Error> {
        let mut patience = Patience::new(self.idle_timeout);
        poll_fn(|cx| match poll(&mut self.socket.borrow_mut(), cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(Error::from)),
            Poll::Pending => patience.poll(cx).map(|()| Err(Error::IdleTimeout)),
        })
        .await
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for ReadHalf<'_, '_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "ReadHalf {{ {}, ended: {=bool} }}", Shown(self.socket), self.ended);
    }
}

impl ErrorType for ReadHalf<'_, '_> {
    type Error = Error;
}

impl Read for ReadHalf<'_, '_> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        let result = self.receive(|socket, cx| pin!(socket.read(buf)).poll(cx)).await;
        self.ended |= result == Ok(0) && !buf.is_empty();
        result
    }
}

/// Lends the socket's own ring, up to the place where it wraps around.
///
/// `take` may not use the network stack, which is borrowed meanwhile.
impl ReadWith for ReadHalf<'_, '_> {
    async fn read_with<T>(&mut self, mut take: impl FnMut(&[u8]) -> (usize, T)) -> Result<T, Error> {
        let mut ended = false;
        let result = self.receive(|socket, cx| {
            let lent = pin!(socket.read_with(|bytes| take(bytes))).poll(cx);
            if !matches!(lent, Poll::Ready(Err(_))) {
                return lent;
            }
            // embassy-net's error here is either the end of the stream or a reset. A read tells which.
            match pin!(socket.read(&mut [0])).poll(cx) {
                Poll::Ready(Ok(0)) => {
                    ended = true;
                    Poll::Ready(Ok(take(&[]).1))
                }
                _ => lent,
            }
        });
        let result = result.await;
        self.ended |= ended;
        result
    }
}

/// Writes the bytes of a connection.
///
/// # Cancel safety
///
/// A dropped write has written nothing; a dropped flush can be repeated.
pub struct WriteHalf<'c, 'd> {
    socket: &'c RefCell<TcpSocket<'d>>,
    write_timeout: Timeout,
    /// This direction was ended when the peer's had ended already.
    ended_last: bool,
}

impl WriteHalf<'_, '_> {
    /// Ends the sending direction after what was written. Bytes still in a [`FrameWriter`]'s staging buffer are not:
    /// [`push`](FrameWriter::push) them first. Later writes fail with [`Error::ConnectionReset`].
    pub fn close(&mut self) {
        let mut socket = self.socket.borrow_mut();
        socket.close();
        self.ended_last |= socket.state() == State::LastAck;
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for WriteHalf<'_, '_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "WriteHalf {{ {} }}", Shown(self.socket));
    }
}

impl ErrorType for WriteHalf<'_, '_> {
    type Error = Error;
}

impl Write for WriteHalf<'_, '_> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        let mut patience = Patience::new(self.write_timeout);
        poll_fn(|cx| match pin!(self.socket.borrow_mut().write(buf)).poll(cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(Error::from)),
            Poll::Pending => patience.poll(cx).map(|()| Err(Error::WriteTimeout)),
        })
        .await
    }

    /// Waits until the peer's TCP has acknowledged everything written.
    async fn flush(&mut self) -> Result<(), Error> {
        let mut patience = Patience::new(self.write_timeout);
        let mut unacknowledged = self.socket.borrow().send_queue();
        poll_fn(|cx| {
            let mut socket = self.socket.borrow_mut();
            if let Poll::Ready(result) = pin!(socket.flush()).poll(cx) {
                return Poll::Ready(result.map_err(Error::from));
            }
            if socket.send_queue() < unacknowledged {
                unacknowledged = socket.send_queue();
                patience.renew();
            }
            patience.poll(cx).map(|()| Err(Error::WriteTimeout))
        })
        .await
    }
}

/// A timeout whose clock is not looked at before it is needed: most reads and writes are ready at once.
struct Patience {
    limit: Timeout,
    timer: Option<Timer>,
}

impl Patience {
    fn new(limit: Timeout) -> Self {
        Self { limit, timer: None }
    }

    fn renew(&mut self) {
        self.timer = None;
    }

    /// Ready when it has run out.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.limit.limit() else { return Poll::Pending };
        Pin::new(self.timer.get_or_insert_with(|| Timer::after(limit))).poll(cx)
    }
}

/// Discards what comes, on the socket's own ring, until the peer's direction ends or the connection does.
async fn drain(socket: &RefCell<TcpSocket<'_>>) {
    let discard = || poll_fn(|cx| pin!(socket.borrow_mut().read_with(|bytes| (bytes.len(), ()))).poll(cx));
    while discard().await.is_ok() {}
}

/// smoltcp may hold the acknowledgement of the peer's last segment back for 10 ms. A socket that is used again before
/// would answer the peer's repetition of it with a reset.
const LAST_ACK_DELAY: Duration = Duration::from_millis(20);
