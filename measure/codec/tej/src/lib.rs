//! tej-core.

use std::{borrow::Borrow, hint::black_box};

use measure::{
    Case, Consumer, Decode, List,
    frame::{self, FRAMES, Frame, SLICE},
};
use tej_core::{Decoder, Encoder, Event, FRAME_HEAD_LEN, Limits, MIN_FRAME_LEN, Status};

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

/// A large file, slice by slice.
pub fn slices(list: &mut impl List) {
    let slices = list.slices();
    list.add("decode/file/64k", "slice", slices, move || Slices::new(slices));
}

/// Heads out, messages past.
pub fn encode(list: &mut impl List) {
    list.add("encode/msg", "frame", FRAMES, || Heads::new(&frame::messages()));
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
    heads: Vec<[u8; MIN_FRAME_LEN]>,
}

impl Heads {
    fn new(frames: &[Frame]) -> Self {
        let frames: Vec<_> = frames
            .iter()
            .map(|frame| (Status::new(frame.status).expect("a status"), frame.message.clone()))
            .collect();
        Self { encoder: Encoder::new(), heads: vec![[0; MIN_FRAME_LEN]; frames.len()], frames }
    }
}

impl Case for Heads {
    fn pass(&mut self) {
        for ((status, message), head) in black_box(&self.frames).iter().zip(&mut self.heads) {
            let size = message.len() as u64;
            let (frame, length) = head.split_at_mut(FRAME_HEAD_LEN);
            frame.copy_from_slice(&self.encoder.start_frame(*status, 0).expect("between frames"));
            length.copy_from_slice(&self.encoder.start_message(size).expect("inside the frame"));
            self.encoder.payload(size).expect("as announced");
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
        slices(&mut checked);
        encode(&mut checked);
        assert_eq!(checked.rows().len(), 7);
    }
}
