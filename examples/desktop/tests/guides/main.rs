//! The programs of the guides do what the guides say. `cargo xtask test` compares the files with what is shown.

#[path = "../../../rp2040-w5500/examples/first_file/receive.rs"]
mod receive;
mod serve_line;
mod store;

use core::convert::Infallible;
use core::future::pending;

use embassy_futures::select::{Either, select};
use embassy_net::Stack;
use embassy_time::{Duration, Instant, Timer, with_timeout};
use embedded_io_async::{Read, Write};
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use tej_core::Event;
use tej_testkit::{Frame, block_on, bytes, connect, on_two_stacks};

#[test]
fn the_first_program_counts_the_bytes_of_each_frame() {
    let frame = || Frame::file("photo.jpg", bytes(1, 300_000));
    let answers = on_two_stacks(async |here, there, _| {
        match select(receive::receive(there), answers(here, [frame(), frame()])).await {
            Either::Second(answers) => answers,
        }
    });
    assert_eq!(answers, ["300000 bytes"; 2]);
}

#[test]
fn a_flash_that_fails_is_the_answer_of_its_frame_alone() {
    let mut two_files = Frame::file("a", vec![1]);
    two_files.files.push((b"b".to_vec(), vec![2]));
    let answers = on_two_stacks(async |here, there, _| {
        let mut flash = FailingOnce { erased: 0 };
        let client = answers(here, [two_files.clone(), Frame::file("b", vec![2])]);
        match select(store::store(there, &mut flash), client).await {
            Either::Second(answers) => answers,
        }
    });
    assert_eq!(answers, ["the flash failed", "stored"]);
}

#[test]
fn a_line_begins_afresh_after_garbage_and_after_half_a_frame() {
    let frame = Frame::message("hi").encode();
    let garbage = [&*frame, b"GARBAGE"].concat();
    let sent = [
        (0, frame.clone()),
        (5, garbage),
        (5, frame.clone()), // before the silence: may be garbage, too
        (9, frame.clone()),
        (12, frame[..7].to_vec()),
        (15, frame),
    ];
    let mut frames = Vec::new();
    let take = |event: Event<'_>| {
        if event == Event::FrameEnd {
            frames.push(Instant::now().as_secs());
        }
    };
    let line = Line { bytes: Vec::new(), next: sent.into() };
    let ended = block_on(with_timeout(Duration::from_secs(30), serve_line::serve(line, take)));
    assert!(ended.is_err(), "it serves for ever");
    assert_eq!(frames, [0, 5, 9, 15]);
}

/// What the device says to each of the frames.
async fn answers<const N: usize>(stack: Stack<'static>, frames: [Frame; N]) -> Vec<String> {
    let mut socket = connect(stack, 7077).await;
    let mut answers = Vec::new();
    for frame in frames {
        socket.write_all(&frame.encode()).await.unwrap();
        let mut head = [0; 18];
        socket.read_exact(&mut head).await.unwrap();
        let mut message = vec![0; head[17].into()];
        socket.read_exact(&mut message).await.unwrap();
        answers.push(String::from_utf8(message).unwrap());
    }
    answers
}

/// A flash of which the first page that is erased fails.
struct FailingOnce {
    erased: u32,
}

impl ErrorType for FailingOnce {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for FailingOnce {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, _: u32, _: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        Ok(())
    }

    fn capacity(&self) -> usize {
        0x20_0000
    }
}

impl NorFlash for FailingOnce {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = 4096;

    async fn erase(&mut self, _: u32, _: u32) -> Result<(), NorFlashErrorKind> {
        self.erased += 1;
        if self.erased == 1 { Err(NorFlashErrorKind::Other) } else { Ok(()) }
    }

    async fn write(&mut self, _: u32, _: &[u8]) -> Result<(), NorFlashErrorKind> {
        Ok(())
    }
}

/// A line on which bytes come at certain seconds, and then no more.
struct Line {
    /// Those that are there.
    bytes: Vec<u8>,
    /// Those that are to come, each with its time.
    next: std::collections::VecDeque<(u64, Vec<u8>)>,
}

impl embedded_io_async::ErrorType for Line {
    type Error = Infallible;
}

impl Read for Line {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        if self.bytes.is_empty() {
            let Some(&(at, _)) = self.next.front() else { return pending().await };
            Timer::at(Instant::from_secs(at)).await;
            self.bytes = self.next.pop_front().map(|(_, bytes)| bytes).unwrap_or_default();
        }
        let n = self.bytes.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.bytes[..n]);
        self.bytes.drain(..n);
        Ok(n)
    }
}
