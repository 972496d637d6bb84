//! What a peer may announce.

/// The most a peer may announce in one frame.
///
/// A number over its limit is refused as soon as its field is complete, before a byte of what it announces is
/// waited for. Nothing in this crate is ever sized from a peer's number, so generous limits cost no memory here;
/// they bound what *you* do with the events. File names have no entry: their limit is the length of the name
/// storage the [`Decoder`](crate::Decoder) was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Limits {
    /// Files in one frame.
    pub files: u64,
    /// Bytes of one file.
    pub file: u64,
    /// Bytes of the message.
    pub message: u64,
    /// Bytes of the whole frame: its fields, names, files and message. Checked at each file length and at the
    /// message length, against the bytes of the frame up to that field plus what the field announces.
    pub frame: u64,
}

impl Limits {
    /// Refuses only what cannot be counted: a frame of more than 2⁶⁴ − 1 bytes.
    pub const UNLIMITED: Self = Self { files: u64::MAX, file: u64::MAX, message: u64::MAX, frame: u64::MAX };

    /// For programs that stream files and keep messages: up to 2²⁰ files of any size, and messages up to 16 MiB.
    pub const DEFAULT: Self = Self { files: 1 << 20, file: u64::MAX, message: 16 << 20, frame: u64::MAX };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
