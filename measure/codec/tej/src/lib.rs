//! tej-core.

use std::{borrow::Borrow, hint::black_box};

use measure::{
    Case, Consumer, Decode, List,
    frame::{self, FRAMES, Frame, SLICE},
};
use tej_core::{
    Decoder, DefaultLimits, Encoder, Event, FRAME_HEAD_LEN, Limits, MIN_FRAME_LEN, Status, encode,
};

/// Event by event, out of a buffer or as reads come.
pub fn events(list: &mut impl List) {
    for (row, read) in [
        ("decode/msg/contiguous", usize::MAX),
        ("decode/msg/1460byte", 1460),
        ("decode/msg/7byte", 7),
        ("decode/msg/1byte", 1),
    ] {
        list.add(row, "frame", FRAMES, move || Reads::new(&frame::messages(), read, limits()));
    }
    list.add("decode/files8", "frame", FRAMES, || Reads::new(&frame::with_files(), usize::MAX, limits()));
}

/// Event by event, with limits that the compiler knows.
pub fn events_const_limits(list: &mut impl List) {
    list.add("decode/msg/contiguous/const_limits", "frame", FRAMES, || {
        Reads::new(&frame::messages(), usize::MAX, DefaultLimits)
    });
}

/// Frames borrowed whole, where a read has them whole.
pub fn whole(list: &mut impl List) {
    for (row, read) in [("decode/msg/whole", usize::MAX), ("decode/msg/1460byte/whole", 1460)] {
        list.add(row, "frame", FRAMES, move || Whole(Reads::new(&frame::messages(), read, limits())));
    }
    list.add("decode/files8/whole", "frame", FRAMES, || {
        Whole(Reads::new(&frame::with_files(), usize::MAX, limits()))
    });
}

/// Frames borrowed whole, with limits that the compiler knows.
pub fn whole_const_limits(list: &mut impl List) {
    list.add("decode/msg/whole/const_limits", "frame", FRAMES, || {
        Whole(Reads::new(&frame::messages(), usize::MAX, DefaultLimits))
    });
}

/// A large file, slice by slice.
pub fn slices(list: &mut impl List) {
    let slices = list.slices();
    list.add("decode/file/64k", "slice", slices, move || Slices::new(slices));
}

/// Heads out, messages past, with one call for a frame.
pub fn heads(list: &mut impl List) {
    list.add("encode/msg", "frame", FRAMES, || Heads::new(&frame::messages(), AtOnce));
}

/// Heads out, messages past, with the calls that any frame can be made of.
pub fn heads_by_parts(list: &mut impl List) {
    list.add("encode/msg/by_parts", "frame", FRAMES, || Heads::new(&frame::messages(), ByParts));
}

/// Whole frames into a buffer.
pub fn one_call(list: &mut impl List) {
    list.add("encode/msg/one_call", "frame", FRAMES, || OneCall::new(&frame::messages()));
}

/// A stream in reads of one size.
struct Reads<L> {
    decoder: Decoder<[u8; 255], L>,
    stream: Vec<u8>,
    read: usize,
}

impl<L: Borrow<Limits>> Reads<L> {
    fn new(frames: &[Frame], read: usize, limits: L) -> Self {
        Self { decoder: Decoder::new([0; 255], limits), stream: frame::wire(frames), read }
    }
}

impl<L: Borrow<Limits>> Decode for Reads<L> {
    fn decode<C: Consumer>(&mut self, consumer: &mut C) {
        let stream = black_box(self.stream.as_slice());
        for read in stream.chunks(black_box(self.read)) {
            drain(&mut self.decoder, read, consumer);
        }
        self.decoder.finish().expect("whole frames");
    }
}

/// The same, with every frame borrowed whole that can be.
struct Whole<L>(Reads<L>);

impl<L: Borrow<Limits>> Decode for Whole<L> {
    fn decode<C: Consumer>(&mut self, consumer: &mut C) {
        let Reads { decoder, stream, read } = &mut self.0;
        for mut read in black_box(stream.as_slice()).chunks(black_box(*read)) {
            loop {
                while let Some(frame) = decoder.decode_frame(&mut read) {
                    consumer.frame_start(frame.header().status.value());
                    for file in frame.files() {
                        consumer.file_start(file.name, file.data.len() as u64);
                        consumer.file_data(file.data);
                    }
                    consumer.message_data(frame.message());
                    consumer.frame_end();
                }
                let Some(event) = decoder.decode(&mut read).expect("valid frames") else { break };
                tell(event, consumer);
            }
        }
        decoder.finish().expect("whole frames");
    }
}

/// One file in slices of 64 KiB, as they come from a socket into one buffer.
struct Slices {
    decoder: Decoder<[u8; 255], &'static Limits>,
    reads: Vec<&'static [u8]>,
}

impl Slices {
    fn new(slices: usize) -> Self {
        let Frame { status, mut files, message } = frame::large(slices);
        let (name, slice) = files.remove(0);
        // The wire of an empty file, with the file's length put right.
        let mut head = frame::wire(&[Frame { status, files: vec![(name.clone(), Vec::new())], message }]);
        let at = FRAME_HEAD_LEN + 2 + name.len();
        let tail = head.split_off(at + 8);
        head.truncate(at);
        head.extend(((slices * SLICE) as u64).to_be_bytes());
        Self { decoder: Decoder::new([0; 255], limits()), reads: frame::reads(head, slice, slices, tail) }
    }
}

impl Decode for Slices {
    fn decode<C: Consumer>(&mut self, consumer: &mut C) {
        for read in black_box(&self.reads) {
            drain(&mut self.decoder, read, consumer);
        }
        self.decoder.finish().expect("whole frames");
    }
}

fn drain<C: Consumer, L: Borrow<Limits>>(
    decoder: &mut Decoder<[u8; 255], L>,
    mut read: &[u8],
    consumer: &mut C,
) {
    while let Some(event) = decoder.decode(&mut read).expect("valid frames") {
        tell(event, consumer);
    }
}

fn tell<C: Consumer>(event: Event<'_>, consumer: &mut C) {
    match event {
        Event::FrameStart(header) => consumer.frame_start(header.status.value()),
        Event::FileStart { name, size } => consumer.file_start(name, size),
        Event::FileData(data) => consumer.file_data(data),
        Event::MessageStart { size } => consumer.message_start(size),
        Event::MessageData(data) => consumer.message_data(data),
        Event::FrameEnd => consumer.frame_end(),
        _ => {}
    }
}

/// The heads of message frames, into a buffer of the caller's, for a vectored write with the messages themselves.
struct Heads<W> {
    way: W,
    encoder: Encoder,
    frames: Vec<(Status, Vec<u8>)>,
    heads: Vec<[u8; MIN_FRAME_LEN]>,
}

/// How a head is made.
trait Way {
    fn head(&self, encoder: &mut Encoder, status: Status, size: u64, head: &mut [u8; MIN_FRAME_LEN]);
}

struct AtOnce;

impl Way for AtOnce {
    fn head(&self, encoder: &mut Encoder, status: Status, size: u64, head: &mut [u8; MIN_FRAME_LEN]) {
        encoder.message_frame(status, size, head).expect("between frames");
    }
}

struct ByParts;

impl Way for ByParts {
    fn head(&self, encoder: &mut Encoder, status: Status, size: u64, head: &mut [u8; MIN_FRAME_LEN]) {
        let (frame, length) = head.split_at_mut(FRAME_HEAD_LEN);
        frame.copy_from_slice(&encoder.start_frame(status, 0).expect("between frames"));
        length.copy_from_slice(&encoder.start_message(size).expect("inside the frame"));
        encoder.payload(size).expect("as announced");
    }
}

fn to_send(frames: &[Frame]) -> Vec<(Status, Vec<u8>)> {
    let to_send = |frame: &Frame| (Status::new(frame.status).expect("a status"), frame.message.clone());
    frames.iter().map(to_send).collect()
}

impl<W> Heads<W> {
    fn new(frames: &[Frame], way: W) -> Self {
        Self {
            way,
            encoder: Encoder::new(),
            frames: to_send(frames),
            heads: vec![[0; MIN_FRAME_LEN]; frames.len()],
        }
    }
}

impl<W: Way> Case for Heads<W> {
    fn pass(&mut self) {
        for ((status, message), head) in black_box(&self.frames).iter().zip(&mut self.heads) {
            self.way.head(&mut self.encoder, *status, message.len() as u64, head);
        }
        black_box(&self.heads);
    }

    fn frames(&mut self) -> Vec<Frame> {
        self.pass();
        let stream =
            self.heads.iter().zip(&self.frames).flat_map(|(head, (_, message))| [&head[..], message]);
        let stream = stream.collect::<Vec<_>>().concat();
        Reads { decoder: Decoder::new([0; 255], limits()), stream, read: usize::MAX }.frames()
    }
}

/// Message frames, with the messages copied behind their heads, back to back into one buffer.
struct OneCall {
    frames: Vec<(Status, Vec<u8>)>,
    stream: Vec<u8>,
    len: usize,
}

impl OneCall {
    fn new(frames: &[Frame]) -> Self {
        Self { frames: to_send(frames), stream: vec![0; frame::wire(frames).len()], len: 0 }
    }
}

impl Case for OneCall {
    fn pass(&mut self) {
        self.len = 0;
        for (status, message) in black_box(&self.frames) {
            let space = &mut self.stream[self.len..];
            self.len += encode(*status, &[], message, space).expect("room for the frame");
        }
        black_box(&self.stream);
    }

    fn frames(&mut self) -> Vec<Frame> {
        self.pass();
        let stream = self.stream[..self.len].to_vec();
        Reads { decoder: Decoder::new([0; 255], limits()), stream, read: usize::MAX }.frames()
    }
}

/// As programs keep them: in a place of their own, of which the compiler does not know what it holds.
fn limits() -> &'static Limits {
    Box::leak(Box::new(black_box(Limits::DEFAULT)))
}

#[cfg(test)]
mod tests {
    use measure::Checked;

    use super::*;

    #[test]
    fn every_case_delivers_what_was_sent() {
        let mut checked = Checked::default();
        events(&mut checked);
        events_const_limits(&mut checked);
        whole(&mut checked);
        whole_const_limits(&mut checked);
        slices(&mut checked);
        heads(&mut checked);
        heads_by_parts(&mut checked);
        one_call(&mut checked);
        assert_eq!(checked.rows().len(), 14);
    }
}
