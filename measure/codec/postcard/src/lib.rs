//! postcard, without an allocator: what it deserialises borrows the input.
//!
//! By itself it takes whole messages. For input in pieces it brings COBS framing with an accumulator of its own, which
//! stands in rows of its own: `postcard_cobs`.

use std::hint::black_box;

use measure::{
    Case, Consumer, Decode, List,
    frame::{self, FRAMES, Frame, SLICE},
};
use postcard::accumulator::{CobsAccumulator, FeedResult};
use serde::{Deserialize, Serialize};

/// Messages out of a buffer.
pub fn messages(list: &mut impl List) {
    list.add("peer/postcard/decode/msg", "frame", FRAMES, || Messages::new(&frame::messages()));
}

/// Messages with files out of a buffer.
pub fn files(list: &mut impl List) {
    list.add("peer/postcard/decode/files8", "frame", FRAMES, || WithFiles::new(&frame::with_files()));
}

/// A large file, part by part.
pub fn parts(list: &mut impl List) {
    let slices = list.slices();
    list.add("peer/postcard/decode/file/64k", "slice", slices, move || Parts::new(slices));
}

/// Messages into a buffer.
pub fn encode(list: &mut impl List) {
    list.add("peer/postcard/encode/msg", "frame", FRAMES, || Encode::new(&frame::messages(), Plain));
}

/// Messages in COBS, out of a buffer or as reads come.
pub fn cobs_reads(list: &mut impl List) {
    for (row, read) in [
        ("peer/postcard_cobs/decode/msg", usize::MAX),
        ("peer/postcard_cobs/decode/msg/1460byte", 1460),
        ("peer/postcard_cobs/decode/msg/7byte", 7),
        ("peer/postcard_cobs/decode/msg/1byte", 1),
    ] {
        list.add(row, "frame", FRAMES, move || Reads::new(&frame::messages(), read));
    }
}

/// Messages in COBS into a buffer.
pub fn cobs_encode(list: &mut impl List) {
    list.add("peer/postcard_cobs/encode/msg", "frame", FRAMES, || Encode::new(&frame::messages(), Cobs));
}

#[derive(Serialize, Deserialize)]
struct Message<'a> {
    status: u8,
    #[serde(borrow, with = "serde_bytes")]
    message: &'a [u8],
}

impl<'a> Message<'a> {
    fn of(Frame { status, message, .. }: &'a Frame) -> Self {
        Self { status: *status, message }
    }

    fn tell(&self, consumer: &mut impl Consumer) {
        consumer.frame_start(self.status);
        consumer.message_data(self.message);
        consumer.frame_end();
    }
}

/// Messages back to back in one buffer.
struct Messages {
    stream: Vec<u8>,
}

impl Messages {
    fn new(frames: &[Frame]) -> Self {
        Self { stream: frames.iter().flat_map(|frame| serialized(&Message::of(frame))).collect() }
    }
}

impl Decode for Messages {
    fn decode<C: Consumer>(&mut self, consumer: &mut C) {
        let mut stream = black_box(self.stream.as_slice());
        while !stream.is_empty() {
            let (message, rest) = postcard::take_from_bytes::<Message<'_>>(stream).expect("valid messages");
            message.tell(consumer);
            stream = rest;
        }
    }
}

#[derive(Serialize, Deserialize)]
struct MessageWithFiles<'a> {
    status: u8,
    #[serde(borrow)]
    files: heapless::Vec<File<'a>, FILES>,
    #[serde(borrow, with = "serde_bytes")]
    message: &'a [u8],
}

#[derive(Debug, Serialize, Deserialize)]
struct File<'a> {
    #[serde(borrow, with = "serde_bytes")]
    name: &'a [u8],
    #[serde(borrow, with = "serde_bytes")]
    data: &'a [u8],
}

/// Messages with files, back to back in one buffer.
struct WithFiles {
    stream: Vec<u8>,
}

impl WithFiles {
    fn new(frames: &[Frame]) -> Self {
        let message = |Frame { status, files, message }: &Frame| {
            let files = files.iter().map(|(name, data)| File { name, data }).collect();
            serialized(&MessageWithFiles { status: *status, files, message })
        };
        Self { stream: frames.iter().flat_map(message).collect() }
    }
}

impl Decode for WithFiles {
    fn decode<C: Consumer>(&mut self, consumer: &mut C) {
        let mut stream = black_box(self.stream.as_slice());
        while !stream.is_empty() {
            let (message, rest) =
                postcard::take_from_bytes::<MessageWithFiles<'_>>(stream).expect("valid messages");
            consumer.frame_start(message.status);
            for File { name, data } in &message.files {
                consumer.file_start(name, data.len() as u64);
                consumer.file_data(data);
            }
            consumer.message_data(message.message);
            consumer.frame_end();
            stream = rest;
        }
    }
}

#[derive(Serialize, Deserialize)]
enum Part<'a> {
    Head {
        status: u8,
        #[serde(borrow, with = "serde_bytes")]
        name: &'a [u8],
        size: u64,
    },
    Data(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    Tail(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
}

/// A file as a message per slice, each whole in the buffer.
struct Parts {
    reads: Vec<&'static [u8]>,
}

impl Parts {
    fn new(slices: usize) -> Self {
        let Frame { status, files, message } = frame::large(slices);
        let (name, data) = &files[0];
        let head = serialized(&Part::Head { status, name, size: (slices * SLICE) as u64 });
        let (slice, tail) = (serialized(&Part::Data(data)), serialized(&Part::Tail(&message)));
        Self { reads: frame::reads(head, slice, slices, tail) }
    }
}

impl Decode for Parts {
    fn decode<C: Consumer>(&mut self, consumer: &mut C) {
        for read in black_box(&self.reads) {
            match postcard::from_bytes(read).expect("a valid part") {
                Part::Head { status, name, size } => {
                    consumer.frame_start(status);
                    consumer.file_start(name, size);
                }
                Part::Data(data) => consumer.file_data(data),
                Part::Tail(message) => {
                    consumer.message_data(message);
                    consumer.frame_end();
                }
            }
        }
    }
}

/// A stream of COBS frames in reads of one size.
struct Reads {
    accumulator: CobsAccumulator<ROOM>,
    stream: Vec<u8>,
    read: usize,
}

impl Reads {
    fn new(frames: &[Frame], read: usize) -> Self {
        let mut encode = Encode::new(frames, Cobs);
        encode.pass();
        let stream = encode.stream[..encode.len].to_vec();
        Self { accumulator: CobsAccumulator::new(), stream, read }
    }
}

impl Decode for Reads {
    fn decode<C: Consumer>(&mut self, consumer: &mut C) {
        let stream = black_box(self.stream.as_slice());
        for read in stream.chunks(black_box(self.read)) {
            let mut rest = read;
            while !rest.is_empty() {
                rest = match self.accumulator.feed_ref::<Message<'_>>(rest) {
                    FeedResult::Consumed => break,
                    FeedResult::Success { data, remaining } => {
                        data.tell(consumer);
                        remaining
                    }
                    FeedResult::OverFull(_) | FeedResult::DeserError(_) => panic!("valid messages"),
                };
            }
        }
    }
}

/// Messages back to back into one buffer. Their bytes are copied.
struct Encode<F> {
    frames: Vec<Frame>,
    framing: F,
    stream: Vec<u8>,
    len: usize,
}

/// How a message gets onto the wire, and off it again.
trait Framing {
    fn to_slice<'a>(&self, message: &Message<'_>, space: &'a mut [u8]) -> postcard::Result<&'a mut [u8]>;

    fn frames(&self, stream: Vec<u8>) -> Vec<Frame>;
}

/// None: a message ends where its last field does.
struct Plain;

impl Framing for Plain {
    fn to_slice<'a>(&self, message: &Message<'_>, space: &'a mut [u8]) -> postcard::Result<&'a mut [u8]> {
        postcard::to_slice(message, space)
    }

    fn frames(&self, stream: Vec<u8>) -> Vec<Frame> {
        Messages { stream }.frames()
    }
}

struct Cobs;

impl Framing for Cobs {
    fn to_slice<'a>(&self, message: &Message<'_>, space: &'a mut [u8]) -> postcard::Result<&'a mut [u8]> {
        postcard::to_slice_cobs(message, space)
    }

    fn frames(&self, stream: Vec<u8>) -> Vec<Frame> {
        Reads { accumulator: CobsAccumulator::new(), stream, read: usize::MAX }.frames()
    }
}

impl<F: Framing> Encode<F> {
    fn new(frames: &[Frame], framing: F) -> Self {
        Self { frames: frames.to_vec(), framing, stream: vec![0; frames.len() * ROOM], len: 0 }
    }
}

impl<F: Framing> Case for Encode<F> {
    fn pass(&mut self) {
        self.len = 0;
        for frame in black_box(&self.frames) {
            let space = &mut self.stream[self.len..];
            self.len += self.framing.to_slice(&Message::of(frame), space).expect("room for a message").len();
        }
        black_box(&self.stream);
    }

    fn frames(&mut self) -> Vec<Frame> {
        self.pass();
        self.framing.frames(self.stream[..self.len].to_vec())
    }
}

fn serialized(value: &impl Serialize) -> Vec<u8> {
    let mut space = vec![0; SLICE + ROOM];
    postcard::to_slice(value, &mut space).expect("room for a slice").to_vec()
}

/// For a message in either encoding.
const ROOM: usize = 256;
/// The most that a message has room for.
const FILES: usize = 8;

#[cfg(test)]
mod tests {
    use measure::Checked;

    use super::*;

    #[test]
    fn every_case_delivers_what_was_sent() {
        let mut checked = Checked::default();
        messages(&mut checked);
        files(&mut checked);
        parts(&mut checked);
        encode(&mut checked);
        cobs_reads(&mut checked);
        cobs_encode(&mut checked);
        assert_eq!(checked.rows().len(), 9);
    }
}
