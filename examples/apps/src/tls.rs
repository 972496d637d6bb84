//! TLS 1.3 in the client's role, for devices: embedded-tls, made strict.
//!
//! A server is known by the [`Fingerprint`] of its certificate, as `tej identity` prints it, and has to prove that it has the
//! key to it. There is no authority, no name and no clock in this: a device may have none of them. An [`Identity`] says who
//! the device is, to a server that asks.
//!
//! ```
//! use embedded_io_async::{Read, Write};
//! use tej_apps::GeneratedFile;
//! use tej_apps::tls::{Buffers, Connection, Credentials, CryptoRngCore, Error, Transport};
//!
//! async fn upload(
//!     (read, write): (impl Read, impl Write),
//!     buffers: &mut Buffers,
//!     credentials: &mut Credentials<'_, impl CryptoRngCore>,
//! ) -> Result<(), Error> {
//!     let transport = Transport::new(read, write);
//!     let connection = Connection::open(&transport, buffers, credentials).await?;
//!     // Or `split` it, and have a `FrameReader` and a `FrameWriter` over the two directions.
//!     connection.upload(GeneratedFile { seed: 1, size: 1 << 20 }, &mut [0; 1024]).await
//! }
//! ```
//!
//! # What embedded-tls 0.19 leaves to its user
//!
//! - It goes on with a server that shows no certificate, and asks the verifier nothing. [`Connection::open`] does not return
//!   before a certificate and the proof of its key were verified, and shows the device's own certificate to nobody else.
//! - It takes records that are not encrypted at any time. Anybody on the way could end a stream with a forged `close_notify`,
//!   or stop the device in a panic. Here they are refused once the server's keys are there, and so are those that are too
//!   short to be anything, another panic.
//! - It writes with a number again that it has used, where a write was dropped half-way: two records under one number give
//!   their content away. Here a direction in which a future was dropped is of no further use.
//! - It tells the peer's `close_notify` by an error, and so it does with a cut: a [`Reader`] gives the end of the stream for
//!   the first, and [`Error::Cut`] for the other.
//! - It cannot send any more once the peer has ended its direction, not even a `close_notify` of its own. So let the device be
//!   the one that ends the connection: with a protocol of questions and answers, after the last answer.
//! - Keys are never renewed: a server that asks for it, which it has a reason for after some hundred GiB, ends the connection.
//!   One that sends a message of the handshake again stops the device in a panic. Nobody but a verified server can.
//!
//! # Cancel safety
//!
//! Nothing here can be dropped half-way and repeated. A dropped read loses its place in a record, so that the reader fails
//! with [`Error::Interrupted`] from then on; the other direction goes on. So drive the two with `join`, or with a `select`
//! whose futures are pinned and go on, and see to timeouts below, in the transport.

mod client;
mod identity;
mod transport;

use embassy_futures::select::{Either, select};
use embedded_io_async::{BufRead, ErrorKind, ErrorType, Read, Write};
pub use embedded_tls::CryptoRngCore;
use embedded_tls::{Aes128GcmSha256, FlushPolicy, TlsConfig, TlsConnection, TlsContext, TlsError};

use self::client::Client;
pub use self::identity::{Identity, NotAnIdentity};
use self::transport::Ends;
pub use self::transport::Transport;
use tej_core::io::{FrameWriter, WriteError};

use crate::{Fingerprint, GeneratedFile};

/// A connection to a server that was verified.
///
/// End it with [`close`](Self::close). A server that is left without a `close_notify` has to take the end for a cut.
pub struct Connection<'a, R: Read, W: Write> {
    tls: TlsConnection<'a, Ends<'a, R, W>, Aes128GcmSha256>,
    transport: Ends<'a, R, W>,
    reading: Direction,
    writing: Direction,
}

impl<'a, R: Read, W: Write> Connection<'a, R, W> {
    /// Shakes hands over `transport`. The device's identity is shown if the server asks for it, and after it was verified.
    ///
    /// With TLS 1.3 a client is done before the server has looked at the client's certificate: that it was refused shows
    /// when something is read.
    ///
    /// # Errors
    ///
    /// The server is not the one that was expected or cannot prove it, or the handshake failed. Nothing but the handshake's
    /// own messages was sent then.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the transport good for closing only.
    pub async fn open<const READ: usize, const WRITE: usize>(
        transport: &'a Transport<R, W>,
        buffers: &'a mut Buffers<READ, WRITE>,
        credentials: &mut Credentials<'_, impl CryptoRngCore>,
    ) -> Result<Self, Error> {
        let transport = transport.ends();
        let mut tls = TlsConnection::new(transport, &mut buffers.read, &mut buffers.write);
        // Not to wait for the acknowledgement of each record.
        tls.set_flush_policy(FlushPolicy::Relaxed);
        let mut client = Client::new(credentials);
        let opened = tls.open(TlsContext::new(&TlsConfig::new(), &mut client)).await;
        client.verdict(opened)?;
        Ok(Self { tls, transport, reading: Direction::Open, writing: Direction::Open })
    }

    /// The two directions, to be driven by two futures that make progress independently. They keep their place in the stream:
    /// it is fine to drop them, between two reads or writes, and split again.
    pub fn split(&mut self) -> (Reader<'_, 'a, R, W>, Writer<'_, 'a, R, W>) {
        let (reader, writer) = self.tls.split();
        (
            Reader { tls: reader, state: &mut self.reading },
            Writer { tls: writer, transport: self.transport, state: &mut self.writing },
        )
    }

    /// Sends `file` and closes. What the server sends meanwhile is discarded, so that one which pushes before it reads gets there
    /// too. `stage` must have a length; it holds what becomes a record.
    ///
    /// # Errors
    ///
    /// Something is wrong with the connection, or the server ended it before it had the file.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the transport good for closing only.
    pub async fn upload(mut self, file: GeneratedFile, stage: &mut [u8]) -> Result<(), Error> {
        let (mut reader, writer) = self.split();
        let mut writer = FrameWriter::new(writer, stage);
        let sent = match select(file.send(&mut writer), reader.discard()).await {
            Either::First(Err(WriteError::Io(error))) | Either::Second(Err(error)) => Err(error),
            // The frame is our own.
            Either::First(Err(_)) => Err(Error::Interrupted),
            Either::First(Ok(())) => Ok(()),
            Either::Second(Ok(())) => Err(Error::Ended),
        };
        sent?;
        self.close().await
    }

    /// Sends a `close_notify` after all that was written, and waits until the transport has delivered it. The transport's own
    /// end is the caller's.
    ///
    /// Where the peer has ended its direction already, embedded-tls has nothing that it could send, and nothing is sent.
    ///
    /// # Errors
    ///
    /// A write has failed or was dropped before, or this one fails: the peer will see a cut.
    pub async fn close(self) -> Result<(), Error> {
        self.writing.check()?;
        if matches!(self.reading, Direction::Ended) {
            return Ok(());
        }
        self.tls.close().await.map(drop).map_err(|(_, error)| Error::of(error))
    }
}

/// Whom a device expects, and who it is.
#[derive(Debug)]
pub struct Credentials<'a, G> {
    /// The fingerprint of the server.
    pub server: Fingerprint,
    /// For a server that asks.
    pub identity: Option<Identity<'a>>,
    /// Random numbers that are fit for keys, and differ at each start of the device.
    pub random: G,
}

/// The memory of a connection, best in a `static`.
///
/// `READ` bytes hold a record of the server's, which is up to [`RECORD`] bytes long and as long as the server likes: rustls,
/// for one, does not heed what a client asks for. A server that is known to send small ones needs less; a longer record ends
/// the connection. `WRITE` bytes hold one of ours, of which up to 128 are not payload.
pub struct Buffers<const READ: usize = RECORD, const WRITE: usize = 2048> {
    read: [u8; READ],
    write: [u8; WRITE],
}

impl<const READ: usize, const WRITE: usize> Buffers<READ, WRITE> {
    /// Zeros, which take no room in a program. A handshake takes 1024 bytes of `WRITE`, and with less it does not compile.
    pub const fn new() -> Self {
        const { assert!(WRITE >= 1024, "the device's own certificate has to fit") };
        Self { read: [0; READ], write: [0; WRITE] }
    }
}

impl<const READ: usize, const WRITE: usize> Default for Buffers<READ, WRITE> {
    fn default() -> Self {
        Self::new()
    }
}

/// What the server sends. The end of the stream is the server's `close_notify`, and nothing else.
pub struct Reader<'c, 'a: 'c, R: Read, W: Write> {
    tls: embedded_tls::TlsReader<'c, Ends<'a, R, W>, Aes128GcmSha256>,
    state: &'c mut Direction,
}

impl<R: Read, W: Write> ErrorType for Reader<'_, '_, R, W> {
    type Error = Error;
}

impl<R: Read, W: Write> Read for Reader<'_, '_, R, W> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        let available = self.fill_buf().await?;
        let n = available.len().min(buf.len());
        buf[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl<R: Read, W: Write> Reader<'_, '_, R, W> {
    /// Reads to the end.
    async fn discard(&mut self) -> Result<(), Error> {
        loop {
            match self.fill_buf().await?.len() {
                0 => return Ok(()),
                n => self.consume(n),
            }
        }
    }
}

/// Lends a record where it was decrypted.
impl<R: Read, W: Write> BufRead for Reader<'_, '_, R, W> {
    async fn fill_buf(&mut self) -> Result<&[u8], Error> {
        if matches!(self.state, Direction::Ended) {
            return Ok(&[]);
        }
        self.state.begin()?;
        match self.tls.fill_buf().await {
            Ok(bytes) => {
                *self.state = Direction::Open;
                Ok(bytes)
            }
            Err(TlsError::ConnectionClosed) => {
                *self.state = Direction::Ended;
                Ok(&[])
            }
            Err(error) => Err(self.state.fail(error)),
        }
    }

    fn consume(&mut self, amount: usize) {
        if amount > 0 {
            self.tls.consume(amount);
        }
    }
}

/// What the server is sent.
///
/// Each write is a record, and on its way when it returns: let a [`FrameWriter`] collect what
/// belongs together.
pub struct Writer<'c, 'a: 'c, R: Read, W: Write> {
    tls: embedded_tls::TlsWriter<'c, Ends<'a, R, W>, Aes128GcmSha256>,
    transport: Ends<'a, R, W>,
    state: &'c mut Direction,
}

impl<R: Read, W: Write> ErrorType for Writer<'_, '_, R, W> {
    type Error = Error;
}

impl<R: Read, W: Write> Write for Writer<'_, '_, R, W> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.state.begin()?;
        let written = async {
            let n = self.tls.write(buf).await?;
            self.tls.flush().await?;
            Ok(n)
        };
        match written.await {
            Ok(n) => {
                *self.state = Direction::Open;
                Ok(n)
            }
            // It was open: the peer has ended its direction since.
            Err(TlsError::MissingHandshake) => Err(self.state.fail(TlsError::ConnectionClosed)),
            Err(error) => Err(self.state.fail(error)),
        }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.state.check()?;
        self.transport.flush().await.map_err(|kind| self.state.fail(TlsError::Io(kind)))
    }
}

/// Why there is no connection, or no longer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The server is not the one that was expected.
    OtherServer {
        /// The fingerprint of the certificate that it showed. It was not asked to prove that it has the key.
        presented: Fingerprint,
    },
    /// The server showed no certificate.
    NoCertificate,
    /// The server has shown the expected certificate, and not proven that it has the key to it.
    Unproven,
    /// The server's certificate is the expected one, and its key is none of ECDSA with P-256, as those of `tej identity` are.
    UnsupportedKey,
    /// The stream ended without a `close_notify`: there may have been more.
    Cut,
    /// The peer has ended its direction, and embedded-tls cannot send any more.
    Ended,
    /// A read or write in this direction was dropped half-way, or its error ignored.
    Interrupted,
    /// Anything else that is wrong with the handshake, with a record or with the transport. An alert of the server, by which
    /// it refuses the device's certificate, is `InternalError`.
    Tls(TlsError),
}

impl Error {
    /// Of a caller that has waited for long enough.
    pub const TIMEOUT: Self = Self::Tls(TlsError::Io(ErrorKind::TimedOut));

    fn of(error: TlsError) -> Self {
        match error {
            TlsError::IoError => Self::Cut,
            TlsError::ConnectionClosed => Self::Ended,
            error => Self::Tls(error),
        }
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::OtherServer { presented } => write!(f, "another server: its fingerprint is {presented}"),
            Self::NoCertificate => f.write_str("the server showed no certificate"),
            Self::Unproven => f.write_str("the server did not prove that the certificate is its own"),
            Self::UnsupportedKey => f.write_str("the server's key is none of ECDSA with P-256"),
            Self::Cut => f.write_str("the stream ended without a close_notify"),
            Self::Ended => f.write_str("the peer has ended the connection"),
            Self::Interrupted => f.write_str("an earlier read or write was dropped half-way"),
            Self::Tls(error) => write!(f, "TLS: {error:?}"),
        }
    }
}

impl core::error::Error for Error {}

/// The same, with the texts left to the host.
#[cfg(feature = "defmt")]
impl defmt::Format for Error {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self {
            Self::OtherServer { presented } => {
                defmt::write!(f, "another server: its fingerprint is {}", presented);
            }
            Self::NoCertificate => defmt::write!(f, "the server showed no certificate"),
            Self::Unproven => defmt::write!(f, "the server did not prove that the certificate is its own"),
            Self::UnsupportedKey => defmt::write!(f, "the server's key is none of ECDSA with P-256"),
            Self::Cut => defmt::write!(f, "the stream ended without a close_notify"),
            Self::Ended => defmt::write!(f, "the peer has ended the connection"),
            Self::Interrupted => defmt::write!(f, "an earlier read or write was dropped half-way"),
            Self::Tls(error) => defmt::write!(f, "TLS: {}", error),
        }
    }
}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::OtherServer { .. } | Self::NoCertificate | Self::Unproven | Self::UnsupportedKey => {
                ErrorKind::PermissionDenied
            }
            Self::Cut => ErrorKind::ConnectionAborted,
            Self::Ended => ErrorKind::BrokenPipe,
            Self::Interrupted => ErrorKind::Interrupted,
            Self::Tls(TlsError::Io(kind)) => *kind,
            Self::Tls(_) => ErrorKind::InvalidData,
        }
    }
}

/// What may still be done in a direction.
enum Direction {
    Open,
    Ended,
    Failed(Error),
}

impl Direction {
    fn check(&self) -> Result<(), Error> {
        match self {
            Self::Open => Ok(()),
            Self::Ended => Err(Error::Ended),
            Self::Failed(error) => Err(*error),
        }
    }

    /// Stays failed if what begins here is dropped before its end.
    fn begin(&mut self) -> Result<(), Error> {
        self.check()?;
        *self = Self::Failed(Error::Interrupted);
        Ok(())
    }

    fn fail(&mut self, error: TlsError) -> Error {
        let error = Error::of(error);
        *self = Self::Failed(error);
        error
    }
}

/// Bytes of the longest record that TLS allows: 16 KiB of payload, and up to 256 bytes of what protects them.
pub const RECORD: usize = 16_640;
