//! Any frames, written in any pieces and read in others: the same frames.

use arbitrary::Arbitrary;
use tej_core::{EncodeError, Encoder, File, MIN_FRAME_LEN, Status, encode, encode_to_vec, encoded_len};

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
            encode_at_once(frame, &wire[start..]);
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

/// Encodes a frame in one call: into what is just long enough, and into what is not.
fn encode_at_once(frame: &Frame, wire: &[u8]) {
    let status = Status::new(frame.status).expect("7 bits");
    let files: Vec<_> = frame.files.iter().map(|(name, data)| File { name, data }).collect();
    assert_eq!(encoded_len(&files, &frame.message), wire.len());
    let mut buffer = vec![0xa5; wire.len() + 1];
    let (space, beyond) = buffer.split_at_mut(wire.len());
    assert_eq!(encode(status, &files, &frame.message, space), Ok(wire.len()));
    assert_eq!(space, wire);
    assert_eq!(beyond, [0xa5], "it wrote beyond its end");
    let too_small = |available| EncodeError::BufferTooSmall { needed: wire.len(), available };
    let available = wire.len() - 1;
    assert_eq!(encode(status, &files, &frame.message, &mut space[..available]), Err(too_small(available)));
    match encode_to_vec::<CAPACITY>(status, &files, &frame.message) {
        Ok(vec) => assert_eq!(vec, wire),
        Err(error) => {
            assert!(wire.len() > CAPACITY);
            assert_eq!(error, too_small(CAPACITY));
        }
    }
    if frame.files.is_empty() {
        let mut head = [0; MIN_FRAME_LEN];
        let mut encoder = Encoder::new();
        encoder.message_frame(status, frame.message.len() as u64, &mut head).expect("a frame may begin");
        assert_eq!([&head[..], &frame.message].concat(), wire);
        assert!(encoder.is_idle());
        assert_eq!(encoder.frame_len(), wire.len() as u64);
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
            files: files.map(|(name, data)| (name.bytes(), data.bytes())).collect(),
            message: self.message.bytes(),
        }
    }
}

/// Bytes, and how often they come: so that some few are longer than 8 bits can tell.
#[derive(Arbitrary, Clone, Debug, PartialEq)]
struct Text {
    /// 240 and each above it double them once more, up to a limit; anything below leaves them as they are.
    doubled: u8,
    bytes: Vec<u8>,
}

impl Text {
    fn new(bytes: &[u8]) -> Self {
        Self { doubled: 0, bytes: bytes.to_vec() }
    }

    fn bytes(&self) -> Vec<u8> {
        let doubled = u32::from(self.doubled.saturating_sub(239));
        let mut bytes = self.bytes.clone();
        bytes.truncate(MOST_BYTES.div_ceil(1 << doubled));
        bytes = bytes.repeat(1 << doubled);
        bytes.truncate(MOST_BYTES);
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

/// The vectors one by one and all in one stream, and a frame whose parts are all long.
pub fn seeds() -> Vec<Vec<u8>> {
    let recipe = |frame: &Frame| Recipe {
        status: frame.status,
        files: frame.files.iter().map(|(name, data)| (Text::new(name), Text::new(data))).collect(),
        message: Text::new(&frame.message),
    };
    let frames: Vec<_> = vectors().iter().map(|vector| recipe(&vector.frame)).collect();
    let long = |bytes: &[u8]| Text { doubled: u8::MAX, bytes: bytes.to_vec() };
    let long_one = Recipe { status: 7, files: vec![(long(b"n"), long(b"d"))], message: long(b"m") };
    let one_by_one = frames.iter().map(|frame| vec![frame.clone()]);
    let mut inputs = Vec::new();
    for frames in one_by_one.chain([frames.clone(), vec![long_one], vec![]]) {
        for (written, read) in [(Pieces::WHOLE, Pieces::BYTES), (Pieces::UNEVEN, Pieces::WHOLE)] {
            inputs.push(Input { written, read, frames: frames.clone() });
        }
    }
    let mut bytes = Vec::new();
    seed::seeds(&inputs, &mut bytes);
    bytes
}

/// In a name, a file or a message. More would be slow, and find nothing: no field is read differently.
const MOST_BYTES: usize = 1_000;
const MOST_FRAMES: usize = 8;
const MOST_FILES: usize = 8;
/// What a vector has room for: some, and not all, of the seeds.
const CAPACITY: usize = 40;
