//! The same over bare TCP, as what TEJ is compared with.
//!
//! A request is a letter, a number of four bytes, the most significant first, and a shift of one byte:
//!
//! | letter | what follows | answer |
//! |---|---|---|
//! | `d` | as many bytes as the shift says, which come before the payload as TEJ's heads do, and then the number of bytes; thrown away where they lie in the ring | a byte |
//! | `c` | the same, copied out of the ring and thrown away | a byte |
//! | `u` | | as many bytes as the shift says, and then the number of bytes |
//! | `e` | so many times 32 bytes, the next ones after the answer | the same 32 bytes |
//! | `b` | | [`busy`], four bytes |

use core::convert::Infallible;

use embassy_net::Stack;
use embassy_net::tcp::{AcceptError, Error, TcpSocket};
use embedded_io_async::Write;

use crate::idle::busy;
use crate::{PAYLOAD, PIECE, RING};

/// The rings of a socket, and what is copied out of them. They begin where a word does, as those of tej-embassy.
pub(crate) struct Buffers {
    rx: Words<RING>,
    tx: Words<RING>,
    piece: Words<PIECE>,
}

#[repr(align(4))]
pub(crate) struct Words<const N: usize>(pub(crate) [u8; N]);

impl Buffers {
    pub(crate) const fn new() -> Self {
        Self { rx: Words([0; RING]), tx: Words([0; RING]), piece: Words([0; PIECE]) }
    }
}

/// Serves one client after the other.
pub(crate) async fn serve(stack: Stack<'static>, port: u16, buffers: &'static mut Buffers) -> ! {
    let mut socket = TcpSocket::new(stack, &mut buffers.rx.0, &mut buffers.tx.0);
    // As tej-embassy has it.
    socket.set_nagle_enabled(false);
    loop {
        let Err(_) = answer(&mut socket, port, &mut buffers.piece.0).await;
        // The client has gone, or is to go.
        socket.abort();
        let _ = socket.flush().await;
    }
}

async fn answer(socket: &mut TcpSocket<'_>, port: u16, piece: &mut [u8]) -> Result<Infallible, Ended> {
    socket.accept(port).await?;
    loop {
        let mut request = [0; 6];
        read_exact(socket, &mut request).await?;
        let [what, count @ .., shift] = request;
        let shift = usize::from(shift);
        let mut left = u32::from_be_bytes(count) as usize;
        match what {
            b'd' => {
                left += shift;
                while left > 0 {
                    left -= socket.read_with(|bytes| (bytes.len().min(left), bytes.len().min(left))).await?;
                }
                socket.write_all(b".").await?;
            }
            b'c' => {
                left += shift;
                while left > 0 {
                    let most = left.min(piece.len());
                    left -= read(socket, &mut piece[..most]).await?;
                }
                socket.write_all(b".").await?;
            }
            b'u' => {
                socket.write_all(&PAYLOAD.0[..shift]).await?;
                while left > 0 {
                    // All of a piece, as of a file: where in a word the next one begins depends on it.
                    let piece = &PAYLOAD.0[..left.min(PIECE)];
                    socket.write_all(piece).await?;
                    left -= piece.len();
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
