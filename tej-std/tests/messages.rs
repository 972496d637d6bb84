//! Many small messages: what leaves together, and what is taken together.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tej_std::{Config, Connection, Event, Receiver, Sender, Status, Timeouts};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex, split};
use tokio::time::sleep;

/// A transport that notes the length of each write.
#[derive(Default)]
struct Writes {
    lens: Vec<usize>,
    bytes: Vec<u8>,
}

impl AsyncWrite for Writes {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.lens.push(buf.len());
        self.bytes.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn status(value: u8) -> Status {
    Status::new(value).unwrap()
}

/// The statuses and messages of a stream.
async fn messages(stream: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut receiver = Receiver::new(stream, &Config::default());
    let mut messages = Vec::new();
    while let Some(event) = receiver.next().await.unwrap() {
        match event {
            Event::FrameStart(header) => messages.push((header.status.value(), Vec::new())),
            Event::MessageData(bytes) => messages.last_mut().unwrap().1.extend_from_slice(bytes),
            _ => {}
        }
    }
    messages
}

#[tokio::test]
async fn fed_messages_leave_when_the_stage_is_full_and_when_they_are_pushed() {
    let mut writes = Writes::default();
    let mut sender = Sender::new(&mut writes, &Config { send_buffer: 5000, ..Config::default() });
    // Frames of 50 bytes.
    for n in 0..=100 {
        sender.feed_message(status(n), &[n; 32]).await.unwrap();
    }
    sender.push().await.unwrap();
    drop(sender);
    assert_eq!(writes.lens, [5000, 50]);
    let sent: Vec<_> = (0..=100).map(|n| (n, vec![n; 32])).collect();
    assert_eq!(messages(&writes.bytes).await, sent);
}

#[tokio::test]
async fn a_message_that_is_sent_leaves_in_one_write_as_far_as_the_stage_may_grow() {
    for (len, lens) in [
        (0, vec![18]),
        (400, vec![418]),
        (494, vec![512]),
        (495, vec![513]),
        (4999 - 18, vec![4999]),
        // What is longer than the largest stage goes out from where it lies, behind what was staged.
        (20_000, vec![5000, 15_018]),
    ] {
        let mut writes = Writes::default();
        let mut sender = Sender::new(&mut writes, &Config { send_buffer: 5000, ..Config::default() });
        let message = vec![7; len];
        sender.send_message(status(9), &message).await.unwrap();
        // And again, after the stage was given back.
        sender.send_message(status(9), &message).await.unwrap();
        drop(sender);
        assert_eq!(writes.lens, [&lens[..], &lens].concat(), "{len} bytes");
        assert_eq!(messages(&writes.bytes).await, [(9, message.clone()), (9, message)], "{len} bytes");
    }
}

#[tokio::test]
async fn small_files_and_the_message_leave_in_one_write() {
    let mut writes = Writes::default();
    let mut sender = Sender::new(&mut writes, &Config::default());
    sender.start_frame(Status::ZERO, 300).await.unwrap();
    for n in 0..300 {
        let name = format!("{n:0100}");
        sender.send_file(&name, 20, &mut &[1; 20][..]).await.unwrap();
    }
    sender.finish_frame(&[2; 1000]).await.unwrap();
    drop(sender);
    assert_eq!(writes.lens, [10 + 300 * (10 + 100 + 20) + 8 + 1000]);
}

#[tokio::test]
async fn a_frame_that_has_come_whole_is_taken_whole() {
    let mut writes = Writes::default();
    let mut sender = Sender::new(&mut writes, &Config::default());
    for n in 0..3 {
        sender.send_message(status(n), &[n; 32]).await.unwrap();
    }
    drop(sender);
    let stream = writes.bytes;
    for cut in 0..=stream.len() {
        // Each read yields one piece.
        let pieces = stream[..cut].chain(&stream[cut..]);
        let mut receiver = Receiver::new(pieces, &Config::default());
        let (mut whole, mut taken) = (0, Vec::new());
        while let Some(event) = receiver.next().await.unwrap() {
            match event {
                Event::FrameStart(header) => taken.push((header.status.value(), Vec::new())),
                Event::MessageData(bytes) => taken.last_mut().unwrap().1.extend_from_slice(bytes),
                _ => {}
            }
            while let Some(frame) = receiver.ready_frame() {
                taken.push((frame.header().status.value(), frame.message().to_vec()));
                whole += 1;
            }
        }
        let sent: Vec<_> = (0..3).map(|n| (n, vec![n; 32])).collect();
        assert_eq!(taken, sent, "cut at {cut}");
        assert_eq!(receiver.offset(), 150);
        // But for the first of a read, and one that is cut.
        assert_eq!(whole, if cut < 50 || cut == 150 { 2 } else { 1 }, "cut at {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fed_message_that_waits_excuses_the_peer() {
    let (ours, mut peer) = duplex(64);
    let (read, write) = split(ours);
    let timeouts = Timeouts { idle: Some(Duration::from_secs(10)), ..Timeouts::PATIENT };
    let config = Config { send_buffer: 16, timeouts, ..Config::default() };
    let (mut receiver, mut sender) = Connection::new(read, write, &config).split();
    let send = async {
        sender.feed_message(Status::ZERO, &[5; 400]).await.unwrap();
        sender.push().await.unwrap();
    };
    let slow = async {
        let mut read = [0; 64];
        for _ in 0..6 {
            sleep(Duration::from_secs(8)).await;
            let _ = peer.read(&mut read).await.unwrap();
        }
        let mut rest = vec![0; 34];
        peer.read_exact(&mut rest).await.unwrap();
        peer.write_all(b"\x82\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").await.unwrap();
    };
    let receive = async { receiver.next().await.map(|event| event.is_some()) };
    let ((), (), received) = tokio::join!(send, slow, receive);
    assert!(received.unwrap(), "the peer's silence was not excused");
}
