//! Peers that go away in the middle.

use embassy_net::Stack;
use embassy_time::{Duration, Timer};
use embedded_io_async::Write;

use crate::{bytes, connect};

/// How a peer goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It ends its direction and waits for the other to do so.
    Closed,
    /// It resets the connection.
    Reset,
    /// It says nothing more, for so long, and is reset then.
    Silent(Duration),
}

/// Connects to `port` of the second stack, sends `bytes` and goes away.
///
/// # Panics
///
/// If the bytes cannot be sent.
pub async fn send_cut(stack: Stack<'static>, port: u16, bytes: &[u8], end: End) {
    let mut socket = connect(stack, port).await;
    socket.write_all(bytes).await.expect("the peer takes what is sent");
    match end {
        End::Closed => {
            socket.close();
            while matches!(socket.read(&mut [0; 256]).await, Ok(1..)) {}
        }
        End::Reset => {
            // Before the reset, the bytes: it may overtake them otherwise, and they would be forgotten.
            let _ = socket.flush().await;
            socket.abort();
        }
        End::Silent(duration) => {
            Timer::after(duration).await;
            socket.abort();
        }
    }
    let _ = socket.flush().await;
}

/// Clients as nobody wants them, for a server of yours on `port` of the second stack: after each, `is_served` has to find
/// that a good client still is. `sockets` is how many clients the server serves at a time.
///
/// - `stream`, which is what a good client sends, cut at every byte, by an orderly end and by a reset;
/// - `stream` with each of its bits turned over, in its first [`FLIPPED`] bytes;
/// - noise;
/// - as many silent clients as there are sockets, in the middle of `stream`: `is_served` has to wait for them to be given
///   up.
///
/// ```
/// use embassy_futures::select::{Either, select};
/// use embassy_net::{Stack, tcp::TcpSocket};
/// use embassy_time::{Duration, with_timeout};
/// use tej_testkit::{Frame, connect, hostile_clients, leak, on_two_stacks};
///
/// /// Yours: a server that goes on for ever.
/// async fn server(stack: Stack<'static>) {
///     let mut socket = TcpSocket::new(stack, leak([0; 1024]), leak([0; 1024]));
///     loop {
///         socket.accept(7077).await.unwrap();
///         let mut buffer = [0; 64];
///         while let Ok(Ok(1..)) = with_timeout(Duration::from_secs(9), socket.read(&mut buffer)).await {}
///         socket.close();
///         let _ = with_timeout(Duration::from_secs(9), socket.flush()).await;
///         socket.abort();
///         let _ = socket.flush().await;
///     }
/// }
///
/// on_two_stacks(async |here, there, _wire| {
///     let stream = Frame::file("a.bin", vec![1, 2, 3]).encode();
///     let is_served = async || {
///         let mut socket = connect(here, 7077).await;
///         socket.close();
///         // The server closes, too, and is free again.
///         assert_eq!(socket.read(&mut [0]).await, Ok(0));
///     };
///     let clients = hostile_clients(here, 7077, 1, &stream, is_served);
///     assert!(matches!(select(server(there), clients).await, Either::Second(())));
/// });
/// ```
///
/// # Panics
///
/// If a client cannot connect or send.
pub async fn hostile_clients(
    stack: Stack<'static>,
    port: u16,
    sockets: usize,
    stream: &[u8],
    is_served: impl AsyncFn(),
) {
    for end in [End::Closed, End::Reset] {
        for cut in 0..=stream.len() {
            send_cut(stack, port, &stream[..cut], end).await;
            is_served().await;
        }
    }
    for bit in 0..stream.len().min(FLIPPED) * 8 {
        let mut flipped = stream.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        send_cut(stack, port, &flipped, End::Closed).await;
        is_served().await;
    }
    for seed in 0..NOISES {
        send_cut(stack, port, &bytes(seed, NOISE), End::Closed).await;
        is_served().await;
    }
    let mut silent = Vec::new();
    for _ in 0..sockets {
        let mut socket = connect(stack, port).await;
        socket.write_all(&stream[..stream.len() / 2]).await.expect("the peer takes what is sent");
        silent.push(socket);
    }
    is_served().await;
}

/// Bytes of a stream of which every bit is turned over: the heads of a small frame.
pub const FLIPPED: usize = 64;
const NOISES: u32 = 20;
/// Less than a socket's buffers hold, so that it can be sent to a server that has stopped reading.
const NOISE: usize = 500;
