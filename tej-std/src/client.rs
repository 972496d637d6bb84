//! The client's side: one peer, connected to again and again.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument;

use crate::service::{self, Handler, Options};
use crate::{Config, Connection, tcp};

/// Connects to one peer, and stays connected: what [`Server`](crate::Server) is at the other end. For a single connection
/// [`connect`](crate::connect) is enough.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tej_std::service::{Failed, Frame, Handler, Options, Peer};
/// use tej_std::{Client, Config, Status};
///
/// struct Sensor;
///
/// impl Handler for Sensor {
///     async fn connected(&mut self, peer: &Peer) -> Result<(), Failed> {
///         Ok(peer.send_message(Status::ZERO, "23.5 °C").await?)
///     }
///
///     async fn received(&mut self, _: &Peer, frame: &mut Frame<'_>) -> Result<(), Failed> {
///         println!("{}", String::from_utf8_lossy(&frame.message().await?));
///         Ok(())
///     }
/// }
///
/// let client = Client::new("collector.example:8000", Config::default());
/// let interrupted = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
/// client.serve(|| Sensor, Options::default(), interrupted).await;
/// # Ok(())
/// # }
/// ```
pub struct Client {
    address: String,
    config: Config,
    backoff: Backoff,
    watch: Option<Box<Watch>>,
}

type Watch = dyn Fn(&(dyn Error + 'static)) + Send + Sync;

/// How long a [`Client`] waits before it connects again: at first, then twice as long each time, up to the longest, and
/// always up to a quarter less by chance, so that the clients of a server that was away do not all come back at once.
///
/// It starts again with the first only after a connection that lasted for the longest, from its beginning until the peer is
/// no longer listened to, so that a peer which accepts and closes is not stormed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Default for Backoff {
    /// A quarter of a second, up to 30 seconds: soon back after a glitch, and two attempts a minute at a server that is
    /// down.
    fn default() -> Self {
        Self { first: Duration::from_millis(250), longest: Duration::from_secs(30) }
    }
}

impl Client {
    /// A client of the peer at `address`, HOST:PORT, which is resolved anew for each connection.
    pub fn new(address: impl Into<String>, config: Config) -> Self {
        Self { address: address.into(), config, backoff: Backoff::default(), watch: None }
    }

    /// Changes how long it waits before it connects again.
    #[must_use]
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Has `watch` told why it could not connect, which is logged as well: an [`io::Error`] or, over TLS, a
    /// `tls::HandshakeError`. It is tried again in any case, also where that will not help, as with a name that does not
    /// exist or a peer that is somebody else: then end it by what `shutdown` waits for.
    #[must_use]
    pub fn with_watch(mut self, watch: impl Fn(&(dyn Error + 'static)) + Send + Sync + 'static) -> Self {
        self.watch = Some(Box::new(watch));
        self
    }

    /// HOST:PORT of the peer.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Connects, once.
    ///
    /// # Errors
    ///
    /// As for [`connect`](crate::connect).
    pub async fn connect(&self) -> io::Result<Connection> {
        crate::connect(&self.address, &self.config).await
    }

    /// Connects, serves the connection with what `handler` makes for it, and connects again when it is over or could not
    /// be made, until `shutdown` is ready. Then it lets the connection end with the frame that it is at and send what is
    /// queued, and gives it up after [`Options::shutdown`].
    ///
    /// Why a connection ended, [`Handler::disconnected`] is told; why there was none, [`with_watch`](Self::with_watch). A
    /// handler that panics takes down its own connection alone; `handler`, when it panics, the client. What was queued for
    /// a connection and not sent before it was over, is gone with it.
    ///
    /// A peer that is gone without a word is noticed after [`Timeouts::lost`](crate::Timeouts::lost), and before that by
    /// what is sent; one whose program hangs, by [`Timeouts::idle`](crate::Timeouts::idle) alone, for which it has to send
    /// pings.
    ///
    /// # Cancel safety
    ///
    /// A dropped future ends the connection in the middle of whatever it was at, without [`Handler::disconnected`].
    pub async fn serve<H: Handler + 'static>(
        &self,
        handler: impl FnMut() -> H,
        options: Options,
        shutdown: impl Future<Output = ()>,
    ) {
        let connect = || async {
            let stream = tcp::connect(&self.address, &self.config).await?;
            let peer = stream.peer_addr()?;
            Ok::<_, io::Error>((Connection::from_tcp(stream, &self.config)?, peer))
        };
        self.serve_by(connect, handler, options, shutdown).await;
    }

    /// As [`serve`](Self::serve), over TLS.
    #[cfg(feature = "tls")]
    pub async fn serve_tls<H: Handler + 'static>(
        &self,
        connector: &crate::tls::Connector,
        handler: impl FnMut() -> H,
        options: Options,
        shutdown: impl Future<Output = ()>,
    ) {
        let connect = || connector.connect_to(&self.address, &self.config);
        self.serve_by(connect, handler, options, shutdown).await;
    }

    async fn serve_by<C, R, W, E, H>(
        &self,
        connect: impl Fn() -> C,
        mut handler: impl FnMut() -> H,
        options: Options,
        shutdown: impl Future<Output = ()>,
    ) where
        C: Future<Output = Result<(Connection<R, W>, SocketAddr), E>>,
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
        E: Error + 'static,
        H: Handler + 'static,
    {
        let (stopping, stop) = watch::channel(false);
        let mut shutdown = std::pin::pin!(shutdown);
        let mut wait = self.backoff.first.min(self.backoff.longest);
        loop {
            let connected = tokio::select! {
                biased;
                () = &mut shutdown => return,
                connected = connect() => connected,
            };
            match connected {
                Ok((connection, peer)) => {
                    let since = Instant::now();
                    let handler = handler();
                    let stop = stop.clone();
                    let work = async move {
                        let end = service::run(connection, Some(peer), handler, &options, stop).await;
                        tracing::debug!(%end, "disconnected");
                    };
                    // A task of its own, for a handler that panics.
                    let mut task = JoinSet::new();
                    task.spawn(work.instrument(tracing::info_span!("connection", address = %peer)));
                    tokio::select! {
                        biased;
                        Some(ended) = task.join_next() => service::report(ended),
                        () = &mut shutdown => {
                            stopping.send_replace(true);
                            match timeout(options.shutdown, task.join_next()).await {
                                Ok(ended) => ended.into_iter().for_each(service::report),
                                Err(_) => tracing::warn!("gave the connection up at the deadline of the shutdown"),
                            }
                            return task.shutdown().await;
                        }
                    }
                    if since.elapsed() >= self.backoff.longest {
                        wait = self.backoff.first.min(self.backoff.longest);
                    }
                }
                Err(error) => {
                    tracing::warn!("cannot connect to {}: {error}; trying again", self.address);
                    if let Some(watch) = &self.watch {
                        watch(&error);
                    }
                }
            }
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = sleep(wait.mul_f64(1.0 - fastrand::f64() / 4.0)) => {}
            }
            wait = wait.saturating_mul(2).max(SHORTEST_WAIT).min(self.backoff.longest);
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, backoff, .. } = self;
        f.debug_struct("Client").field("address", address).field("backoff", backoff).finish_non_exhaustive()
    }
}

/// What a wait of nothing is doubled to.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
