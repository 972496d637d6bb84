//! TLS 1.3 around a connection, in either role.
//!
//! Each side has an [`Identity`]: a certificate and its key. Whom it [`Trust`]s is said either by an authority that
//! signed the other's certificate, or, for people without one, by the SHA-256 [`Fingerprint`] of the certificate
//! itself, which they tell each other. A pinned fingerprint is all there is to know: names and dates in the
//! certificate do not matter, and the only way to withdraw trust is to pin it no longer. With an authority, a server
//! is also checked for its host name, and certificates for their dates.
//!
//! No session is ever resumed: each connection verifies its peer anew.
//!
//! # How a connection ends
//!
//! [`Sender::shutdown`](crate::Sender::shutdown) sends TLS's `close_notify`, and the peer's
//! [`Receiver`](crate::Receiver) reports the end of the stream. An end without it, which anybody on the way can cause,
//! is never taken for that: inside a frame it is a
//! [`Truncated`](crate::DecodeErrorKind::Truncated) frame as ever, and between two frames
//! [`ReceiveError::Io`](crate::ReceiveError::Io) of the kind `UnexpectedEof`, for there might have been more. The frames
//! before it are whole. So shut a connection down that you only received from, too.
//!
//! # Timeouts
//!
//! For a peer that sends, bytes count once TLS has a whole record of them, up to 16 KiB: that must come within
//! [`Timeouts::idle`](crate::Timeouts::idle). For one that receives, each byte that the stream below takes is progress.
//!
//! # Serving
//!
//! [`Server::serve_tls`](crate::Server::serve_tls) serves handlers; or, connection by connection:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use tej_std::tls::{Acceptor, Identity, Trust};
//! use tej_std::{Config, Server};
//!
//! let identity = Identity::load("identity.pem")?;
//! let peer = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse()?;
//! let acceptor = Acceptor::new(&identity, &Trust::Pinned(vec![peer]))?;
//! let server = Server::bind("0.0.0.0:7077", Config::default()).await?;
//! loop {
//!     let (stream, peer, place) = server.accept_stream().await?;
//!     let (acceptor, config) = (acceptor.clone(), server.config().clone());
//!     tokio::spawn(async move {
//!         match acceptor.accept(stream, &config).await {
//!             Ok(connection) => drop(connection.holding(place).split()),
//!             Err(error) => eprintln!("{peer}: {error}"),
//!         }
//!     });
//! }
//! # }
//! ```

mod error;
mod identity;
mod pinned;
mod watched;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
pub use tokio_rustls::rustls;
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

pub use self::error::{HandshakeError, Mismatch, SetupError};
pub use self::identity::{Fingerprint, Identity, NotAFingerprint};
use self::pinned::Pinned;
pub use self::watched::Watched;
use crate::idle::Activity;
use crate::{Config, Connection, tcp};

/// A connection over TLS.
pub type TlsConnection<S = TcpStream> =
    Connection<ReadHalf<TlsStream<Watched<S>>>, WriteHalf<TlsStream<Watched<S>>>>;

/// Whom one accepts on the other side.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Whoever has one of these certificates, whatever is written in it.
    Pinned(Vec<Fingerprint>),
    /// Whoever has a valid certificate of one of these authorities: a client any of them, a server one for its name.
    Authorities(Authorities),
}

/// Authorities that sign certificates.
#[derive(Clone, Debug)]
pub struct Authorities(Arc<RootCertStore>);

impl Authorities {
    /// Reads their certificates from a PEM file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or one of its certificates cannot be that of an authority.
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, SetupError> {
        let mut store = RootCertStore::empty();
        for certificate in identity::certificates(path.as_ref())? {
            store.add(certificate)?;
        }
        Ok(Self(Arc::new(store)))
    }
}

/// The server's side of TLS.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

impl Acceptor {
    /// Proves to be `identity`, and accepts clients by `trust` alone.
    ///
    /// # Errors
    ///
    /// The parts of `identity` do not belong together.
    pub fn new(identity: &Identity, trust: &Trust) -> Result<Self, SetupError> {
        let provider = provider();
        let verifier: Arc<dyn ClientCertVerifier> = match trust {
            Trust::Pinned(expected) => Arc::new(Pinned { expected: expected.clone(), provider }),
            Trust::Authorities(Authorities(roots)) => {
                WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider)
                    .build()
                    .map_err(|error| SetupError::Unusable(error.to_string()))?
            }
        };
        Self::with_verifier(identity, verifier)
    }

    /// Proves to be `identity` to any client, and does not ask who that is.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn for_anyone(identity: &Identity) -> Result<Self, SetupError> {
        Self::with_verifier(identity, WebPkiClientVerifier::no_client_auth())
    }

    fn with_verifier(identity: &Identity, verifier: Arc<dyn ClientCertVerifier>) -> Result<Self, SetupError> {
        let (chain, key) = identity.parts();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        // A ticket would also meet a client that only sends, and is gone.
        config.send_tls13_tickets = 0;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Makes a connection of a TCP stream that a peer opened ([`Server::accept_stream`](crate::Server::accept_stream)).
    /// Do it in a task of that peer's own.
    ///
    /// # Errors
    ///
    /// The handshake failed, or took longer than [`Timeouts::handshake`](crate::Timeouts::handshake). The peer is told
    /// why, which may take a second more.
    pub async fn accept(&self, stream: TcpStream, config: &Config) -> Result<TlsConnection, HandshakeError> {
        stream.set_nodelay(true).map_err(HandshakeError::Other)?;
        self.accept_over(stream, config).await
    }

    /// As [`accept`](Self::accept), of any byte stream.
    ///
    /// # Errors
    ///
    /// As for [`accept`](Self::accept).
    pub async fn accept_over<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        config: &Config,
    ) -> Result<TlsConnection<S>, HandshakeError> {
        let handshake = Box::pin(self.0.accept(watched(stream, config)).into_fallible());
        match in_time(config, handshake).await? {
            Ok(stream) => Ok(connection(stream.into(), config)),
            Err((error, stream)) => {
                let _ = timeout(LAST_WORDS, say_goodbye(stream)).await;
                Err(HandshakeError::during_handshake(error))
            }
        }
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

/// The client's side of TLS.
#[derive(Clone)]
pub struct Connector(TlsConnector);

impl Connector {
    /// Accepts servers by `trust` alone, and proves to be `identity` where one asks.
    ///
    /// # Errors
    ///
    /// The parts of `identity` do not belong together.
    pub fn new(identity: Option<&Identity>, trust: &Trust) -> Result<Self, SetupError> {
        let provider = provider();
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&TLS13])?;
        let builder = match trust {
            Trust::Pinned(expected) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Pinned { expected: expected.clone(), provider })),
            Trust::Authorities(Authorities(roots)) => {
                let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider)
                    .build()
                    .map_err(|error| SetupError::Unusable(error.to_string()))?;
                builder.with_webpki_verifier(verifier)
            }
        };
        let mut config = match identity.map(Identity::parts) {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Connects to HOST:PORT. With an authority, HOST is the name that the server must have in its certificate.
    ///
    /// A server that does not accept us says so only after that: see [`HandshakeError::of`].
    ///
    /// # Errors
    ///
    /// The address cannot be resolved, nobody accepts there within [`Timeouts::connect`](crate::Timeouts::connect), or
    /// the handshake failed or took longer than [`Timeouts::handshake`](crate::Timeouts::handshake).
    pub async fn connect(&self, addr: &str, config: &Config) -> Result<TlsConnection, HandshakeError> {
        Ok(self.connect_to(addr, config).await?.0)
    }

    /// [`connect`](Self::connect), with the address that was connected to.
    pub(crate) async fn connect_to(
        &self,
        addr: &str,
        config: &Config,
    ) -> Result<(TlsConnection, SocketAddr), HandshakeError> {
        let host = addr.rsplit_once(':').map_or(addr, |(host, _)| host);
        let name = server_name(host).map_err(HandshakeError::Connect)?;
        let stream = tcp::connect(addr, config).await.map_err(HandshakeError::Connect)?;
        stream.set_nodelay(true).map_err(HandshakeError::Connect)?;
        let peer = stream.peer_addr().map_err(HandshakeError::Connect)?;
        Ok((self.handshake(stream, name, config).await?, peer))
    }

    /// As [`connect`](Self::connect), to `host` over any byte stream.
    ///
    /// # Errors
    ///
    /// The handshake failed or took longer than [`Timeouts::handshake`](crate::Timeouts::handshake).
    pub async fn connect_over<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        host: &str,
        config: &Config,
    ) -> Result<TlsConnection<S>, HandshakeError> {
        let name = server_name(host).map_err(HandshakeError::Connect)?;
        self.handshake(stream, name, config).await
    }

    async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        name: ServerName<'static>,
        config: &Config,
    ) -> Result<TlsConnection<S>, HandshakeError> {
        let handshake = in_time(config, Box::pin(self.0.connect(name, watched(stream, config)))).await?;
        let stream = handshake.map_err(HandshakeError::during_handshake)?;
        Ok(connection(stream.into(), config))
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// The algorithms, said here so that no other part of a program can change them.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn watched<S>(stream: S, config: &Config) -> Watched<S> {
    Watched::new(stream, Activity::new(config.timeouts))
}

fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    stream: TlsStream<Watched<S>>,
    config: &Config,
) -> TlsConnection<S> {
    let activity = Arc::clone(stream.get_ref().0.activity());
    // The handshake had a deadline of its own.
    activity.received();
    let (read, write) = tokio::io::split(stream);
    Connection::with_activity(read, write, config, activity)
}

/// The handshake is boxed: it is large, and the task of a connection keeps the room that it once took.
async fn in_time<T>(
    config: &Config,
    handshake: Pin<Box<impl Future<Output = T>>>,
) -> Result<T, HandshakeError> {
    match config.timeouts.handshake {
        Some(limit) => timeout(limit, handshake).await.map_err(|_| HandshakeError::Timeout),
        None => Ok(handshake.await),
    }
}

/// Lets the alert that says why arrive: a stream that is closed while more comes in is reset, and what was sent lost.
async fn say_goodbye<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    if stream.shutdown().await.is_ok() {
        let mut unwanted = [0; 1024];
        while let Ok(1..) = stream.read(&mut unwanted).await {}
    }
}

/// The name in an address, which may be an IP address, of IPv6 in brackets and with a scope.
fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    let bare = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ipv6) => ipv6.split('%').next().unwrap_or(ipv6),
        None => host,
    };
    ServerName::try_from(bare.to_owned()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// How long a peer that is refused may take to hear why.
const LAST_WORDS: Duration = Duration::from_secs(1);
