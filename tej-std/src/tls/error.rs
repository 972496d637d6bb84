//! Why TLS could not be set up, or a handshake failed.

use std::fmt;
use std::io;
use std::path::PathBuf;

use tokio_rustls::rustls::{self, AlertDescription, CertificateError};

use super::Fingerprint;

/// Why an identity, or what one trusts, is of no use.
#[derive(Debug)]
#[non_exhaustive]
pub enum SetupError {
    /// A file cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A file cannot be written.
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// There is a file already, which is not replaced: it may be the only copy of a key.
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file is not PEM, or has no such thing in it.
    NotInFile {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// A certificate or a key is faulty, or they do not belong together.
    Unusable(String),
}

impl From<rustls::Error> for SetupError {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InconsistentKeys(_) => {
                Self::Unusable("the private key does not belong to the certificate".into())
            }
            error => Self::Unusable(error.to_string()),
        }
    }
}

impl From<rcgen::Error> for SetupError {
    fn from(error: rcgen::Error) -> Self {
        Self::Unusable(error.to_string())
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => write!(f, "cannot read {}: {error}", path.display()),
            Self::Write { path, error } => write!(f, "cannot write {}: {error}", path.display()),
            Self::Exists { path } => write!(f, "{} exists, and is not replaced", path.display()),
            Self::NotInFile { path, what } => write!(f, "there is no {what} in {}, as PEM", path.display()),
            Self::Unusable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for SetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { error, .. } | Self::Write { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// Why there is no connection: a handshake failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer could not be reached over TCP.
    Connect(io::Error),
    /// It took longer than [`Timeouts::handshake`](crate::Timeouts::handshake).
    Timeout,
    /// The peer is none of those that were pinned.
    Mismatch(Mismatch),
    /// The peer did not say who it is.
    NoCertificate,
    /// The peer's certificate is not valid, or not for it.
    Certificate(CertificateError),
    /// The peer refused us: its alert says why.
    Refused(AlertDescription),
    /// What the peer sent is not TLS.
    NotTls,
    /// The peer closed the connection before the handshake was done, as one does that does not speak TLS.
    Closed,
    /// Anything else, such as a version of TLS before 1.3.
    Other(io::Error),
}

impl HandshakeError {
    /// What a failed read says of the handshake. With TLS 1.3 a client is done before the server has seen its
    /// certificate: that it was refused shows only when it reads, as [`ReceiveError::Io`](crate::ReceiveError::Io).
    pub fn of(error: &io::Error) -> Option<Self> {
        Some(match error.get_ref()?.downcast_ref::<rustls::Error>()? {
            rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
                match other.0.downcast_ref::<Mismatch>() {
                    Some(mismatch) => Self::Mismatch(mismatch.clone()),
                    None => Self::Certificate(CertificateError::Other(other.clone())),
                }
            }
            rustls::Error::InvalidCertificate(error) => Self::Certificate(error.clone()),
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::AlertReceived(alert) => Self::Refused(*alert),
            _ => return None,
        })
    }

    pub(super) fn during_handshake(error: io::Error) -> Self {
        if let Some(known) = Self::of(&error) {
            return known;
        }
        let of_rustls = error.get_ref().and_then(|error| error.downcast_ref());
        if let Some(rustls::Error::InvalidMessage(_)) = of_rustls {
            return Self::NotTls;
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Other(error),
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Timeout => write!(f, "the peer took too long over the TLS handshake"),
            Self::Mismatch(mismatch) => mismatch.fmt(f),
            Self::NoCertificate => write!(f, "the peer presented no certificate"),
            Self::Certificate(error) => write!(f, "the peer's certificate is not accepted: {error}"),
            Self::Refused(AlertDescription::CertificateRequired) => {
                write!(f, "the peer wants a certificate of us, and got none")
            }
            Self::Refused(alert) if is_of_certificate(*alert) => {
                write!(f, "the peer does not accept our certificate ({alert:?})")
            }
            Self::Refused(alert) => write!(f, "the peer refused the connection ({alert:?})"),
            Self::NotTls => write!(f, "what the peer sent is not TLS"),
            Self::Closed => {
                write!(f, "the peer closed the connection during the TLS handshake; does it speak TLS 1.3?")
            }
            Self::Other(error) => {
                error.fmt(f)?;
                match error.get_ref().and_then(|error| error.downcast_ref()) {
                    Some(rustls::Error::PeerIncompatible(_)) => f.write_str("; it must speak TLS 1.3"),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) | Self::Other(error) => Some(error),
            Self::Mismatch(mismatch) => Some(mismatch),
            _ => None,
        }
    }
}

/// A peer that is none of those expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What the peer proved to be.
    pub presented: Fingerprint,
    /// Whom we would have accepted.
    pub expected: Vec<Fingerprint>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the peer's fingerprint is {}, expected ", self.presented)?;
        match self.expected.split_first() {
            None => f.write_str("none"),
            Some((first, others)) => {
                first.fmt(f)?;
                others.iter().try_for_each(|other| write!(f, " or {other}"))
            }
        }
    }
}

impl std::error::Error for Mismatch {}

fn is_of_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}
