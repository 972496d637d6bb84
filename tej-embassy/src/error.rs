//! Errors of the transport. A peer's fault in the protocol is `tej_core::DecodeError`.

use core::fmt;

use embassy_net::tcp;
use embedded_io_async::ErrorKind;
use tej_core::io::WriteError;

/// Why a read or write of a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// The connection is gone: the peer reset it, its TCP answered nothing for
    /// [`Config::lost_timeout`](crate::Config::lost_timeout), or this device lost its address. For a write also: the
    /// sending direction was closed before.
    ConnectionReset,
    /// No byte came for [`Config::idle_timeout`](crate::Config::idle_timeout).
    IdleTimeout,
    /// The peer took no byte for [`Config::write_timeout`](crate::Config::write_timeout).
    WriteTimeout,
}

impl From<tcp::Error> for Error {
    fn from(error: tcp::Error) -> Self {
        match error {
            tcp::Error::ConnectionReset => Self::ConnectionReset,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConnectionReset => "the connection was reset",
            Self::IdleTimeout => "the peer was silent for too long",
            Self::WriteTimeout => "the peer did not read for too long",
        })
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::ConnectionReset => ErrorKind::ConnectionReset,
            Self::IdleTimeout | Self::WriteTimeout => ErrorKind::TimedOut,
        }
    }
}

/// Why a close could not deliver everything. The socket is free in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CloseError {
    /// What was staged could not be handed to the socket, or an earlier write had failed.
    Write(WriteError<Error>),
    /// The connection was reset before the peer had acknowledged everything.
    ConnectionReset,
    /// The peer had not acknowledged everything within [`Config::close_timeout`](crate::Config::close_timeout).
    TimedOut,
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(error) => error.fmt(f),
            Self::ConnectionReset => f.write_str("the connection was reset before everything had arrived"),
            Self::TimedOut => f.write_str("the peer did not acknowledge everything in time"),
        }
    }
}

impl core::error::Error for CloseError {}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    #[test]
    fn every_error_says_what_happened() {
        for (error, text) in [
            (Error::ConnectionReset, "the connection was reset"),
            (Error::IdleTimeout, "the peer was silent for too long"),
            (Error::WriteTimeout, "the peer did not read for too long"),
        ] {
            assert_eq!(error.to_string(), text);
            // In the words of what failed.
            let write = WriteError::Io(error);
            assert_eq!(CloseError::Write(write).to_string(), write.to_string());
        }
        let reset = CloseError::ConnectionReset.to_string();
        assert_eq!(reset, "the connection was reset before everything had arrived");
        assert_eq!(CloseError::TimedOut.to_string(), "the peer did not acknowledge everything in time");
    }
}
