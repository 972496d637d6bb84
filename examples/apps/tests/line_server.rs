//! The line server over a line in memory, on which time passes when it is looked at.

use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;

use embedded_io::{ErrorType, Read, ReadReady};
use sha2::{Digest, Sha256};
use tej_apps::{LineServer, Pattern};
use tej_core::io::IdleGap;
use tej_core::io::blocking::{FrameReader, FrameWriter};
use tej_core::{Decoder, DefaultLimits, Event, Status};

#[test]
fn frames_are_answered_with_their_digests_and_a_ping_is_not() {
    let ping = b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".map(|byte| if byte == 0x80 { 0x82 } else { byte });
    let stream = [file("a.txt", b"hi", "both"), ping.to_vec(), message("Hello"), file("", b"", "")].concat();
    let answers = serve(&[(0, &stream)]);
    let [a, hello, empty] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(a.message, format!("{} 2 a.txt\nmessage {} 4\n", hex(b"hi"), hex(b"both")));
    assert_eq!(hello.message, format!("message {} 5\n", hex(b"Hello")));
    assert_eq!(empty.message, format!("{} 0 \nmessage {} 0\n", hex(b""), hex(b"")));
}

#[test]
fn a_file_is_sent_to_whoever_asks() {
    for size in [0, 1, 63, 64, 65, 10_000] {
        let request = message(&format!("send size={size} seed=42"));
        let answers = serve(&[(0, &request), (0, &message("and on"))]);
        let [sent, after] = &answers[..] else { panic!("{answers:?}") };
        let mut expected = vec![0; size];
        Pattern::new(42).fill(&mut expected);
        assert_eq!(sent.file, Some(("device.bin".to_owned(), expected.clone())));
        assert_eq!(sent.message, format!("seed=42 size={size} sha256={}", hex(&expected)));
        assert_eq!(after.message, format!("message {} 6\n", hex(b"and on")));
    }
}

#[test]
fn what_is_a_request_with_a_file_beside_it_is_a_frame_like_others() {
    let answers = serve(&[(0, &file("a", b"", "send size=7"))]);
    let [answer] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((answer.file.as_ref(), answer.message.lines().count()), (None, 2));
}

#[test]
fn after_garbage_and_a_gap_the_stream_begins_afresh() {
    let good = message("good");
    let half = &file("half", &[7; 100], "")[..60];
    for garbage in [&[0; 300][..], b"\r\n\r\nU-Boot 2024.01\r\n", b"\x80\x07", &good[..17], half] {
        // What follows without a gap is still garbage.
        let answers = serve(&[(0, &good), (0, garbage), (GAP + 2, &good), (0, &good)]);
        let expected = format!("message {} 4\n", hex(b"good"));
        assert!(answers.iter().all(|answer| answer.message == expected), "{answers:?}");
        assert_eq!(answers.len(), 3, "{garbage:02x?}");
    }
}

/// Bytes that come over a line, each lot after a pause, and the frames that are answered.
fn serve(arrivals: &[(u64, &[u8])]) -> Vec<Answer> {
    let clock = Cell::new(0_u64);
    let arrivals = arrivals.iter().map(|(pause, bytes)| (*pause, bytes.iter().copied().collect())).collect();
    let line = Line { clock: &clock, arrivals, since: 0 };
    let tick = || {
        clock.set(clock.get() + 1);
        clock.get()
    };
    let mut line = IdleGap::new(line, GAP, tick);
    let mut output = Vec::new();
    let mut server = LineServer::<7, 64, 16, 256>::new();
    let calls = Cell::new(0);
    while !line.line_mut().arrivals.is_empty() {
        server.serve(&mut line, &mut output, &mut || calls.set(calls.get() + 1));
    }
    let answers = answers(&output);
    assert!(calls.get() >= answers.len());
    answers
}

#[derive(Debug, Default, PartialEq)]
struct Answer {
    file: Option<(String, Vec<u8>)>,
    message: String,
}

fn answers(mut stream: &[u8]) -> Vec<Answer> {
    let mut reader = FrameReader::new(&mut stream, [0; 64], Decoder::new([0; 64], DefaultLimits));
    let (mut answers, mut answer) = (Vec::new(), Answer::default());
    while let Some(event) = reader.next().unwrap() {
        match event {
            Event::FrameStart(header) => assert_eq!(header.status, Status::ZERO),
            Event::FileStart { name, .. } => {
                answer.file = Some((String::from_utf8(name.to_vec()).unwrap(), vec![]));
            }
            Event::FileData(piece) => answer.file.as_mut().unwrap().1.extend_from_slice(piece),
            Event::MessageData(piece) => answer.message.push_str(str::from_utf8(piece).unwrap()),
            Event::FrameEnd => answers.push(std::mem::take(&mut answer)),
            _ => {}
        }
    }
    answers
}

fn message(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    FrameWriter::new(&mut frame, []).send_message(Status::ZERO, text.as_bytes()).unwrap();
    frame
}

fn file(name: &str, content: &[u8], text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    let mut writer = FrameWriter::new(&mut frame, []);
    writer.start_frame(Status::ZERO, 1).unwrap();
    writer.start_file(name.as_bytes(), content.len() as u64).unwrap();
    writer.write_payload(content).unwrap();
    writer.start_message(text.len() as u64).unwrap();
    writer.write_payload(text.as_bytes()).unwrap();
    frame
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Line<'a> {
    clock: &'a Cell<u64>,
    arrivals: VecDeque<(u64, VecDeque<u8>)>,
    /// When the last of the bytes before was taken.
    since: u64,
}

impl ErrorType for Line<'_> {
    type Error = Infallible;
}

impl ReadReady for Line<'_> {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        let waited = self.clock.get() - self.since;
        // What has ended can be read, and says so.
        Ok(self.arrivals.front().is_none_or(|(pause, _)| waited >= *pause))
    }
}

impl Read for Line<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some((pause, bytes)) = self.arrivals.front_mut() else { return Ok(0) };
        *pause = 0;
        let n = bytes.read(buffer).unwrap();
        if bytes.is_empty() {
            self.arrivals.pop_front();
            self.since = self.clock.get();
        }
        Ok(n)
    }
}

const GAP: u64 = 1000;
