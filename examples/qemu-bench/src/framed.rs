//! The same over TEJ.
//!
//! | status of a request | what is in it | answer |
//! |---|---|---|
//! | [`DOWN`] | a file, thrown away | an empty frame |
//! | [`UP`] | a message of four bytes, the most significant first, and one | a file of so many bytes, whose name has as many bytes as the last one says |
//! | [`ECHO`] | a message of 32 bytes | the same message |
//! | [`BUSY`] | | a message: [`busy`], four bytes |

use embassy_net::Stack;
use tej_core::io::{ReadError, WriteError};
use tej_core::{Event, Status};
use tej_embassy::{Config, Connection, Error, Listener, Sender};

use crate::idle::busy;
use crate::{PAYLOAD, PIECE, RING};

const DOWN: u8 = 10;
const UP: u8 = 11;
const ECHO: u8 = 12;
const BUSY: u8 = 13;

/// A socket's: rings as bare TCP has them, and `READ` bytes to decode.
pub(crate) type Buffers<const READ: usize> = tej_embassy::Buffers<RING, RING, READ, 1460, 255>;

/// Bytes that a socket's state takes beside these.
pub(crate) const STATE: usize = size_of::<Listener<'_>>() + size_of::<Connection<'_, '_>>();

/// A client is silent while another one is measured.
const CONFIG: Config = Config { idle_timeout: None, ..Config::DEFAULT };

/// Serves one client after the other, whose files lie in the socket's ring.
pub(crate) async fn serve_lent(stack: Stack<'static>, port: u16, buffers: &'static mut Buffers<0>) -> ! {
    let mut listener = Listener::new(stack, port, buffers, CONFIG);
    loop {
        let mut connection = listener.accept().await;
        let _ = answer_lent(&mut connection).await;
        let _ = connection.close().await;
    }
}

/// Serves one client after the other, whose files are copied out of the socket's ring.
pub(crate) async fn serve_copied<const READ: usize>(
    stack: Stack<'static>,
    port: u16,
    buffers: &'static mut Buffers<READ>,
) -> ! {
    let mut listener = Listener::new(stack, port, buffers, CONFIG);
    loop {
        let mut connection = listener.accept().await;
        let _ = answer_copied(&mut connection).await;
        let _ = connection.close().await;
    }
}

async fn answer_lent(connection: &mut Connection<'_, '_>) -> Result<(), Ended> {
    let (receiver, sender) = connection.split();
    let mut request = Request::new();
    while let Some(is_whole) = receiver.next_with(|event| request.take(event)).await? {
        if is_whole {
            request.answer(sender).await?;
        }
    }
    Ok(())
}

async fn answer_copied(connection: &mut Connection<'_, '_>) -> Result<(), Ended> {
    let (receiver, sender) = connection.split();
    let mut request = Request::new();
    while let Some(event) = receiver.next().await? {
        if request.take(event) {
            request.answer(sender).await?;
        }
    }
    Ok(())
}

struct Request {
    status: u8,
    message: [u8; 32],
    len: usize,
}

impl Request {
    const fn new() -> Self {
        Self { status: 0, message: [0; 32], len: 0 }
    }

    /// Whether it has ended.
    fn take(&mut self, event: Event<'_>) -> bool {
        match event {
            Event::FrameStart(frame) => {
                self.status = frame.status.value();
                self.len = 0;
            }
            Event::MessageData(bytes) => {
                let free = &mut self.message[self.len..];
                let n = bytes.len().min(free.len());
                free[..n].copy_from_slice(&bytes[..n]);
                self.len += n;
            }
            Event::FrameEnd => return true,
            _ => {}
        }
        false
    }

    async fn answer(&self, sender: &mut Sender<'_, '_>) -> Result<(), WriteError<Error>> {
        match self.status {
            UP => {
                let [a, b, c, d, name, ..] = self.message;
                let mut left = u32::from_be_bytes([a, b, c, d]) as usize;
                sender.start_frame(Status::ZERO, 1).await?;
                sender.start_file(&PAYLOAD.0[..usize::from(name)], left as u64).await?;
                while left > 0 {
                    let piece = &PAYLOAD.0[..left.min(PIECE)];
                    sender.write_payload(piece).await?;
                    left -= piece.len();
                }
                sender.start_message(0).await?;
                sender.push().await
            }
            ECHO => sender.send_message(Status::ZERO, &self.message[..self.len]).await,
            BUSY => sender.send_message(Status::ZERO, &busy().to_be_bytes()).await,
            DOWN => sender.send_message(Status::ZERO, &[]).await,
            _ => Ok(()),
        }
    }
}

/// There is nothing more to be done for this client, for whatever reason.
struct Ended;

impl From<ReadError<Error>> for Ended {
    fn from(_: ReadError<Error>) -> Self {
        Self
    }
}

impl From<WriteError<Error>> for Ended {
    fn from(_: WriteError<Error>) -> Self {
        Self
    }
}
