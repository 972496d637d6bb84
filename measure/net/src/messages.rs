//! Messages of 32 bytes, by tej-std and by `LengthDelimitedCodec`, on one thread each.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use tej_std::{Config, Connection, Event, Receiver, Staged, Status};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use crate::{Result, listening};

/// Receives so many messages, each of which is answered when `way` is `ping-pong`.
pub(crate) fn receive(codec: &str, way: &str, count: &str) -> Result<()> {
    let (way, count) = (Way::of(way)?, count.parse()?);
    runtime()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        listening(listener.local_addr()?);
        let (stream, _) = listener.accept().await?;
        match codec {
            "tej" => {
                let (mut receiver, mut sender) = Connection::from_tcp(stream, &config())?.split();
                match way {
                    Way::PingPong => {
                        for _ in 0..count {
                            take_tej(&mut receiver).await?;
                            sender.send_message(Status::ZERO, &MESSAGE).await?;
                        }
                    }
                    Way::Batched => take_tej_batched(&mut receiver, count).await?,
                }
            }
            "length_delimited" => {
                stream.set_nodelay(true)?;
                let (read, write) = stream.into_split();
                let mut read = framed_read(read);
                let mut write = FramedWrite::new(write, LengthDelimitedCodec::new());
                for _ in 0..count {
                    take_length_delimited(&mut read).await?;
                    if way == Way::PingPong {
                        write.send(Bytes::from_static(&MESSAGE)).await?;
                    }
                }
            }
            _ => return Err(format!("no codec {codec}").into()),
        }
        Ok(())
    })
}

/// Sends so many messages, and waits for the answer of each when `way` is `ping-pong`.
pub(crate) fn send(codec: &str, way: &str, count: &str, addr: &str) -> Result<()> {
    let (way, count, addr): (_, u64, SocketAddr) = (Way::of(way)?, count.parse()?, addr.parse()?);
    runtime()?.block_on(async {
        let mut stream = TcpStream::connect(addr).await?;
        match codec {
            "tej" => {
                let (mut receiver, mut sender) = Connection::from_tcp(stream, &config())?.split();
                match way {
                    Way::PingPong => {
                        for _ in 0..count {
                            sender.send_message(Status::ZERO, &MESSAGE).await?;
                            take_tej(&mut receiver).await?;
                        }
                    }
                    Way::Batched => {
                        for _ in 0..count {
                            if sender.stage_message(Status::ZERO, &MESSAGE)? == Staged::No {
                                sender.feed_message(Status::ZERO, &MESSAGE).await?;
                            }
                        }
                        sender.shutdown().await?;
                        if receiver.next().await?.is_some() {
                            return Err("an answer nobody asked for".into());
                        }
                    }
                }
            }
            "length_delimited" => {
                stream.set_nodelay(true)?;
                match way {
                    Way::PingPong => {
                        let (read, write) = stream.into_split();
                        let mut read = framed_read(read);
                        let mut write = FramedWrite::new(write, LengthDelimitedCodec::new());
                        for _ in 0..count {
                            write.send(Bytes::from_static(&MESSAGE)).await?;
                            take_length_delimited(&mut read).await?;
                        }
                    }
                    Way::Batched => {
                        {
                            let mut write = FramedWrite::new(&mut stream, LengthDelimitedCodec::new());
                            // As much as tej-std collects.
                            write.set_backpressure_boundary(config().send_buffer);
                            for _ in 0..count {
                                write.feed(Bytes::from_static(&MESSAGE)).await?;
                            }
                            SinkExt::<Bytes>::close(&mut write).await?;
                        }
                        if stream.read(&mut [0]).await? > 0 {
                            return Err("an answer nobody asked for".into());
                        }
                    }
                }
            }
            _ => return Err(format!("no codec {codec}").into()),
        }
        Ok(())
    })
}

/// One message.
async fn take_tej(receiver: &mut Receiver) -> Result<()> {
    let mut len = 0;
    loop {
        match receiver.next().await? {
            Some(Event::MessageData(bytes)) => len += bytes.len(),
            Some(Event::FrameEnd) if len == MESSAGE.len() => return Ok(()),
            Some(Event::FrameEnd) | None => return Err("a message is missing".into()),
            Some(_) => {}
        }
    }
}

/// So many, which come together.
async fn take_tej_batched(receiver: &mut Receiver, count: u64) -> Result<()> {
    let mut taken = 0;
    while taken < count {
        take_tej(receiver).await?;
        taken += 1;
        while let Some(frame) = receiver.ready_frame() {
            if frame.message().len() != MESSAGE.len() {
                return Err("not the message".into());
            }
            taken += 1;
        }
    }
    if taken == count { Ok(()) } else { Err(format!("{taken} messages").into()) }
}

async fn take_length_delimited<R: tokio::io::AsyncRead + Unpin>(
    read: &mut FramedRead<R, LengthDelimitedCodec>,
) -> Result<()> {
    let message: Option<BytesMut> = next(read).await.transpose()?;
    if message.is_some_and(|message| message.len() == MESSAGE.len()) {
        Ok(())
    } else {
        Err("a message is missing".into())
    }
}

fn framed_read<R: tokio::io::AsyncRead>(read: R) -> FramedRead<R, LengthDelimitedCodec> {
    FramedRead::with_capacity(read, LengthDelimitedCodec::new(), config().receive_buffer)
}

/// `StreamExt::next`, which is all that is needed of a crate.
async fn next<S: futures_util::Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|cx| std::pin::Pin::new(&mut *stream).poll_next(cx)).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Batched,
    PingPong,
}

impl Way {
    fn of(name: &str) -> Result<Self> {
        match name {
            "batched" => Ok(Self::Batched),
            "ping-pong" => Ok(Self::PingPong),
            _ => Err(format!("no way {name}").into()),
        }
    }
}

/// Larger buffers than by default, on both sides: for so many messages, the calls of the system are to cost little.
fn config() -> Config {
    Config { receive_buffer: BUFFER, send_buffer: BUFFER, ..Config::default() }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

const BUFFER: usize = 256 * 1024;

const MESSAGE: [u8; 32] = [0x5a; 32];
