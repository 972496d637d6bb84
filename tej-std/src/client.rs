//! The client's side: one peer, connected to again and again.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument;

use crate::server::connect_tcp;
use crate::service::{self, Handler, Options};
use crate::{Config, Connection};

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
#[derive(Clone, Debug)]
pub struct Client {
    address: String,
    config: Config,
    redial: Redial,
}

/// How long a [`Client`] waits before it connects again: at first, then twice as long each time, up to the longest, and
/// always up to a quarter less by chance, so that the clients of a server that was away do not all come back at once.
///
/// It starts again with the first only after a connection that lasted for the longest, so that a peer which accepts and
/// closes is not stormed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redial {
    /// The first wait.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Default for Redial {
    /// A quarter of a second, up to 30 seconds: soon back after a glitch, and two attempts a minute at a server that is
    /// down.
    fn default() -> Self {
        Self { first: Duration::from_millis(250), longest: Duration::from_secs(30) }
    }
}

impl Client {
    /// A client of the peer at `address`, HOST:PORT, which is resolved anew for each connection.
    pub fn new(address: impl Into<String>, config: Config) -> Self {
        Self { address: address.into(), config, redial: Redial::default() }
    }

    /// Changes how long it waits before it connects again.
    #[must_use]
    pub fn with_redial(mut self, redial: Redial) -> Self {
        self.redial = redial;
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
    /// Why a connection ended, [`Handler::disconnected`] is told; why there was none, is logged. A handler that panics
    /// takes down its own connection alone.
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
            let stream = connect_tcp(&self.address, &self.config).await?;
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
        use crate::tls::HandshakeError;

        let connect = || async {
            let stream = connect_tcp(&self.address, &self.config).await.map_err(HandshakeError::Connect)?;
            let peer = stream.peer_addr().map_err(HandshakeError::Connect)?;
            stream.set_nodelay(true).map_err(HandshakeError::Connect)?;
            let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
            Ok::<_, HandshakeError>((connector.connect_over(stream, host, &self.config).await?, peer))
        };
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
        E: Display,
        H: Handler + 'static,
    {
        let (stopping, stop) = watch::channel(false);
        let mut shutdown = std::pin::pin!(shutdown);
        let mut wait = self.redial.first;
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
                    if since.elapsed() >= self.redial.longest {
                        wait = self.redial.first;
                    }
                }
                Err(error) => tracing::warn!("cannot connect to {}: {error}; trying again", self.address),
            }
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = sleep(wait.mul_f64(1.0 - fastrand::f64() / 4.0)) => {}
            }
            wait = wait.saturating_mul(2).min(self.redial.longest);
        }
    }
}
