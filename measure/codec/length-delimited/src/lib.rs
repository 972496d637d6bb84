//! tokio-util's `LengthDelimitedCodec`: a length before each frame, and what is in it is the program's affair.
//!
//! Here a frame is the status and the message, or a part of a file behind a byte that says which.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use measure::{
    Case, Consumer, Decode, List,
    arrival::{Buffer, arrive},
    frame::{self, FRAMES, Frame, SLICE},
};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

/// Messages, out of a buffer or as reads come.
pub fn reads(list: &mut impl List) {
    for (row, read) in [
        ("peer/length_delimited/decode/msg", usize::MAX),
        ("peer/length_delimited/decode/msg/1460byte", 1460),
        ("peer/length_delimited/decode/msg/7byte", 7),
        ("peer/length_delimited/decode/msg/1byte", 1),
    ] {
        list.add(row, "frame", FRAMES, move || Reads::new(&frame::messages(), read));
    }
}

/// A large file, part by part.
pub fn parts(list: &mut impl List) {
    let slices = list.slices();
    list.add("peer/length_delimited/decode/file/64k", "slice", slices, move || Parts::new(slices));
}

/// Messages into a buffer.
pub fn encode(list: &mut impl List) {
    list.add("peer/length_delimited/encode/msg", "frame", FRAMES, || Encode::new(&frame::messages()));
}

/// A stream of messages in reads of one size.
struct Reads {
    codec: LengthDelimitedCodec,
    buffer: Buffer,
    stream: Vec<u8>,
    read: usize,
}

impl Reads {
    fn new(frames: &[Frame], read: usize) -> Self {
        let mut encode = Encode::new(frames);
        encode.pass();
        let stream = encode.stream.to_vec();
        Self { codec: LengthDelimitedCodec::new(), buffer: Buffer::default(), stream, read }
    }
}

impl Decode for Reads {
    fn decode<C: Consumer>(&mut self, consumer: &mut C) {
        let buffer = self.buffer.begin();
        let stream = black_box(self.stream.as_slice());
        for read in stream.chunks(black_box(self.read)) {
            arrive(buffer, read);
            while let Some(frame) = self.codec.decode(buffer).expect("valid frames") {
                let (&status, message) = frame.split_first().expect("a status");
                consumer.frame_start(status);
                consumer.message_data(message);
                consumer.frame_end();
            }
        }
    }
}

/// A file as a frame per slice, each of which comes with one read.
struct Parts {
    codec: LengthDelimitedCodec,
    buffer: Buffer,
    reads: Vec<&'static [u8]>,
}

impl Parts {
    fn new(slices: usize) -> Self {
        let Frame { status, files, message } = frame::large(slices);
        let mut codec = LengthDelimitedCodec::new();
        let mut part = |fields: &[&[u8]]| {
            let mut wire = BytesMut::new();
            codec.encode(Bytes::from(fields.concat()), &mut wire).expect("a frame of some size");
            wire.to_vec()
        };
        let size = ((slices * SLICE) as u64).to_be_bytes();
        let head = part(&[&[HEAD, status], &size, &files[0].0]);
        let (slice, tail) = (part(&[&[DATA], &files[0].1]), part(&[&[TAIL], &message]));
        Self { codec, buffer: Buffer::default(), reads: frame::reads(head, slice, slices, tail) }
    }
}

impl Decode for Parts {
    fn decode<C: Consumer>(&mut self, consumer: &mut C) {
        let buffer = self.buffer.begin();
        for read in black_box(&self.reads) {
            arrive(buffer, read);
            while let Some(part) = self.codec.decode(buffer).expect("valid frames") {
                match part.split_first().expect("a kind") {
                    (&DATA, data) => consumer.file_data(data),
                    (&HEAD, fields) => {
                        let (&status, fields) = fields.split_first().expect("a status");
                        let (&size, name) = fields.split_first_chunk().expect("a size");
                        consumer.frame_start(status);
                        consumer.file_start(name, u64::from_be_bytes(size));
                    }
                    (_, message) => {
                        consumer.message_data(message);
                        consumer.frame_end();
                    }
                }
            }
        }
    }
}

/// Messages into a buffer from which a socket is written. Their bytes are copied.
struct Encode {
    codec: LengthDelimitedCodec,
    items: Vec<Bytes>,
    stream: BytesMut,
}

impl Encode {
    fn new(frames: &[Frame]) -> Self {
        // In static memory: the cheapest to clone of all that can be in a `Bytes`.
        let item = |frame: &Frame| Bytes::from_static([&[frame.status][..], &frame.message].concat().leak());
        Self {
            codec: LengthDelimitedCodec::new(),
            items: frames.iter().map(item).collect(),
            stream: BytesMut::new(),
        }
    }
}

impl Case for Encode {
    fn pass(&mut self) {
        self.stream.clear();
        for item in black_box(&self.items) {
            self.codec.encode(item.clone(), &mut self.stream).expect("a frame of some size");
        }
        black_box(&self.stream);
    }

    fn frames(&mut self) -> Vec<Frame> {
        self.pass();
        let stream = self.stream.to_vec();
        Reads { codec: LengthDelimitedCodec::new(), buffer: Buffer::default(), stream, read: usize::MAX }
            .frames()
    }
}

const HEAD: u8 = 0;
const DATA: u8 = 1;
const TAIL: u8 = 2;

#[cfg(test)]
mod tests {
    use measure::Checked;

    use super::*;

    #[test]
    fn every_case_delivers_what_was_sent() {
        let mut checked = Checked::default();
        reads(&mut checked);
        parts(&mut checked);
        encode(&mut checked);
        assert_eq!(checked.rows().len(), 6);
    }
}
