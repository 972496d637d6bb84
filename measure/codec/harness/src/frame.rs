//! The frames that every codec gets.

use std::iter;

/// What a frame says, whatever the codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// 0 to 127.
    pub status: u8,
    /// Names and contents.
    pub files: Vec<(Vec<u8>, Vec<u8>)>,
    /// May be empty.
    pub message: Vec<u8>,
}

/// Frames with a message of 32 bytes, no two neighbours alike.
pub fn messages() -> Vec<Frame> {
    (0..FRAMES).map(|index| frame(index, 0)).collect()
}

/// Frames with eight small files each, and the same messages.
pub fn with_files() -> Vec<Frame> {
    (0..FRAMES).map(|index| frame(index, 8)).collect()
}

/// A frame with one file of which there is one slice, the first of `slices` that are all alike.
pub fn large(slices: usize) -> Frame {
    let Frame { status, message, .. } = frame(slices, 0);
    let slice = (0..SLICE).map(|position| position.to_le_bytes()[0]).collect();
    Frame { status, files: vec![(b"recording.wav".to_vec(), slice)], message }
}

/// The reads of a large file: what comes before it, a slice again and again, what comes after it.
pub fn reads(before: Vec<u8>, slice: Vec<u8>, slices: usize, after: Vec<u8>) -> Vec<&'static [u8]> {
    let [before, slice, after] = [before, slice, after].map(|bytes| &*bytes.leak());
    iter::once(before).chain(iter::repeat_n(slice, slices)).chain(iter::once(after)).collect()
}

/// A stream as TEJ has it, after docs/protocol.md and without `tej-core`.
pub fn wire(frames: &[Frame]) -> Vec<u8> {
    let mut wire = Vec::new();
    for Frame { status, files, message } in frames {
        wire.extend([0x80 | status, 1]);
        wire.extend((files.len() as u64).to_be_bytes());
        for (name, data) in files {
            wire.extend(u16::try_from(name.len()).expect("a short name").to_be_bytes());
            wire.extend(name);
            wire.extend((data.len() as u64).to_be_bytes());
            wire.extend(data);
        }
        wire.extend((message.len() as u64).to_be_bytes());
        wire.extend(message);
    }
    wire
}

fn frame(index: usize, files: usize) -> Frame {
    let byte = |position: usize| position.wrapping_mul(31).wrapping_add(index).to_le_bytes()[0];
    let files = (0..files).map(|file| {
        (
            format!("reading-{file}.bin").into_bytes(),
            (0..FILE).map(|position| byte(position + file)).collect(),
        )
    });
    Frame { status: byte(0) & 0x7f, files: files.collect(), message: (0..MESSAGE).map(byte).collect() }
}

/// As many as give, with the 50 bytes that such a frame has in TEJ, whole reads of 1,460 and of 7 bytes.
pub const FRAMES: usize = 1022;
const MESSAGE: usize = 32;
const FILE: usize = 64;
/// A slice of a large file: what programs read at once.
pub const SLICE: usize = 64 << 10;
