//! Peers that go away in the middle.

use embassy_net::Stack;
use embassy_time::{Duration, Timer};
use embedded_io_async::Write;

use crate::connect;

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

/// Connects to `port` of the second stack, sends `bytes` and goes away. For what a server does with a stream that is cut
/// at every byte:
///
/// ```
/// use embassy_futures::select::select;
/// use embassy_net::{Stack, tcp::TcpSocket};
/// use tej_testkit::{End, Frame, leak, on_two_stacks, send_cut};
///
/// /// Yours: a server that goes on for ever.
/// async fn server(stack: Stack<'static>) {
///     let mut socket = TcpSocket::new(stack, leak([0; 1024]), leak([0; 1024]));
///     loop {
///         socket.accept(7077).await.unwrap();
///         while matches!(socket.read(&mut [0; 64]).await, Ok(1..)) {}
///         socket.close();
///         let _ = socket.flush().await;
///         socket.abort();
///         let _ = socket.flush().await;
///     }
/// }
///
/// on_two_stacks(async |here, there, _wire| {
///     let clients = async {
///         let stream = Frame::file("a.bin", vec![1, 2, 3]).encode();
///         for end in [End::Closed, End::Reset] {
///             for cut in 0..=stream.len() {
///                 send_cut(here, 7077, &stream[..cut], end).await;
///             }
///         }
///     };
///     select(server(there), clients).await;
/// });
/// ```
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
