//! Calling a peer, again and again.

use embassy_net::tcp::ConnectError;
use embassy_net::{IpEndpoint, Stack};
use embassy_time::{Duration, Instant, Timer, with_timeout};

#[cfg(feature = "defmt")]
use crate::link::Shown;
use crate::link::{Link, abort, settle};
use crate::{Backoff, Buffers, Config, Connection};

/// Connects to one peer, one connection at a time.
pub struct Dialer<'d> {
    stack: Stack<'d>,
    link: Link<'d>,
    remote: IpEndpoint,
    backoff: Backoff,
    /// When the last connection was made, if [`Dialer::redial`] has not looked at it yet.
    connected_at: Option<Instant>,
}

impl<'d> Dialer<'d> {
    /// A dialer for `remote`. It takes up one of the stack's sockets until it is dropped.
    ///
    /// # Panics
    ///
    /// If the stack has no socket left.
    pub fn new<const RX: usize, const TX: usize, const READ: usize, const STAGE: usize, const NAME: usize>(
        stack: Stack<'d>,
        remote: impl Into<IpEndpoint>,
        buffers: &'d mut Buffers<RX, TX, READ, STAGE, NAME>,
        config: Config,
        backoff: Backoff,
    ) -> Self {
        let link = Link::new(stack, buffers, config);
        Self { stack, link, remote: remote.into(), backoff, connected_at: None }
    }

    /// Tries to connect, once and at once.
    ///
    /// # Errors
    ///
    /// [`ConnectError::ConnectionReset`]: refused. [`ConnectError::TimedOut`]: no answer within
    /// [`Config::connect_timeout`]. [`ConnectError::NoRoute`]: the stack has no address, or `remote` is none.
    ///
    /// # Cancel safety
    ///
    /// An attempt whose future is dropped is given up; the next call starts another.
    pub async fn connect(&mut self) -> Result<Connection<'_, 'd>, ConnectError> {
        self.attempt().await?;
        Ok(self.link.connection())
    }

    /// Connects, however often it takes: waits until the stack has an address, tries, and waits for the back-off's
    /// next delay after every failure. `failed` is told of each, and of the delay that follows.
    ///
    /// The back-off starts again with its first delay only after a connection that lasted as long as its longest
    /// one. After a shorter one the delay goes on growing, so that a peer which accepts and closes is not stormed.
    ///
    /// A fleet that must not redial in step gives its devices [jitter](Backoff::with_jitter).
    ///
    /// # Cancel safety
    ///
    /// As for [`connect`](Self::connect); the back-off remembers the failures so far, but not the delay that it was in.
    pub async fn redial(&mut self, mut failed: impl FnMut(ConnectError, Duration)) -> Connection<'_, 'd> {
        if let Some(at) = self.connected_at.take() {
            if at.elapsed() >= self.backoff.longest() {
                self.backoff.reset();
            } else {
                Timer::after(self.backoff.next_delay()).await;
            }
        }
        loop {
            self.stack.wait_config_up().await;
            let Err(error) = self.attempt().await else { break };
            let delay = self.backoff.next_delay();
            failed(error, delay);
            Timer::after(delay).await;
        }
        self.connected_at = Some(Instant::now());
        self.link.connection()
    }

    /// The peer that is called.
    pub fn remote_endpoint(&self) -> IpEndpoint {
        self.remote
    }

    async fn attempt(&mut self) -> Result<(), ConnectError> {
        let limit = self.link.settings.connect.duration();
        // What is open here is an attempt that was dropped.
        abort(self.link.socket.get_mut());
        settle(&self.link.socket).await;
        let socket = self.link.socket.get_mut();
        // The limit is watched here, where it can be told from a refusal.
        socket.set_timeout(None);
        let result = with_timeout(limit, socket.connect(self.remote)).await;
        let result = result.unwrap_or(Err(ConnectError::TimedOut));
        if result.is_err() {
            abort(socket);
        }
        result
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Dialer<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "Dialer {{ remote: {}, backoff: {}, {} }}",
            self.remote,
            self.backoff,
            Shown(&self.link.socket)
        );
    }
}
