//! Why reading and writing fail.

use core::fmt;

use super::Interrupted;
use crate::{DecodeError, EncodeError};

/// Why reading failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ReadError<E> {
    /// The transport failed.
    Io(E),
    /// The peer's stream is wrong.
    Decode(DecodeError),
}

impl<E> From<DecodeError> for ReadError<E> {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl<E: fmt::Debug> fmt::Display for ReadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the transport failed: {error:?}"),
            Self::Decode(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for ReadError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        if let Self::Decode(error) = self { Some(error) } else { None }
    }
}

/// Why writing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WriteError<E> {
    /// The transport failed.
    Io(E),
    /// The transport accepted no more bytes.
    Closed,
    /// A mistake of the caller; nothing was written.
    Encode(EncodeError),
    /// An earlier write failed or was dropped before it was done: close the connection.
    Interrupted,
}

impl<E> From<EncodeError> for WriteError<E> {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl<E: fmt::Debug> fmt::Display for WriteError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the transport failed: {error:?}"),
            Self::Closed => write!(f, "the transport accepts no more bytes"),
            Self::Encode(error) => error.fmt(f),
            Self::Interrupted => write!(f, "an earlier write did not finish"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for WriteError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        if let Self::Encode(error) = self { Some(error) } else { None }
    }
}

impl<E> From<Interrupted> for WriteError<E> {
    fn from(_: Interrupted) -> Self {
        Self::Interrupted
    }
}

#[cfg(feature = "embedded-io")]
impl<E: embedded_io::Error> embedded_io::Error for ReadError<E> {
    fn kind(&self) -> embedded_io::ErrorKind {
        match self {
            Self::Io(error) => error.kind(),
            Self::Decode(_) => embedded_io::ErrorKind::InvalidData,
        }
    }
}

#[cfg(feature = "embedded-io")]
impl<E: embedded_io::Error> embedded_io::Error for WriteError<E> {
    fn kind(&self) -> embedded_io::ErrorKind {
        match self {
            Self::Io(error) => error.kind(),
            Self::Closed => embedded_io::ErrorKind::WriteZero,
            Self::Encode(_) => embedded_io::ErrorKind::InvalidInput,
            Self::Interrupted => embedded_io::ErrorKind::BrokenPipe,
        }
    }
}
