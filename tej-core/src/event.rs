//! What a decoder tells its caller.

use crate::Status;

/// One step through a frame, borrowed from the caller's input or from the decoder's name storage.
///
/// A frame is always `FrameStart`, then for each file `FileStart`, any number of `FileData`, `FileEnd`, then
/// `MessageStart`, any number of `MessageData`, and `FrameEnd`. How the payload is cut into `FileData` and
/// `MessageData` follows the caller's reads; everything else is the same for every segmentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Event<'a> {
    /// A frame begins.
    FrameStart(FrameHeader),
    /// A file begins: its whole name, and the number of bytes that follow.
    FileStart {
        /// The name as it was sent. UTF-8 by convention, which is for the caller to check; it may be empty, and
        /// it is a stranger's: never a path to open as it stands.
        name: &'a [u8],
        /// Bytes of data that follow.
        size: u64,
    },
    /// The next bytes of the current file; never empty.
    FileData(&'a [u8]),
    /// The current file is complete.
    FileEnd,
    /// The message begins. Every frame has one; a size of 0 is "no message".
    MessageStart {
        /// Bytes of message that follow.
        size: u64,
    },
    /// The next bytes of the message; never empty.
    MessageData(&'a [u8]),
    /// The frame is complete. The next byte belongs to another frame.
    FrameEnd,
}

/// The fixed head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FrameHeader {
    /// The custom status, 0 to 127.
    pub status: Status,
    /// The protocol version, [`VERSION`](crate::VERSION) unless [`Limits::any_version`](crate::Limits::any_version) is set.
    pub version: u8,
    /// Number of files that follow.
    pub files: u32,
}
