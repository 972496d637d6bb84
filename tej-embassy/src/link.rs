//! A socket and the buffers around it, between two connections.

use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::pin::pin;

use embassy_net::Stack;
use embassy_net::tcp::{State, TcpSocket};
use embassy_time::{Duration, with_timeout};

use crate::config::Settings;
use crate::connection::Connection;
use crate::{Buffers, Config};

pub(crate) struct Link<'d> {
    /// Shared by the halves of a connection, each of which borrows it for the length of one poll.
    pub(crate) socket: RefCell<TcpSocket<'d>>,
    read: &'d mut [u8],
    stage: &'d mut [u8],
    name: &'d mut [u8],
    pub(crate) settings: Settings,
}

impl<'d> Link<'d> {
    pub(crate) fn new<
        const RX: usize,
        const TX: usize,
        const READ: usize,
        const STAGE: usize,
        const NAME: usize,
    >(
        stack: Stack<'d>,
        buffers: &'d mut Buffers<RX, TX, READ, STAGE, NAME>,
        config: Config,
    ) -> Self {
        let mut socket = TcpSocket::new(stack, &mut buffers.rx.0, &mut buffers.tx.0);
        // Small frames go at once; `FrameWriter` collects what belongs together.
        socket.set_nagle_enabled(false);
        Self {
            socket: RefCell::new(socket),
            read: &mut buffers.read.0,
            stage: &mut buffers.stage.0,
            name: &mut buffers.name,
            settings: config.into(),
        }
    }

    /// The connection that the socket now has, at its start.
    pub(crate) fn connection(&mut self) -> Connection<'_, 'd> {
        let socket = self.socket.get_mut();
        let lost = self.settings.lost.limit();
        socket.set_timeout(lost);
        // With a timeout but no keep-alive, smoltcp would reset a connection that merely is idle.
        socket.set_keep_alive(lost.map(|timeout| timeout / KEEP_ALIVES_PER_TIMEOUT));
        Connection::new(&self.socket, self.read, self.stage, self.name, &self.settings)
    }
}

/// A socket in logs: its state, and its peer.
#[cfg(feature = "defmt")]
pub(crate) struct Shown<'s, 'd>(pub(crate) &'s RefCell<TcpSocket<'d>>);

#[cfg(feature = "defmt")]
impl defmt::Format for Shown<'_, '_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self.0.try_borrow() {
            Ok(socket) => defmt::write!(f, "{} with {}", socket.state(), socket.remote_endpoint()),
            // Whoever logs was called while the socket lends its ring.
            Err(_) => defmt::write!(f, "in use"),
        }
    }
}

/// Resets the connection, unless it has ended already: a reset after the orderly end of a connection can cost the
/// peer what it has received but not read.
pub(crate) fn abort(socket: &mut TcpSocket<'_>) {
    if !matches!(socket.state(), State::Closed | State::TimeWait) {
        socket.abort();
    }
}

/// Waits until a pending reset is on the wire, or cannot be sent. A socket that is used again before has forgotten
/// to send it.
pub(crate) async fn settle(socket: &RefCell<TcpSocket<'_>>) {
    if socket.borrow().state() == State::Closed {
        // The error is "not sent in time": the link is down, or the peer's address cannot be resolved.
        let _ = with_timeout(RESET_TIMEOUT, flush(socket)).await;
    }
}

/// Waits until everything that was sent is acknowledged, the end of the stream too, or the connection is gone and
/// its reset sent.
pub(crate) async fn flush(socket: &RefCell<TcpSocket<'_>>) {
    // embassy-net's flush cannot fail; whether it was for the best, the socket's state tells.
    let _ = poll_fn(|cx| pin!(socket.borrow_mut().flush()).poll(cx)).await;
}

/// One keep-alive may be lost, and its repetition, before a peer is taken for gone.
const KEEP_ALIVES_PER_TIMEOUT: u32 = 4;

/// A reset leaves at once unless the link is down or the peer's hardware address is unknown; smoltcp asks for the
/// latter once a second.
const RESET_TIMEOUT: Duration = Duration::from_millis(1500);
