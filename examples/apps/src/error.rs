//! Why an application gave a connection up.

use core::fmt;

use tej_core::io::{ReadError, WriteError};

/// Why an application gave a connection up; `R` and `W` are the transport's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Error<R, W> {
    /// Receiving failed; [`ReadError::Decode`] is the peer's fault.
    Read(ReadError<R>),
    /// Sending failed.
    Write(WriteError<W>),
    /// Nothing came from the peer for the idle timeout.
    PeerSilent,
}

impl<R: fmt::Debug, W: fmt::Debug> fmt::Display for Error<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Write(error) => error.fmt(f),
            Self::PeerSilent => f.write_str("the peer was silent for too long"),
        }
    }
}

impl<R: fmt::Debug, W: fmt::Debug> core::error::Error for Error<R, W> {}

impl<R, W> From<ReadError<R>> for Error<R, W> {
    fn from(error: ReadError<R>) -> Self {
        Self::Read(error)
    }
}

impl<R, W> From<WriteError<W>> for Error<R, W> {
    fn from(error: WriteError<W>) -> Self {
        Self::Write(error)
    }
}
