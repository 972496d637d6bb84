//! The applications over embassy-net, each a future that never ends: the body of a board's task.
//!
//! ```no_run
//! use embassy_net::Stack;
//! use tej_apps::{DigestServer, tcp};
//! use tej_embassy::{Buffers, Config};
//!
//! // As an `#[embassy_executor::task]`, with buffers and server from `ConstStaticCell`s:
//! async fn serve(stack: Stack<'static>, buffers: &'static mut Buffers, server: &'static mut DigestServer) -> ! {
//!     tcp::serve_forever(stack, 7, Config::DEFAULT, buffers, server, || { /* report the stack's peak */ }).await
//! }
//! ```

use embassy_net::{IpEndpoint, Stack};
use embassy_time::Duration;
#[cfg(feature = "tls")]
use embassy_time::with_timeout;
use tej_core::io::ReadError;
use tej_embassy::{Backoff, Buffers, Config, ConnectError, Dialer, Listener};

use crate::fmt::{info, warning};
use crate::{DeviceFile, DigestServer, Error};
#[cfg(feature = "tls")]
use crate::{
    GeneratedFile,
    tls::{self, Credentials, CryptoRngCore},
};

/// What serving one client at a time takes, for a `static`.
pub struct Server<const RX: usize, const TX: usize, const READ: usize, const STAGE: usize, const NAME: usize>
{
    /// Those of its connections.
    pub buffers: Buffers<RX, TX, READ, STAGE, NAME>,
    /// What it does.
    pub digests: DigestServer,
}

impl<const RX: usize, const TX: usize, const READ: usize, const STAGE: usize, const NAME: usize>
    Server<RX, TX, READ, STAGE, NAME>
{
    /// Zeros, which take no room in a program.
    #[expect(clippy::new_without_default, reason = "a value on the stack is what it is not for")]
    pub const fn new() -> Self {
        Self { buffers: Buffers::new(), digests: DigestServer::new() }
    }
}

/// Accepts one client after the other on `port` and serves it with a [`DigestServer`]. A client that sends nonsense, falls
/// silent or never reads is logged and closed, and the next one is served. One that sends a byte before each idle timeout
/// is not silent, and is served for as long as it does.
///
/// `after_each` is called after every connection, for what a board may want to report then. For N clients at a time,
/// run N of these.
pub async fn serve_forever<
    'd,
    const RX: usize,
    const TX: usize,
    const READ: usize,
    const STAGE: usize,
    const NAME: usize,
    const REPORT: usize,
>(
    stack: Stack<'d>,
    port: u16,
    config: Config,
    buffers: &'d mut Buffers<RX, TX, READ, STAGE, NAME>,
    server: &mut DigestServer<REPORT>,
    mut after_each: impl FnMut(),
) -> ! {
    let mut listener = Listener::new(stack, port, buffers, config);
    info!("listening on port {}", port);
    loop {
        let mut connection = listener.accept().await;
        let peer = Peer(connection.remote_endpoint());
        let (receiver, sender) = connection.split();
        match server.run(receiver, sender).await {
            Ok(()) => {}
            Err(Error::Read(ReadError::Decode(error))) => {
                warning!("connection {}: peer error: {}", peer, error);
            }
            Err(error) => warning!("connection {}: {}", peer, error),
        }
        if let Err(error) = connection.close().await {
            warning!("connection {}: not closed in order: {}", peer, error);
        }
        info!("connection {} closed: {} frames", peer, server.frames());
        after_each();
    }
}

/// Connects to `remote`, sends `file`, and starts over when the connection is lost or the peer has closed it, at the
/// pace of `backoff`.
///
/// `after_each` is called after every connection. The idle timeout is the file's; that of `config` is not used, for
/// `remote` may be a program that only receives.
pub async fn dial_forever<
    'd,
    const RX: usize,
    const TX: usize,
    const READ: usize,
    const STAGE: usize,
    const NAME: usize,
>(
    stack: Stack<'d>,
    remote: impl Into<IpEndpoint>,
    config: Config,
    backoff: Backoff,
    buffers: &'d mut Buffers<RX, TX, READ, STAGE, NAME>,
    file: DeviceFile,
    mut after_each: impl FnMut(),
) -> ! {
    let remote = remote.into();
    let config = Config { idle_timeout: None, ..config };
    let mut dialer = Dialer::new(stack, remote, buffers, config, backoff);
    loop {
        let mut connection = dialer.redial(|error, delay| log_failure(remote, error, delay)).await;
        info!("connected to {}", remote);
        let (receiver, sender) = connection.split();
        match file.run(receiver, sender).await {
            Ok(()) => info!("connection lost: closed by the peer"),
            Err(Error::Read(ReadError::Decode(error))) => warning!("connection lost: peer error: {}", error),
            Err(error) => warning!("connection lost: {}", error),
        }
        if let Err(error) = connection.close().await {
            warning!("not closed in order: {}", error);
        }
        after_each();
    }
}

/// What sending over TLS takes, for a `static`: `RX` and `TX` bytes for TCP, and `STAGE` for what becomes a record. The rest is
/// for TLS.
#[cfg(feature = "tls")]
pub struct TlsUpload<const RX: usize, const TX: usize, const STAGE: usize> {
    tcp: Buffers<RX, TX, 0, 1, 0>,
    tls: tls::Buffers,
    stage: [u8; STAGE],
}

#[cfg(feature = "tls")]
impl<const RX: usize, const TX: usize, const STAGE: usize> TlsUpload<RX, TX, STAGE> {
    /// Zeros, which take no room in a program.
    #[expect(clippy::new_without_default, reason = "a value on the stack is what it is not for")]
    pub const fn new() -> Self {
        Self { tcp: Buffers::new(), tls: tls::Buffers::new(), stage: [0; STAGE] }
    }

    /// Connects to `remote`, verifies that it is the server of `credentials`, sends it `file` and closes; and starts over, at the
    /// pace of `backoff`, until one connection has delivered all of it.
    ///
    /// `after_each` is called after every connection. An idle timeout in `config` is not used, for `remote` may be a program that only receives.
    #[expect(clippy::too_many_arguments, reason = "each is another's to decide")]
    pub async fn run<'d>(
        &'d mut self,
        stack: Stack<'d>,
        remote: impl Into<IpEndpoint>,
        config: Config,
        backoff: Backoff,
        credentials: &mut Credentials<'_, impl CryptoRngCore>,
        file: GeneratedFile,
        mut after_each: impl FnMut(),
    ) {
        let (remote, server) = (remote.into(), credentials.server);
        let config = Config { idle_timeout: None, ..config };
        let mut dialer = Dialer::new(stack, remote, &mut self.tcp, config, backoff);
        loop {
            let mut connection = dialer.redial(|error, delay| log_failure(remote, error, delay)).await;
            info!("connected to {}", remote);
            let (receiver, sender) = connection.split();
            let transport = tls::Transport::new(receiver.io_mut(), sender.io_mut());
            let opened = tls::Connection::open(&transport, &mut self.tls, credentials);
            let sent = async {
                let connection = with_timeout(HANDSHAKE, opened).await.map_err(|_| tls::Error::TIMEOUT)??;
                info!("server verified: {}", server);
                connection.upload(file, &mut self.stage).await
            };
            let sent = sent.await;
            let delivered = match sent {
                Ok(()) => match connection.close().await {
                    Ok(()) => true,
                    Err(error) => {
                        warning!("not closed in order: {}", error);
                        false
                    }
                },
                Err(error) => {
                    warning!("not sent: {}", error);
                    // To be reset: of somebody else nothing is expected, and one that was cut off has to see it.
                    drop(connection);
                    false
                }
            };
            if delivered {
                info!("delivered: all of it, and the end");
            }
            after_each();
            if delivered {
                return;
            }
        }
    }
}

/// Logs the address whenever the device gets one, and when it loses it: with the cable, or with the lease of DHCP.
pub async fn log_changes(stack: Stack<'_>) -> ! {
    info!("hardware address {}", stack.hardware_address());
    loop {
        if !stack.is_link_up() {
            info!("no link: is the cable plugged in?");
        }
        stack.wait_config_up().await;
        if let Some(config) = stack.config_v4() {
            info!("address {}", config.address);
        }
        stack.wait_config_down().await;
        warning!("address lost");
    }
}

fn log_failure(remote: IpEndpoint, error: ConnectError, delay: Duration) {
    warning!("cannot connect to {}: {}; again in {} ms", remote, error, delay.as_millis());
}

/// The peer of a connection, in logs.
#[cfg_attr(not(feature = "defmt"), expect(dead_code, reason = "only logs read it"))]
struct Peer(Option<IpEndpoint>);

#[cfg(feature = "defmt")]
impl defmt::Format for Peer {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self.0 {
            Some(endpoint) => defmt::write!(f, "{}", endpoint),
            None => defmt::write!(f, "(gone)"),
        }
    }
}

/// The longest that a handshake may take; a slow processor needs some seconds for it.
#[cfg(feature = "tls")]
const HANDSHAKE: Duration = Duration::from_secs(30);
