//! Errors: a peer's fault when decoding, a local mistake when encoding.

use core::fmt;

/// What is wrong with a peer's stream, and where.
///
/// Sticky: a decoder that has failed returns the same error for ever, because nothing after a fault can be
/// trusted to be where it seems. Only `Truncated` is a matter of when [`Decoder::finish`](crate::Decoder::finish) asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// The offending number: the byte for `BadStartBit` and `UnsupportedVersion`, the announced count or length
    /// for the limits, 0 for `Truncated`.
    pub value: u64,
    /// Bytes from the start of the stream to the first byte of the field at fault; for `Truncated`, to where the
    /// input ended.
    pub offset: u64,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, value, offset } = self;
        match kind {
            DecodeErrorKind::BadStartBit => {
                write!(f, "a frame cannot start with byte {value:#04x}: its first bit is 0")
            }
            DecodeErrorKind::UnsupportedVersion => write!(f, "protocol version {value} is not supported"),
            DecodeErrorKind::TooManyFiles => write!(f, "{value} files in one frame are over the limit"),
            DecodeErrorKind::NameTooLong => write!(f, "a file name of {value} bytes is over the limit"),
            DecodeErrorKind::FileTooLong => write!(f, "a file of {value} bytes is over the limit"),
            DecodeErrorKind::MessageTooLong => write!(f, "a message of {value} bytes is over the limit"),
            DecodeErrorKind::FrameTooLong => {
                write!(f, "a length of {value} bytes takes the frame over its limit")
            }
            DecodeErrorKind::Truncated => write!(f, "the input ended inside a frame"),
        }?;
        write!(f, " (at byte {offset} of the stream)")
    }
}

impl core::error::Error for DecodeError {}

/// The kinds of [`DecodeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The first bit of a frame is 0. The peer does not speak TEJ, or the stream has lost its place.
    BadStartBit,
    /// The version is not [`VERSION`](crate::VERSION).
    UnsupportedVersion,
    /// The number of files is over [`Limits::files`](crate::Limits::files).
    TooManyFiles,
    /// A file name is longer than the name storage.
    NameTooLong,
    /// A file is longer than [`Limits::file`](crate::Limits::file).
    FileTooLong,
    /// The message is longer than [`Limits::message`](crate::Limits::message).
    MessageTooLong,
    /// The frame is longer than [`Limits::frame`](crate::Limits::frame).
    FrameTooLong,
    /// The input ended inside a frame.
    Truncated,
}

impl DecodeErrorKind {
    /// All kinds there are.
    pub const ALL: &'static [Self] = &[
        Self::BadStartBit,
        Self::UnsupportedVersion,
        Self::TooManyFiles,
        Self::NameTooLong,
        Self::FileTooLong,
        Self::MessageTooLong,
        Self::FrameTooLong,
        Self::Truncated,
    ];

    /// A stable name for logs and machine-readable output, such as `bad_start_bit`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadStartBit => "bad_start_bit",
            Self::UnsupportedVersion => "unsupported_version",
            Self::TooManyFiles => "too_many_files",
            Self::NameTooLong => "name_too_long",
            Self::FileTooLong => "file_too_long",
            Self::MessageTooLong => "message_too_long",
            Self::FrameTooLong => "frame_too_long",
            Self::Truncated => "truncated",
        }
    }
}

/// A mistake of the local side while encoding. Nothing was written and the encoder's state is unchanged; only what
/// [`encode`](crate::encode) had in its buffer is lost. All can be corrected but [`Aborted`](Self::Aborted).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EncodeError {
    /// This head does not belong here: a frame inside a frame, a file or message outside one, a file more than
    /// were announced, or a message before the last of them.
    OutOfOrder,
    /// The name is longer than the 65,535 bytes its length field can announce; holds its length.
    NameTooLong(usize),
    /// The current file or message still lacks bytes; holds how many.
    PayloadMissing(u64),
    /// More payload was offered than was announced.
    PayloadOverrun {
        /// Bytes that were offered.
        offered: u64,
        /// Bytes that were still to come.
        remaining: u64,
    },
    /// The frame would be longer than 2⁶⁴ − 1 bytes, which no peer could count.
    FrameTooLong,
    /// More files than the 2³² − 1 that a frame of ours may have; holds their number.
    TooManyFiles(u64),
    /// The buffer does not hold the whole frame.
    BufferTooSmall {
        /// Bytes of the frame on the wire.
        needed: usize,
        /// Bytes of the buffer.
        available: usize,
    },
    /// The stream was given up in the middle of a frame: close it.
    Aborted,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfOrder => write!(f, "this part of a frame does not belong here"),
            Self::NameTooLong(len) => write!(f, "a file name of {len} bytes is over 65535"),
            Self::PayloadMissing(n) => write!(f, "{n} bytes of the announced payload are missing"),
            Self::PayloadOverrun { offered, remaining } => {
                write!(f, "{offered} bytes of payload offered where {remaining} were announced")
            }
            Self::FrameTooLong => write!(f, "the frame would be longer than 2^64 - 1 bytes"),
            Self::TooManyFiles(files) => write!(f, "{files} files in one frame are over 4294967295"),
            Self::BufferTooSmall { needed, available } => {
                write!(f, "a frame of {needed} bytes does not fit into a buffer of {available}")
            }
            Self::Aborted => write!(f, "the stream was given up in the middle of a frame"),
        }
    }
}

impl core::error::Error for EncodeError {}
