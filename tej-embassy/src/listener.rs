//! Waiting for a peer.

use core::future::{pending, poll_fn};
use core::pin::pin;

use embassy_futures::select::select_slice;
use embassy_net::Stack;
use embassy_net::tcp::State;

#[cfg(feature = "defmt")]
use crate::link::Shown;
use crate::link::{Link, settle};
use crate::{Buffers, Config, Connection};

/// Accepts one connection at a time on a TCP port.
///
/// A listener is one socket, and embassy-net has no backlog: a client that comes while the listener is busy with
/// another is refused (its connect is answered with a reset) at once, not queued. [`serve`] is N of them on the same
/// port; they may also be in N tasks.
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
        let limit = self.link.settings.connect.duration();
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

#[cfg(feature = "defmt")]
impl defmt::Format for Listener<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Listener {{ port: {=u16}, {} }}", self.port, Shown(&self.link.socket));
    }
}

/// Serves clients on `port`, as many at a time as there are `buffers`: each has a socket, which is `handler`'s for as
/// long as a connection lasts, and then listens again. Never returns.
///
/// When it is first polled, as much of the stack is used as the futures of all sockets take, about a KiB each with a simple
/// `handler`. Where that is too much, have a task with a [`Listener`] for each socket: executors make those where they stay.
///
/// A client more is refused at once, by a reset. Give one buffer more than clients to have a socket listening while
/// another still closes. The stack's `StackResources<N>` must count them all.
///
/// Whatever a peer does, its socket is free again in time, if `handler` waits for nothing but the connection and all of
/// [`Config`]'s timeouts are set, with one exception: a peer that sends a byte now and then is alive. Where that is
/// not enough, `handler` is the place for a deadline.
///
/// ```no_run
/// use static_cell::ConstStaticCell;
/// use tej_embassy::{Buffers, Config, serve};
///
/// async fn clients(stack: embassy_net::Stack<'static>) -> ! {
///     static BUFFERS: ConstStaticCell<[Buffers; 4]> = ConstStaticCell::new([const { Buffers::new() }; 4]);
///     serve(stack, 7077, BUFFERS.take(), Config::DEFAULT, async |mut connection| {
///         while let Ok(Some(_event)) = connection.split().0.next().await {}
///         let _ = connection.close().await;
///     })
///     .await
/// }
/// ```
///
/// # Panics
///
/// If `port` is 0, or the stack has not as many sockets left.
///
/// # Cancel safety
///
/// Dropping the future resets every connection and frees the sockets.
pub async fn serve<
    'd,
    const N: usize,
    const RX: usize,
    const TX: usize,
    const READ: usize,
    const STAGE: usize,
    const NAME: usize,
>(
    stack: Stack<'d>,
    port: u16,
    buffers: &'d mut [Buffers<RX, TX, READ, STAGE, NAME>; N],
    config: Config,
    handler: impl AsyncFn(Connection<'_, 'd>),
) -> ! {
    let handler = &handler;
    let sockets = pin!(buffers.each_mut().map(async |buffers| {
        let mut listener = Listener::new(stack, port, buffers, config);
        loop {
            handler(listener.accept().await).await;
        }
    }));
    let _: ((), usize) = select_slice(sockets).await;
    pending().await
}

// What a device pays for a socket that listens and for its connection, beside the buffers and the name: 256 bytes on a
// 32-bit processor.
const _: () =
    assert!(size_of::<Listener<'_>>() + size_of::<Connection<'_, '_>>() <= 192 + 16 * size_of::<usize>());
