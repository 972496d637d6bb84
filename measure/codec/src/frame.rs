//! The frames that every codec gets.

/// What a frame says, whatever the codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) status: u8,
    /// Names and contents.
    pub(crate) files: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) message: Vec<u8>,
}

/// Frames with a message of 32 bytes, no two neighbours alike.
pub(crate) fn messages() -> Vec<Frame> {
    (0..FRAMES).map(|index| frame(index, 0)).collect()
}

/// Frames with eight small files each, and the same messages.
pub(crate) fn with_files() -> Vec<Frame> {
    (0..FRAMES).map(|index| frame(index, 8)).collect()
}

/// A stream as TEJ has it, after docs/protocol.md and without `tej-core`.
pub(crate) fn wire(frames: &[Frame]) -> Vec<u8> {
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
pub(crate) const FRAMES: usize = 1022;
const MESSAGE: usize = 32;
const FILE: usize = 64;
/// A slice of a large file: what programs read at once.
pub(crate) const SLICE: usize = 64 << 10;
