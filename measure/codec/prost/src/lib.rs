//! prost: protocol buffers, with a length before each message, and payload as `Bytes` that share the input's memory.
//!
//! It takes whole messages, so input in pieces is collected until the length says that one is complete.

use std::{hint::black_box, iter};

use bytes::{Buf, Bytes, BytesMut};
use measure::{
    Case, Consumer, Decode, List,
    arrival::{Buffer, arrive},
    frame::{self, FRAMES, Frame, SLICE},
};
use prost::Message as _;

/// Messages, without and with files, out of a buffer.
pub fn messages(list: &mut impl List) {
    list.add("peer/prost/decode/msg", "frame", FRAMES, || Messages::new(&frame::messages()));
    list.add("peer/prost/decode/files8", "frame", FRAMES, || Messages::new(&frame::with_files()));
}

/// Messages as reads come.
pub fn reads(list: &mut impl List) {
    for (row, read) in [
        ("peer/prost/decode/msg/1460byte", 1460),
        ("peer/prost/decode/msg/7byte", 7),
        ("peer/prost/decode/msg/1byte", 1),
    ] {
        list.add(row, "frame", FRAMES, move || Reads::new(&frame::messages(), read));
    }
}

/// A large file, part by part.
pub fn parts(list: &mut impl List) {
    let slices = list.slices();
    list.add("peer/prost/decode/file/64k", "slice", slices, move || Parts::new(slices));
}

/// Messages into a buffer.
pub fn encode(list: &mut impl List) {
    list.add("peer/prost/encode/msg", "frame", FRAMES, || Encode::new(&frame::messages()));
}

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(uint32, tag = "1")]
    status: u32,
    #[prost(message, repeated, tag = "2")]
    files: Vec<File>,
    #[prost(bytes = "bytes", tag = "3")]
    message: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct File {
    #[prost(bytes = "bytes", tag = "1")]
    name: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    data: Bytes,
}

impl Message {
    fn of(Frame { status, files, message }: &Frame) -> Self {
        let file =
            |(name, data): &(Vec<u8>, Vec<u8>)| File { name: name.clone().into(), data: data.clone().into() };
        Self {
            status: (*status).into(),
            files: files.iter().map(file).collect(),
            message: message.clone().into(),
        }
    }

    fn tell(&self, consumer: &mut impl Consumer) {
        consumer.frame_start(u8::try_from(self.status).expect("a status"));
        for File { name, data } in &self.files {
            consumer.file_start(name, data.len() as u64);
            consumer.file_data(data);
        }
        consumer.message_data(&self.message);
        consumer.frame_end();
    }
}

/// Messages back to back in one buffer.
struct Messages {
    stream: Bytes,
}

impl Messages {
    fn new(frames: &[Frame]) -> Self {
        Self {
            stream: frames
                .iter()
                .flat_map(|frame| Message::of(frame).encode_length_delimited_to_vec())
                .collect(),
        }
    }
}

impl Decode for Messages {
    fn decode<C: Consumer>(&mut self, consumer: &mut C) {
        let mut stream = black_box(&self.stream).clone();
        while stream.has_remaining() {
            Message::decode_length_delimited(&mut stream).expect("valid messages").tell(consumer);
        }
    }
}

/// A stream of messages in reads of one size.
struct Reads {
    buffer: Buffer,
    stream: Bytes,
    read: usize,
}

impl Reads {
    fn new(frames: &[Frame], read: usize) -> Self {
        Self { buffer: Buffer::default(), stream: Messages::new(frames).stream, read }
    }
}

impl Decode for Reads {
    fn decode<C: Consumer>(&mut self, consumer: &mut C) {
        let buffer = self.buffer.begin();
        let stream = black_box(&self.stream);
        for read in stream.chunks(black_box(self.read)) {
            arrive(buffer, read);
            while let Some(message) = take_whole(buffer) {
                Message::decode(message).expect("valid messages").tell(consumer);
            }
        }
    }
}

/// The next message if all of it is there.
fn take_whole(buffer: &mut BytesMut) -> Option<Bytes> {
    // Of the reasons for an error, only that the length is not complete can be one here.
    let len = prost::decode_length_delimiter(&buffer[..]).ok()?;
    let head = prost::length_delimiter_len(len);
    if buffer.len() < head + len {
        return None;
    }
    buffer.advance(head);
    Some(buffer.split_to(len).freeze())
}

#[derive(Clone, PartialEq, prost::Message)]
struct Part {
    #[prost(oneof = "Kind", tags = "1, 2, 3")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Head(Head),
    #[prost(bytes = "bytes", tag = "2")]
    Data(Bytes),
    #[prost(bytes = "bytes", tag = "3")]
    Tail(Bytes),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Head {
    #[prost(uint32, tag = "1")]
    status: u32,
    #[prost(bytes = "bytes", tag = "2")]
    name: Bytes,
    #[prost(uint64, tag = "3")]
    size: u64,
}

/// A file as a message per slice, each whole in its buffer.
struct Parts {
    reads: Vec<Bytes>,
}

impl Parts {
    fn new(slices: usize) -> Self {
        let Frame { status, mut files, message } = frame::large(slices);
        let (name, data) = files.remove(0);
        let part = |kind| Bytes::from(Part { kind: Some(kind) }.encode_length_delimited_to_vec());
        let size = (slices * SLICE) as u64;
        let mut reads = vec![part(Kind::Head(Head { status: status.into(), name: name.into(), size }))];
        reads.extend(iter::repeat_n(part(Kind::Data(data.into())), slices));
        reads.push(part(Kind::Tail(message.into())));
        Self { reads }
    }
}

impl Decode for Parts {
    fn decode<C: Consumer>(&mut self, consumer: &mut C) {
        for read in black_box(&self.reads) {
            let part = Part::decode_length_delimited(read.clone()).expect("a valid part");
            match part.kind.expect("a known part") {
                Kind::Head(Head { status, name, size }) => {
                    consumer.frame_start(u8::try_from(status).expect("a status"));
                    consumer.file_start(&name, size);
                }
                Kind::Data(data) => consumer.file_data(&data),
                Kind::Tail(message) => {
                    consumer.message_data(&message);
                    consumer.frame_end();
                }
            }
        }
    }
}

/// Messages back to back into one buffer. Their bytes are copied.
struct Encode {
    messages: Vec<Message>,
    stream: Vec<u8>,
    len: usize,
}

impl Encode {
    fn new(frames: &[Frame]) -> Self {
        let messages: Vec<_> = frames.iter().map(Message::of).collect();
        let len: usize = messages.iter().map(|message| message.encode_length_delimited_to_vec().len()).sum();
        Self { messages, stream: vec![0; len], len: 0 }
    }
}

impl Case for Encode {
    fn pass(&mut self) {
        let mut space = self.stream.as_mut_slice();
        for message in black_box(&self.messages) {
            message.encode_length_delimited(&mut space).expect("room for the messages");
        }
        let free = space.len();
        self.len = self.stream.len() - free;
        black_box(&self.stream);
    }

    fn frames(&mut self) -> Vec<Frame> {
        self.pass();
        Messages { stream: Bytes::copy_from_slice(&self.stream[..self.len]) }.frames()
    }
}

#[cfg(test)]
mod tests {
    use measure::Checked;

    use super::*;

    #[test]
    fn every_case_delivers_what_was_sent() {
        let mut checked = Checked::default();
        messages(&mut checked);
        reads(&mut checked);
        parts(&mut checked);
        encode(&mut checked);
        assert_eq!(checked.rows().len(), 7);
    }
}
