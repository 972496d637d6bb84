//! Waiting for a peer.

use core::future::poll_fn;
use core::pin::pin;

use embassy_net::Stack;
use embassy_net::tcp::State;

use crate::link::{Link, settle};
use crate::{Buffers, Config, Connection};

/// Accepts one connection at a time on a TCP port.
///
/// A listener is one socket, and embassy-net has no backlog: a client that comes while the listener is busy with
/// another is refused (its connect is answered with a reset) at once, not queued. To serve N clients at a time, and
/// to have a socket ready while another closes, run N tasks, each with a listener of its own on the same port;
/// the [crate documentation](crate) shows it. The stack's `StackResources<N>` must count them all.
pub struct Listener<'d> {
    link: Link<'d>,
    port: u16,
}

impl<'d> Listener<'d> {
    /// A listener on `port`, on every address of `stack`. It takes up one of the stack's sockets until it is dropped,
    /// and listens while [`accept`](Self::accept) is awaited.
    ///
    /// # Panics
    ///
    /// If `port` is 0, or the stack has no socket left.
    pub fn new<const RX: usize, const TX: usize, const READ: usize, const STAGE: usize, const NAME: usize>(
        stack: Stack<'d>,
        port: u16,
        buffers: &'d mut Buffers<RX, TX, READ, STAGE, NAME>,
        config: Config,
    ) -> Self {
        assert!(port != 0, "port 0 cannot be listened on");
        Self { link: Link::new(stack, buffers, config), port }
    }

    /// Waits for the next client. The connection before this one must have ended, which the borrow sees to.
    ///
    /// A handshake that takes longer than [`Config::connect_timeout`] is given up, and the port listened on again.
    ///
    /// # Cancel safety
    ///
    /// No client is lost: the socket goes on listening, and the next call returns the client that came meanwhile.
    pub async fn accept(&mut self) -> Connection<'_, 'd> {
        let port = self.port;
        let limit = self.link.config.connect_timeout;
        settle(&self.link.socket).await;
        let socket = self.link.socket.get_mut();
        socket.set_timeout(Some(limit));
        poll_fn(|cx| {
            if matches!(socket.state(), State::Closed | State::TimeWait) {
                // This only starts to listen; it cannot be ready, and it can fail only for port 0.
                let _ = pin!(socket.accept(port)).poll(cx);
            }
            // Unlike `accept`, this goes on with a handshake that began before, and sees one that failed.
            pin!(socket.wait_write_ready()).poll(cx)
        })
        .await;
        self.link.connection()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}
