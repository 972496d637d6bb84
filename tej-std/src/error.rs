//! Why receiving, waiting for silence or sending failed.

use std::fmt;
use std::io;

use tej_core::io::{ReadError, WriteError};
use tej_core::{DecodeError, EncodeError};

use crate::idle::Expired;

/// Why receiving failed. Whatever it is, the connection is over.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The peer's stream is wrong, or ended inside a frame.
    Decode(DecodeError),
    /// The peer was silent for [`Timeouts::idle`](crate::Timeouts::idle).
    Timeout,
    /// A frame did not end within [`Timeouts::frame`](crate::Timeouts::frame).
    FrameTimeout,
    /// A frame came more slowly than [`Timeouts::min_rate`](crate::Timeouts::min_rate).
    TooSlow,
    /// The transport failed.
    Io(io::Error),
}

impl From<ReadError<io::Error>> for ReceiveError {
    fn from(error: ReadError<io::Error>) -> Self {
        match error {
            ReadError::Decode(error) => Self::Decode(error),
            ReadError::Io(error) => match Expired::of(&error) {
                Some(Expired::Silence) => Self::Timeout,
                Some(Expired::Frame) => Self::FrameTimeout,
                Some(Expired::Rate) => Self::TooSlow,
                None => Self::Io(error),
            },
        }
    }
}

/// For what reads a file as a stream; [`io::Error::get_ref`] has the original, unless the transport failed.
impl From<ReceiveError> for io::Error {
    fn from(error: ReceiveError) -> Self {
        let kind = match error {
            ReceiveError::Io(error) => return error,
            ReceiveError::Decode(fault) if fault.kind == tej_core::DecodeErrorKind::Truncated => {
                io::ErrorKind::UnexpectedEof
            }
            ReceiveError::Decode(_) => io::ErrorKind::InvalidData,
            ReceiveError::Timeout | ReceiveError::FrameTimeout | ReceiveError::TooSlow => {
                io::ErrorKind::TimedOut
            }
        };
        Self::new(kind, error)
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(error) => error.fmt(f),
            Self::Timeout => Expired::Silence.fmt(f),
            Self::FrameTimeout => Expired::Frame.fmt(f),
            Self::TooSlow => Expired::Rate.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReceiveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Decode(error) => Some(error),
            Self::Timeout | Self::FrameTimeout | Self::TooSlow => None,
            Self::Io(error) => Some(error),
        }
    }
}

/// Why a line could not be waited for until it was silent.
#[derive(Debug)]
#[non_exhaustive]
pub enum DiscardError {
    /// What came before ends inside a frame, or is faulty, so that what comes after the silence would be misunderstood. A
    /// new connection over the line begins afresh.
    InsideFrame {
        /// Bytes of the stream that were decoded.
        offset: u64,
    },
    /// The transport failed or ended.
    Io(io::Error),
}

impl fmt::Display for DiscardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InsideFrame { offset } => {
                write!(
                    f,
                    "the stream is inside a frame, or faulty, after {offset} bytes: it needs a new connection"
                )
            }
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DiscardError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InsideFrame { .. } => None,
            Self::Io(error) => Some(error),
        }
    }
}

/// Why sending failed. Only after [`Encode`](Self::Encode) can the connection still be used for sending.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// The calls do not make up a frame; nothing was written.
    Encode(EncodeError),
    /// The source of a file or message failed or ended before its announced size. The frame cannot be completed, so
    /// the only honest thing left is to drop the connection.
    Source(io::Error),
    /// The peer accepted nothing for [`Timeouts::idle`](crate::Timeouts::idle) or
    /// [`Timeouts::write`](crate::Timeouts::write).
    Timeout,
    /// The peer closed the connection.
    Closed,
    /// The transport failed.
    Io(io::Error),
    /// An earlier write failed, or was dropped before it was done.
    Interrupted,
}

impl From<WriteError<io::Error>> for SendError {
    fn from(error: WriteError<io::Error>) -> Self {
        match error {
            WriteError::Encode(error) => error.into(),
            WriteError::Closed => Self::Closed,
            WriteError::Interrupted => Self::Interrupted,
            WriteError::Io(error) => Self::from_transport(error),
        }
    }
}

impl From<EncodeError> for SendError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Aborted => Self::Interrupted,
            error => Self::Encode(error),
        }
    }
}

impl SendError {
    pub(crate) fn from_transport(error: io::Error) -> Self {
        match error.kind() {
            _ if Expired::of(&error).is_some() => Self::Timeout,
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::WriteZero => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode(error) => error.fmt(f),
            Self::Source(error) => write!(f, "the source of the payload failed: {error}"),
            Self::Timeout => write!(f, "the peer accepted nothing for too long"),
            Self::Closed => write!(f, "the peer closed the connection"),
            Self::Io(error) => error.fmt(f),
            Self::Interrupted => write!(f, "an earlier write did not finish"),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Encode(error) => Some(error),
            Self::Source(error) | Self::Io(error) => Some(error),
            Self::Timeout | Self::Closed | Self::Interrupted => None,
        }
    }
}
