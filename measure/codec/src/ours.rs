//! tej-core.

use std::{borrow::Borrow, hint::black_box};

use tej_core::{Decoder, Encoder, Event, Limits, Status};

use crate::{
    case::{Case, Consumer, Decode, Entry},
    frame::{self, FRAMES, Frame, SLICE},
};

pub(crate) fn cases(slices: u64) -> Vec<Entry> {
    let decode =
        |row, read| Entry::new(row, "frame", FRAMES, move || Reads::new(&frame::messages(), read, limits()));
    vec![
        decode("decode/msg/contiguous", usize::MAX),
        decode("decode/msg/1460byte", 1460),
        decode("decode/msg/7byte", 7),
        decode("decode/msg/1byte", 1),
        Entry::new("decode/files8", "frame", FRAMES, || {
            Reads::new(&frame::with_files(), usize::MAX, limits())
        }),
        Entry::new("decode/file/64k", "slice", usize::try_from(slices).unwrap(), move || Slices::new(slices)),
        Entry::new("encode/msg", "frame", FRAMES, || Heads::new(&frame::messages())),
    ]
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

/// One file in slices of 64 KiB, as they come from a socket into one buffer.
struct Slices {
    decoder: Decoder<[u8; 255], &'static Limits>,
    head: Vec<u8>,
    slice: Vec<u8>,
    slices: u64,
    tail: Vec<u8>,
}

impl Slices {
    fn new(slices: u64) -> Self {
        let frame = &frame::with_files()[0];
        let (name, _) = &frame.files[0];
        // The wire of an empty file, cut at the file's length.
        let mut head = frame::wire(&[Frame { files: vec![(name.clone(), Vec::new())], ..frame.clone() }]);
        let tail = head.split_off(10 + 2 + name.len() + 8);
        head.truncate(10 + 2 + name.len());
        head.extend((slices * SLICE as u64).to_be_bytes());
        Self { decoder: Decoder::new([0; 255], limits()), head, slice: vec![7; SLICE], slices, tail }
    }
}

impl Decode for Slices {
    fn decode<C: Consumer>(&mut self, consumer: &mut C) {
        drain(&mut self.decoder, black_box(&self.head), consumer);
        for _ in 0..self.slices {
            drain(&mut self.decoder, black_box(&self.slice), consumer);
        }
        drain(&mut self.decoder, black_box(&self.tail), consumer);
        self.decoder.finish().expect("whole frames");
    }
}

fn drain<C: Consumer, L: Borrow<Limits>>(
    decoder: &mut Decoder<[u8; 255], L>,
    mut read: &[u8],
    consumer: &mut C,
) {
    while let Some(event) = decoder.decode(&mut read).expect("valid frames") {
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
}

/// The heads of message frames, into a buffer of the caller's, for a vectored write with the messages themselves.
struct Heads {
    encoder: Encoder,
    frames: Vec<(Status, Vec<u8>)>,
    heads: Vec<[u8; 18]>,
}

impl Heads {
    fn new(frames: &[Frame]) -> Self {
        let frames: Vec<_> = frames
            .iter()
            .map(|frame| (Status::new(frame.status).expect("a status"), frame.message.clone()))
            .collect();
        Self { encoder: Encoder::new(), heads: vec![[0; 18]; frames.len()], frames }
    }
}

impl Case for Heads {
    fn pass(&mut self) {
        for ((status, message), head) in black_box(&self.frames).iter().zip(&mut self.heads) {
            let size = message.len() as u64;
            let (frame, length) = head.split_at_mut(10);
            frame.copy_from_slice(&self.encoder.start_frame(*status, 0).expect("between frames"));
            length.copy_from_slice(&self.encoder.start_message(size).expect("inside the frame"));
            self.encoder.payload(size).expect("as announced");
        }
        black_box(&self.heads);
    }

    #[cfg(test)]
    fn frames(&mut self) -> Vec<Frame> {
        self.pass();
        let stream =
            self.heads.iter().zip(&self.frames).flat_map(|(head, (_, message))| [&head[..], message]);
        let stream = stream.collect::<Vec<_>>().concat();
        Reads { decoder: Decoder::new([0; 255], limits()), stream, read: usize::MAX }.frames()
    }
}

/// As programs keep them: in a place of their own, of which the compiler does not know what it holds.
fn limits() -> &'static Limits {
    Box::leak(Box::new(black_box(Limits::DEFAULT)))
}
