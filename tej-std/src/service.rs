//! Programs that react to what their peers do.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::Instrument;

use crate::{
    Connection, IncomingFrame, OutgoingFrame, ReceiveError, Receiver, SendError, Sender, Server, Status,
};

/// What a program does about a connection; one value for each.
///
/// The calls of one connection come one after the other, and the next frame is not read before the one before has been
/// handled: a slow handler slows its peer, and nothing piles up. Each may send, through `peer`.
///
/// # Cancel safety
///
/// A call goes on to its end whatever becomes of the connection: when a write fails, when [`Peer::close`] is called and
/// when the server shuts down. Its sends fail with [`Gone`] once a write has failed. Only at the deadline of the shutdown
/// are the futures of its calls dropped, and with the future of [`serve`].
///
/// ```
/// use tej_std::service::{Failed, Frame, Handler, Peer};
/// use tej_std::{OutgoingFrame, Status};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     async fn received(&mut self, peer: &Peer, frame: &mut Frame<'_>) -> Result<(), Failed> {
///         let message = frame.message().await?;
///         peer.send(OutgoingFrame::new(Status::ZERO).message(message)).await?;
///         Ok(())
///     }
/// }
/// # let _ = Echo;
/// ```
pub trait Handler: Send {
    /// The peer is connected.
    ///
    /// # Errors
    ///
    /// Any error ends the connection, here as in the other calls, once what is queued has been sent. What is left of the
    /// frame is not waited for. A [`ReceiveError`] that is passed on is [`End::Receive`].
    fn connected(&mut self, peer: &Peer) -> impl Future<Output = Result<(), Failed>> + Send {
        let _ = peer;
        async { Ok(()) }
    }

    /// A frame has begun to come, which is no ping: take its files and its message from it. What is not taken is passed
    /// over.
    ///
    /// # Errors
    ///
    /// See [`connected`](Self::connected).
    fn received(
        &mut self,
        peer: &Peer,
        frame: &mut Frame<'_>,
    ) -> impl Future<Output = Result<(), Failed>> + Send;

    /// A ping has come, which may carry files and a message as any other frame. Never answer with a ping: two peers
    /// that did would not stop.
    ///
    /// # Errors
    ///
    /// See [`connected`](Self::connected).
    fn ping_received(
        &mut self,
        peer: &Peer,
        frame: &mut Frame<'_>,
    ) -> impl Future<Output = Result<(), Failed>> + Send {
        let _ = (peer, frame);
        async { Ok(()) }
    }

    /// The connection is over, as `end` says; nothing more can be sent. Not called after a panic of the handler, nor for
    /// a connection that is given up at the deadline of a shutdown.
    fn disconnected(&mut self, peer: &Peer, end: &End) -> impl Future<Output = ()> + Send {
        let _ = (peer, end);
        async {}
    }
}

/// A frame as a [`Handler`] gets it, whatever the transport is.
pub type Frame<'r> = IncomingFrame<'r, Box<dyn AsyncRead + Send + Unpin>>;

/// Why a handler gives up its connection: anything.
pub type Failed = Box<dyn Error + Send + Sync>;

/// How a connection ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum End {
    /// The peer closed it between two frames, or we did after [`Peer::close`].
    Closed,
    /// The server shut down.
    Shutdown,
    /// Receiving failed.
    Receive(ReceiveError),
    /// Sending failed.
    Send(SendError),
    /// The handler gave it up.
    Handler(Failed),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Shutdown => f.write_str("shut down"),
            Self::Receive(error) => error.fmt(f),
            Self::Send(error) => error.fmt(f),
            Self::Handler(error) => error.fmt(f),
        }
    }
}

/// Somebody to send to. Clones reach the same peer, from any task, and their frames never mix.
#[derive(Clone, Debug)]
pub struct Peer {
    address: Option<SocketAddr>,
    queue: mpsc::Sender<OutgoingFrame<'static>>,
    closing: watch::Sender<bool>,
}

impl Peer {
    /// The address of a peer that came over the network.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Queues a frame, behind those that are queued already; waits while [`Options::queue`] of them are.
    ///
    /// A handler that waits here reads nothing meanwhile. With a peer that does the same, neither goes on before
    /// [`Timeouts::write`](crate::Timeouts::write) or [`Timeouts::idle`](crate::Timeouts::idle) ends it: send what is
    /// large from a task of its own, or with [`try_send`](Self::try_send).
    ///
    /// # Errors
    ///
    /// The connection is over.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has queued nothing.
    pub async fn send(&self, frame: OutgoingFrame<'static>) -> Result<(), Gone> {
        self.queue.send(frame).await.map_err(|_| Gone)
    }

    /// Queues a frame if there is room for it.
    ///
    /// # Errors
    ///
    /// The queue is full, and the frame is given back; or the connection is over.
    pub fn try_send(&self, frame: OutgoingFrame<'static>) -> Result<(), NotQueued> {
        self.queue.try_send(frame).map_err(|error| match error {
            mpsc::error::TrySendError::Full(frame) => NotQueued::Full(frame),
            mpsc::error::TrySendError::Closed(_) => NotQueued::Gone,
        })
    }

    /// Queues a message.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub async fn send_message(&self, status: Status, message: impl Into<Vec<u8>>) -> Result<(), Gone> {
        self.send(OutgoingFrame::new(status).message(message.into())).await
    }

    /// Ends the connection once what is queued has been sent, for which only [`Timeouts::write`](crate::Timeouts::write)
    /// and [`Timeouts::idle`](crate::Timeouts::idle) set a time. Frames that still come are not handled. One that the
    /// handler is at, however large, is; what the handler leaves of it is not waited for.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }
}

/// The connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is over")
    }
}

impl Error for Gone {}

/// Why a frame was not queued.
#[derive(Debug)]
pub enum NotQueued {
    /// As many are queued as may be; here is this one back.
    Full(OutgoingFrame<'static>),
    /// The connection is over.
    Gone,
}

impl fmt::Display for NotQueued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the queue of this peer is full"),
            Self::Gone => Gone.fmt(f),
        }
    }
}

impl Error for NotQueued {}

/// How connections are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Frames that wait to be sent to one peer, at least 1. Paths and readers take little memory, bytes take theirs; a path
    /// takes no file descriptor before it is sent.
    pub queue: usize,
    /// Sends a ping when nothing was sent for so long, which keeps a peer with an idle timeout, and the address
    /// translation on the way, from forgetting us. `None` sends none.
    pub ping_interval: Option<Duration>,
    /// Pings that are taken from a peer in one second, at least 1; what is more has to wait, and slows the peer.
    pub pings_per_second: u32,
    /// How long connections may take to end once a server shuts down.
    pub shutdown: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { queue: 16, ping_interval: None, pings_per_second: 10, shutdown: Duration::from_secs(10) }
    }
}

/// Serves one connection until it ends.
///
/// Once we have ended our direction, what the peer still sends is read and thrown away, for up to half a minute or five
/// seconds of silence: only so does it surely get what was sent before. For any number of connections, see
/// [`Server::serve`]; for one that is made again and again, [`Client::serve`](crate::Client::serve).
///
/// # Cancel safety
///
/// A dropped future ends the connection in the middle of whatever it was at, without [`Handler::disconnected`].
pub async fn serve<R, W>(
    connection: Connection<R, W>,
    address: Option<SocketAddr>,
    handler: impl Handler,
    options: &Options,
) -> End
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let (_never, stop) = watch::channel(false);
    run(connection, address, handler, options, stop).await
}

impl Server {
    /// Serves every peer with a handler that `handler` makes for it, until `shutdown` is ready. Then it closes what it
    /// accepts, lets each connection end with the frame that it is at and send what is queued, and gives up those that
    /// have not ended within [`Options::shutdown`]. The listener is closed when the server is dropped.
    ///
    /// A handler that panics takes down its own connection alone; `handler`, when it panics, the server.
    ///
    /// # Errors
    ///
    /// The listener is of no use any more; the connections have been ended as above.
    pub async fn serve<H: Handler + 'static>(
        &self,
        mut handler: impl FnMut(SocketAddr) -> H,
        options: Options,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let work = |(connection, address): (Connection, _), stop| {
            let handler = handler(address);
            let span = tracing::info_span!("connection", %address);
            let work = async move {
                let end = run(connection, Some(address), handler, &options, stop).await;
                tracing::debug!(%end, "disconnected");
            };
            work.instrument(span)
        };
        serve_by(|| self.accept(), work, options.shutdown, shutdown).await
    }

    /// As [`serve`](Self::serve), over TLS. A peer that fails the handshake is logged; its handler is dropped without a
    /// call.
    ///
    /// # Errors
    ///
    /// As for [`serve`](Self::serve).
    #[cfg(feature = "tls")]
    pub async fn serve_tls<H: Handler + 'static>(
        &self,
        acceptor: &crate::tls::Acceptor,
        mut handler: impl FnMut(SocketAddr) -> H,
        options: Options,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let work = |(stream, address, place): (_, SocketAddr, _), mut stop: watch::Receiver<bool>| {
            let (handler, acceptor, config) = (handler(address), acceptor.clone(), self.config().clone());
            let span = tracing::info_span!("connection", %address);
            let work = async move {
                let accepted = tokio::select! {
                    accepted = acceptor.accept(stream, &config) => accepted,
                    () = requested(&mut stop) => return,
                };
                match accepted {
                    Ok(connection) => {
                        let connection = connection.holding(place);
                        let end = run(connection, Some(address), handler, &options, stop).await;
                        tracing::debug!(%end, "disconnected");
                    }
                    Err(error) => tracing::warn!("the TLS handshake failed: {error}"),
                }
            };
            work.instrument(span)
        };
        serve_by(|| self.accept_stream(), work, options.shutdown, shutdown).await
    }
}

/// Does the `work` of each peer that is accepted, in a task of its own, until `shutdown` is ready; then lets them end
/// within `grace`.
async fn serve_by<P, A, W>(
    accept: impl Fn() -> A,
    mut work: impl FnMut(P, watch::Receiver<bool>) -> W,
    grace: Duration,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()>
where
    A: Future<Output = io::Result<P>>,
    W: Future<Output = ()> + Send + 'static,
{
    let (stopping, stop) = watch::channel(false);
    let mut peers = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let outcome = loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break Ok(()),
            Some(ended) = peers.join_next() => report(ended),
            accepted = accept() => match accepted {
                Ok(peer) => drop(peers.spawn(work(peer, stop.clone()))),
                Err(error) => break Err(error),
            },
        }
    };
    stopping.send_replace(true);
    let ended = async {
        while let Some(ended) = peers.join_next().await {
            report(ended);
        }
    };
    // Who comes now would wait in the listener's queue and hear nothing.
    let refuse = async {
        while accept().await.is_ok() {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        _ = timeout(grace, ended) => {}
        () = refuse => {}
    }
    // Those that are left are dropped where they stand.
    if !peers.is_empty() {
        tracing::warn!(connections = peers.len(), "still open at the deadline of the shutdown, and given up");
    }
    peers.shutdown().await;
    outcome
}

pub(crate) fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a handler panicked, and its connection is gone: {error}");
    }
}

pub(crate) async fn run<R, W>(
    connection: Connection<R, W>,
    address: Option<SocketAddr>,
    mut handler: impl Handler,
    options: &Options,
    stop: watch::Receiver<bool>,
) -> End
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let (receiver, sender) = connection.split();
    let mut receiver = receiver.boxed();
    let (queue, frames) = mpsc::channel(options.queue.max(1));
    let (closing, closed) = watch::channel(false);
    let (finishing, finish) = watch::channel(false);
    let peer = Peer { address, queue, closing };
    // A task of its own: beside a receiver that always has something to do it would hardly get a turn. It ends with us.
    let mut writer = JoinSet::new();
    writer.spawn(write(sender, frames, options.ping_interval, finish).in_current_span());
    let (end, failed) = {
        let mut read = std::pin::pin!(read(&mut receiver, &mut handler, &peer, options, [stop, closed]));
        tokio::select! {
            biased;
            end = &mut read => (end, None),
            result = written(&mut writer) => {
                // What failed is the peer or the line, and what came before that is still handled to its end; or it is
                // ours to end the connection.
                if !matches!(result, Err(SendError::Closed | SendError::Io(_))) {
                    peer.close();
                }
                (read.await, Some(result))
            }
        }
    };
    let (end, lingers) = match failed {
        // A handler that gives up because it cannot send says nothing new.
        Some(Err(error)) => match end {
            End::Handler(failed) if !failed.is::<Gone>() => (End::Handler(failed), false),
            _ => (End::Send(error), false),
        },
        Some(Ok(())) => (end, true),
        None => {
            // What was queued before the end still goes: a peer may have ended its direction alone. One that pushes
            // before it reads has to be read from, or neither goes on.
            finishing.send_replace(true);
            let passing = async {
                loop {
                    match pass(&mut receiver).await {
                        Ok(0) => return Ok(()),
                        Ok(_) => {}
                        Err(error) => return Err(SendError::from_transport(error)),
                    }
                }
            };
            let sent = tokio::select! {
                biased;
                sent = written(&mut writer) => sent,
                passed = passing => match passed {
                    Ok(()) => written(&mut writer).await,
                    Err(error) => Err(error),
                },
            };
            match sent {
                Ok(()) => (end, true),
                Err(error) if matches!(end, End::Closed | End::Shutdown) => (End::Send(error), false),
                Err(_) => (end, false),
            }
        }
    };
    drop(writer);
    let linger = async {
        if lingers {
            linger(&mut receiver).await;
        }
    };
    tokio::join!(handler.disconnected(&peer, &end), linger);
    end
}

/// What the writer came to, once it is done.
async fn written(writer: &mut JoinSet<Result<(), SendError>>) -> Result<(), SendError> {
    match writer.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(error)) => match error.try_into_panic() {
            // Of a reader that the handler has queued: it fares as if the handler itself had panicked.
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(SendError::Interrupted),
        },
        None => Err(SendError::Interrupted),
    }
}

/// Reads on for a while after our direction was ended. TCP that is closed with bytes unread, or gets more of them,
/// resets the connection, and what the peer has not read by then of what we sent is lost to it (RFC 9293, 3.6; RFC 9112,
/// 9.6).
async fn linger(receiver: &mut Receiver<Box<dyn AsyncRead + Send + Unpin>>) {
    let end = Instant::now() + LINGER;
    while let Ok(Ok(1..)) = timeout_at(end.min(Instant::now() + LINGER_SILENCE), pass(receiver)).await
        && Instant::now() < end
    {}
}

/// Reads something that nobody wants; how much, 0 at the end of the stream.
async fn pass(receiver: &mut Receiver<Box<dyn AsyncRead + Send + Unpin>>) -> io::Result<usize> {
    receiver.read.inside_frame(false);
    let read = poll_fn(|cx| {
        let mut bytes = [MaybeUninit::uninit(); 16 * 1024];
        let mut read = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut receiver.read).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(read.filled().len()))
    });
    read.await
}

/// Receives until the end, one frame after the other.
async fn read(
    receiver: &mut Receiver<Box<dyn AsyncRead + Send + Unpin>>,
    handler: &mut impl Handler,
    peer: &Peer,
    options: &Options,
    mut requests: [watch::Receiver<bool>; 2],
) -> End {
    if let Err(error) = handler.connected(peer).await {
        return End::Handler(error);
    }
    let mut pings = Allowance::new(options.pings_per_second);
    loop {
        let frame = tokio::select! {
            biased;
            end = asked(&mut requests) => return end,
            frame = receiver.next_frame() => frame,
        };
        let mut frame = match frame {
            Ok(Some(frame)) => frame,
            Ok(None) => return End::Closed,
            Err(error) => return End::Receive(error),
        };
        let handled = if frame.status().is_ping() {
            pings.take().await;
            handler.ping_received(peer, &mut frame).await
        } else {
            handler.received(peer, &mut frame).await
        };
        if let Err(failed) = handled {
            return failed_by(failed);
        }
        // What the handler has left of the frame may be much.
        let passed = tokio::select! {
            biased;
            end = asked(&mut requests) => return end,
            passed = frame.finish() => passed,
        };
        if let Err(error) = passed {
            return End::Receive(error);
        }
    }
}

/// The end that a shutdown or a close asks for, once one of them does.
async fn asked([stop, closed]: &mut [watch::Receiver<bool>; 2]) -> End {
    tokio::select! {
        biased;
        () = requested(stop) => End::Shutdown,
        () = requested(closed) => End::Closed,
    }
}

/// The end by a handler's error: the peer's fault, where the handler only passed it on.
fn failed_by(failed: Failed) -> End {
    let failed = match failed.downcast::<io::Error>() {
        // From the reader of a file.
        Ok(error) => error.downcast::<ReceiveError>().map_or_else(Failed::from, Failed::from),
        Err(failed) => failed,
    };
    failed.downcast::<ReceiveError>().map_or_else(End::Handler, |error| End::Receive(*error))
}

/// Sends what is queued, and pings when nothing is; once it is to finish, sends the rest and ends our direction.
async fn write<W: AsyncWrite + Unpin>(
    mut sender: Sender<W>,
    mut frames: mpsc::Receiver<OutgoingFrame<'static>>,
    ping_interval: Option<Duration>,
    mut finish: watch::Receiver<bool>,
) -> Result<(), SendError> {
    loop {
        let ping = async {
            match ping_interval {
                Some(interval) => sleep(interval).await,
                None => std::future::pending().await,
            }
        };
        let frame = tokio::select! {
            biased;
            // Before the frames, of which others might queue more and more.
            () = requested(&mut finish) => {
                frames.close();
                break;
            }
            frame = frames.recv() => frame,
            () = ping => {
                sender.send_ping().await?;
                continue;
            }
        };
        match frame {
            Some(frame) => sender.send_frame(frame).await?,
            None => break,
        }
    }
    // Not `recv`, which waits for whoever has been given room and does not use it.
    while let Ok(frame) = frames.try_recv() {
        sender.send_frame(frame).await?;
    }
    // Those that wait for room learn that there will be none.
    drop(frames);
    sender.shutdown().await
}

/// Ready once it is requested; never, if nobody can request it any more.
async fn requested(request: &mut watch::Receiver<bool>) {
    if request.wait_for(|requested| *requested).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// So many of something in a second; who wants more has to wait.
struct Allowance {
    each: Duration,
    /// When as many have been taken as were allowed; up to a second of it may be saved.
    spent_until: Instant,
}

impl Allowance {
    fn new(per_second: u32) -> Self {
        Self { each: Duration::from_secs(1) / per_second.max(1), spent_until: Instant::now() }
    }

    async fn take(&mut self) {
        let now = Instant::now();
        self.spent_until = self.spent_until.max(now.checked_sub(Duration::from_secs(1)).unwrap_or(now));
        self.spent_until += self.each;
        if self.spent_until > now {
            sleep(self.spent_until - now).await;
        }
    }
}

/// How long a peer may go on sending, and be silent, after we have ended our direction: as long as nginx has it
/// (`lingering_time` and `lingering_timeout`).
const LINGER: Duration = Duration::from_secs(30);
const LINGER_SILENCE: Duration = Duration::from_secs(5);
