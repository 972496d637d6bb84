//! A line without connections: what is garbage on it is over after a gap.

use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;

use embedded_io::{ErrorType, Read, ReadReady};
use tej_core::io::blocking::FrameReader;
use tej_core::io::{IdleGap, ReadError};
use tej_core::{Decoder, DefaultLimits, Event};

#[test]
fn silence_shorter_than_the_gap_does_not_cut_a_frame() {
    let frame = frame("Hello");
    for cut in 1..frame.len() {
        let (head, rest) = frame.split_at(cut);
        assert_eq!(receive(&[(0, head), (SHORT, rest)]), ["Hello"], "at {cut}");
    }
}

#[test]
fn a_frame_that_is_given_up_is_over_after_the_gap() {
    let (given_up, next) = (frame("given up"), frame("next"));
    for cut in 1..given_up.len() {
        let heard = receive(&[(0, &given_up[..cut]), (LONG, &next)]);
        assert_eq!(heard, ["Truncated", "next"], "at {cut}");
    }
}

#[test]
fn garbage_is_over_after_the_gap_and_not_before() {
    let good = frame("good");
    let version = [&b"\x80\x02"[..], &good].concat();
    for (garbage, kind) in
        [(&[0; 300][..], "BadStartBit"), (b"~", "BadStartBit"), (&version, "UnsupportedVersion")]
    {
        let heard = receive(&[(7 * GAP, garbage), (SHORT, &good), (LONG, &good)]);
        assert_eq!(heard, [kind, "good"]);
    }
}

#[test]
fn between_frames_silence_of_any_length_means_nothing() {
    let (one, two) = (frame("one"), frame("two"));
    for pause in [0, SHORT, LONG, 1000 * GAP] {
        assert_eq!(receive(&[(pause, &one), (pause, &two), (pause, &one)]), ["one", "two", "one"]);
    }
}

#[test]
fn after_any_garbage_the_next_frame_is_understood() {
    let good = frame("good");
    let mut random = 1_u32;
    for length in (0..9).cycle().take(2000) {
        let mut garbage = vec![];
        for _ in 0..length {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // What is much like a frame gets furthest.
            garbage.push([0x80, 0x01, 0x00, 0xff][(random >> 30) as usize]);
        }
        let heard = receive(&[(0, &garbage), (LONG, &good)]);
        assert_eq!(heard.last().map(String::as_str), Some("good"), "{garbage:02x?}");
    }
}

#[test]
fn the_clock_may_wrap_and_what_was_silence_is_not_waited_for_again() {
    let clock = Cell::new(u64::MAX - GAP / 2);
    let mut line = IdleGap::new(Line::new(&clock, &[(0, b"a"), (LONG, b"b")]), GAP, || tick(&clock));
    let mut byte = [0];
    assert_eq!((line.read(&mut byte), line.read(&mut byte)), (Ok(1), Ok(0)));
    let now = clock.get();
    assert!((GAP / 2..LONG).contains(&now), "{now}");
    line.skip().unwrap();
    assert_eq!(clock.get(), now);
    assert_eq!((line.read(&mut byte), byte), (Ok(1), *b"b"));
}

#[test]
fn a_line_that_has_ended_leaves_nothing_to_skip() {
    let clock = Cell::new(0);
    let mut line = IdleGap::new(Line::new(&clock, &[(0, b"a")]), GAP, || tick(&clock));
    assert_eq!([line.read(&mut [0; 2]), line.read(&mut [0; 2])], [Ok(1), Ok(0)]);
    let now = clock.get();
    line.skip().unwrap();
    assert_eq!(clock.get(), now);
}

/// The messages and faults that come over a line with these bytes, each after a pause.
fn receive(arrivals: &[(u64, &[u8])]) -> Vec<String> {
    let clock = Cell::new(0);
    let mut line = IdleGap::new(Line::new(&clock, arrivals), GAP, || tick(&clock));
    let mut heard = Vec::new();
    while !line.line_mut().arrivals.is_empty() {
        let mut reader = FrameReader::new(&mut line, [0; 5], Decoder::new([0; 8], DefaultLimits));
        let mut message = Vec::new();
        let fault = loop {
            match reader.next() {
                Ok(None) => break None,
                Ok(Some(Event::MessageData(piece))) => message.extend_from_slice(piece),
                Ok(Some(Event::FrameEnd)) => {
                    heard.push(String::from_utf8(std::mem::take(&mut message)).unwrap());
                }
                Ok(Some(_)) => {}
                Err(ReadError::Decode(fault)) => break Some(fault.kind),
                Err(ReadError::Io(never)) => match never {},
            }
        };
        if let Some(kind) = fault {
            heard.push(format!("{kind:?}"));
            line.skip().unwrap();
        }
    }
    heard
}

fn frame(message: &str) -> Vec<u8> {
    let mut frame = b"\x80\x01\0\0\0\0\0\0\0\0".to_vec();
    frame.extend((message.len() as u64).to_be_bytes());
    frame.extend(message.as_bytes());
    frame
}

/// The clock, a tick later.
fn tick(clock: &Cell<u64>) -> u64 {
    clock.set(clock.get().wrapping_add(1));
    clock.get()
}

/// A line on which bytes come at their times. It ends after the last.
struct Line<'a> {
    clock: &'a Cell<u64>,
    /// Pauses, and what comes then.
    arrivals: VecDeque<(u64, VecDeque<u8>)>,
    /// When the last of the bytes before was taken.
    since: u64,
}

impl<'a> Line<'a> {
    fn new(clock: &'a Cell<u64>, arrivals: &[(u64, &[u8])]) -> Self {
        let arrivals = arrivals.iter().filter(|(_, bytes)| !bytes.is_empty());
        let arrivals = arrivals.map(|(pause, bytes)| (*pause, bytes.iter().copied().collect())).collect();
        Self { clock, arrivals, since: clock.get() }
    }
}

impl ErrorType for Line<'_> {
    type Error = Infallible;
}

impl ReadReady for Line<'_> {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        let waited = self.clock.get().wrapping_sub(self.since);
        // What has ended can be read, and says so.
        Ok(self.arrivals.front().is_none_or(|(pause, _)| waited >= *pause))
    }
}

impl Read for Line<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some((pause, bytes)) = self.arrivals.front_mut() else { return Ok(0) };
        assert!(self.clock.get().wrapping_sub(self.since) >= *pause, "this would have blocked");
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
/// Pauses that are no gap, and that are one: the first look and the last one are a tick apart from the silence between.
const SHORT: u64 = GAP;
const LONG: u64 = GAP + 2;
