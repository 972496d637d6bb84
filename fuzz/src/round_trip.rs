//! Any frames, written in any pieces and read in others: the same frames.

use arbitrary::Arbitrary;
use tej_core::{Encoder, Status};

use crate::common::reference::{self, Frame};
use crate::common::{by_decode, by_step, decoder, vectors};
use crate::pieces::Pieces;
use crate::seed::{self, Fields, Seed};

/// Frames, and how they travel.
#[derive(Arbitrary, Clone, Debug, PartialEq)]
pub struct Input {
    written: Pieces,
    read: Pieces,
    frames: Vec<Recipe>,
}

impl Input {
    /// Encodes the frames, compares the bytes with the oracle's, and decodes them.
    ///
    /// # Panics
    /// Where a byte or an event differs, or a call is refused.
    pub fn check(&self) {
        let frames: Vec<_> = self.frames.iter().take(MOST_FRAMES).map(Recipe::frame).collect();
        let mut encoder = Encoder::new();
        let mut wire = Vec::new();
        for frame in &frames {
            let start = wire.len();
            self.encode(&mut encoder, frame, &mut wire);
            assert_eq!(wire[start..], frame.wire(), "{frame:?}");
        }
        let expected = (frames.iter().flat_map(Frame::events).collect(), None);
        let names = frames.iter().flat_map(|frame| &frame.files).map(|(name, _)| name.len() as u64);
        let limits = reference::Limits { name: names.max().unwrap_or(0), ..reference::Limits::WIDEST };
        let pieces = self.read.of(&wire);
        assert_eq!(by_decode(decoder(&limits), pieces.iter().copied()), expected, "through `decode`");
        assert_eq!(by_step(decoder(&limits), pieces.iter().copied()), expected, "through `step`");
    }

    fn encode(&self, encoder: &mut Encoder, frame: &Frame, wire: &mut Vec<u8>) {
        let start = wire.len();
        let status = Status::new(frame.status).expect("7 bits");
        let files = frame.files.len().try_into().expect("few files");
        wire.extend(encoder.start_frame(status, files).expect("a frame may begin"));
        for (name, data) in &frame.files {
            let head = encoder.start_file(name, data.len() as u64).expect("a file is due");
            wire.extend(head.name_len);
            wire.extend(name);
            wire.extend(head.size);
            self.write_payload(encoder, data, wire);
        }
        wire.extend(encoder.start_message(frame.message.len() as u64).expect("the message is due"));
        self.write_payload(encoder, &frame.message, wire);
        assert!(encoder.is_idle());
        assert_eq!(encoder.frame_len(), (wire.len() - start) as u64);
    }

    fn write_payload(&self, encoder: &mut Encoder, payload: &[u8], wire: &mut Vec<u8>) {
        let mut remaining = payload.len();
        for piece in self.written.of(payload) {
            assert_eq!(encoder.payload_remaining(), remaining as u64);
            encoder.payload(piece.len() as u64).expect("it was announced");
            wire.extend(piece);
            remaining -= piece.len();
        }
        assert_eq!(encoder.payload_remaining(), 0);
    }
}

/// What a frame is made from.
#[derive(Arbitrary, Clone, Debug, PartialEq)]
struct Recipe {
    /// Its highest bit does not count.
    status: u8,
    /// Names and contents.
    files: Vec<(Text, Text)>,
    message: Text,
}

impl Recipe {
    fn frame(&self) -> Frame {
        let files = self.files.iter().take(MOST_FILES);
        Frame {
            status: self.status & 0x7f,
            files: files.map(|(name, data)| (name.bytes(MAX_NAME), data.bytes(MAX_DATA))).collect(),
            message: self.message.bytes(MAX_DATA),
        }
    }
}

/// Bytes, and how often they come: so that some few are longer than 8 bits can tell.
#[derive(Arbitrary, Clone, Debug, PartialEq)]
struct Text {
    /// 240 and each above it double them once more; anything below leaves them as they are.
    doubled: u8,
    bytes: Vec<u8>,
}

impl Text {
    fn new(bytes: &[u8]) -> Self {
        Self { doubled: 0, bytes: bytes.to_vec() }
    }

    fn bytes(&self, max: usize) -> Vec<u8> {
        let doubled = u32::from(self.doubled.saturating_sub(239));
        let mut bytes = self.bytes.clone();
        bytes.truncate(max.div_ceil(1 << doubled));
        bytes = bytes.repeat(1 << doubled);
        bytes.truncate(max);
        bytes
    }
}

impl Seed for Input {
    fn write(&self, bytes: &mut Vec<u8>) {
        Fields(bytes).field(&self.written).field(&self.read).field(&self.frames);
    }
}

impl Seed for Recipe {
    fn write(&self, bytes: &mut Vec<u8>) {
        Fields(bytes).field(&self.status).field(&self.files).field(&self.message);
    }
}

impl Seed for (Text, Text) {
    fn write(&self, bytes: &mut Vec<u8>) {
        Fields(bytes).field(&self.0).field(&self.1);
    }
}

impl Seed for Text {
    fn write(&self, bytes: &mut Vec<u8>) {
        Fields(bytes).field(&self.doubled).field(&self.bytes);
    }
}

/// The vectors one by one and all in one stream, and names as long as they get.
pub fn seeds() -> Vec<Vec<u8>> {
    let recipe = |frame: &Frame| Recipe {
        status: frame.status,
        files: frame.files.iter().map(|(name, data)| (Text::new(name), Text::new(data))).collect(),
        message: Text::new(&frame.message),
    };
    let frames: Vec<_> = vectors().iter().map(|vector| recipe(&vector.frame)).collect();
    let long = |bytes: &[u8]| Text { doubled: u8::MAX, bytes: bytes.to_vec() };
    let longest_name = Recipe { status: 7, files: vec![(long(b"n"), long(b"d"))], message: long(b"m") };
    let one_by_one = frames.iter().map(|frame| vec![frame.clone()]);
    let mut inputs = Vec::new();
    for frames in one_by_one.chain([frames.clone(), vec![longest_name], vec![]]) {
        for (written, read) in [(Pieces::WHOLE, Pieces::BYTES), (Pieces::UNEVEN, Pieces::WHOLE)] {
            inputs.push(Input { written, read, frames: frames.clone() });
        }
    }
    let mut bytes = Vec::new();
    seed::seeds(&inputs, &mut bytes);
    bytes
}

const MAX_NAME: usize = 65_535;
/// More would be slow, and find nothing: no field is read differently.
const MAX_DATA: usize = 1_000;
const MOST_FRAMES: usize = 8;
const MOST_FILES: usize = 8;
