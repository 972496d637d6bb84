//! The same over bare TCP, as what TEJ is compared with.
//!
//! A request is a letter and a number of four bytes, the most significant first:
//!
//! | letter | what follows | answer |
//! |---|---|---|
//! | `d` | so many bytes, thrown away where they lie in the ring | a byte |
//! | `c` | so many bytes, copied out of the ring and thrown away | a byte |
//! | `u` | | so many bytes |
//! | `e` | so many times 32 bytes, the next ones after the answer | the same 32 bytes |
//! | `b` | | [`busy`], four bytes |

use core::convert::Infallible;

use embassy_net::Stack;
use embassy_net::tcp::{AcceptError, Error, TcpSocket};
use embedded_io_async::Write;

use crate::idle::busy;
use crate::{PAYLOAD, PIECE, RING};

/// The rings of a socket, and what is copied out of them.
pub(crate) struct Buffers {
    rx: [u8; RING],
    tx: [u8; RING],
    piece: [u8; PIECE],
}

impl Buffers {
    pub(crate) const fn new() -> Self {
        Self { rx: [0; RING], tx: [0; RING], piece: [0; PIECE] }
    }
}

/// Serves one client after the other.
pub(crate) async fn serve(stack: Stack<'static>, port: u16, buffers: &'static mut Buffers) -> ! {
    let mut socket = TcpSocket::new(stack, &mut buffers.rx, &mut buffers.tx);
    // As tej-embassy has it.
    socket.set_nagle_enabled(false);
    loop {
        let Err(_) = answer(&mut socket, port, &mut buffers.piece).await;
        // The client has gone, or is to go.
        socket.abort();
        let _ = socket.flush().await;
    }
}

async fn answer(socket: &mut TcpSocket<'_>, port: u16, piece: &mut [u8]) -> Result<Infallible, Ended> {
    socket.accept(port).await?;
    loop {
        let mut request = [0; 5];
        read_exact(socket, &mut request).await?;
        let [what, count @ ..] = request;
        let mut left = u32::from_be_bytes(count) as usize;
        match what {
            b'd' => {
                while left > 0 {
                    left -= socket.read_with(|bytes| (bytes.len().min(left), bytes.len().min(left))).await?;
                }
                socket.write_all(b".").await?;
            }
            b'c' => {
                while left > 0 {
                    let most = left.min(piece.len());
                    left -= read(socket, &mut piece[..most]).await?;
                }
                socket.write_all(b".").await?;
            }
            b'u' => {
                while left > 0 {
                    let most = left.min(PAYLOAD.len());
                    left -= socket.write(&PAYLOAD[..most]).await?;
                }
            }
            b'e' => {
                for _ in 0..left {
                    let mut message = [0; 32];
                    read_exact(socket, &mut message).await?;
                    socket.write_all(&message).await?;
                }
            }
            b'b' => socket.write_all(&busy().to_be_bytes()).await?,
            _ => return Err(Ended),
        }
    }
}

async fn read_exact(socket: &mut TcpSocket<'_>, mut buffer: &mut [u8]) -> Result<(), Ended> {
    while !buffer.is_empty() {
        let n = read(socket, buffer).await?;
        buffer = &mut buffer[n..];
    }
    Ok(())
}

async fn read(socket: &mut TcpSocket<'_>, buffer: &mut [u8]) -> Result<usize, Ended> {
    match socket.read(buffer).await? {
        0 => Err(Ended),
        n => Ok(n),
    }
}

/// There is nothing more to be done for this client, for whatever reason.
struct Ended;

impl From<Error> for Ended {
    fn from(_: Error) -> Self {
        Self
    }
}

impl From<AcceptError> for Ended {
    fn from(_: AcceptError) -> Self {
        Self
    }
}
