//! Listening and connecting over TCP.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::time::sleep;

use crate::admission::{Admission, Cap, Gate, Place};
use crate::{Config, Connection, tcp};

/// Accepts TEJ connections over TCP: as many at a time as its [`Admission`] says.
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use tej_std::{Config, Event, Server};
///
/// let server = Server::bind("127.0.0.1:8000", Config::default()).await?;
/// loop {
///     let (connection, peer) = server.accept().await?;
///     tokio::spawn(async move {
///         let (mut receiver, _sender) = connection.split();
///         while let Ok(Some(event)) = receiver.next().await {
///             if let Event::FileStart { name, size } = event {
///                 println!("{peer} sends {:?}, {size} bytes", String::from_utf8_lossy(name));
///             }
///         }
///     });
/// }
/// # }
/// ```
pub struct Server {
    listener: TcpListener,
    config: Config,
    gate: Arc<Gate>,
    watch: Option<Box<Watch>>,
}

impl Server {
    /// Listens on `addr`; port 0 picks a free one, which [`local_addr`](Self::local_addr) tells.
    ///
    /// # Errors
    ///
    /// The address cannot be resolved or is in use.
    pub async fn bind(addr: impl ToSocketAddrs, config: Config) -> io::Result<Self> {
        Ok(Self::new(TcpListener::bind(addr).await?, config))
    }

    /// Accepts from a listener that was made otherwise: by a service manager, or with options of one's own.
    pub fn new(listener: TcpListener, config: Config) -> Self {
        Self { listener, config, gate: Gate::new(Admission::default()), watch: None }
    }

    /// Changes how many connections there may be. Those that there are already do not count.
    #[must_use]
    pub fn with_admission(mut self, admission: Admission) -> Self {
        self.gate = Gate::new(admission);
        self
    }

    /// Has `watch` told why a peer was not served, which is logged as well. It may be told often: strangers decide.
    #[must_use]
    pub fn with_watch(mut self, watch: impl Fn(Trouble<'_>) + Send + Sync + 'static) -> Self {
        self.watch = Some(Box::new(watch));
        self
    }

    /// The address that is listened on.
    ///
    /// # Errors
    ///
    /// The operating system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The settings of its connections.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Connections that are open: accepted, and with a half that is not dropped.
    pub fn connections(&self) -> usize {
        self.gate.connections()
    }

    /// Waits for the next peer that there is room for. Others are reset at once.
    ///
    /// A peer that is gone again or that a firewall forbids, and a lack of file descriptors or memory, are waited out.
    ///
    /// # Errors
    ///
    /// The listener itself is of no use any more.
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses no peer.
    pub async fn accept(&self) -> io::Result<(Connection, SocketAddr)> {
        loop {
            let (stream, peer, place) = self.accept_stream().await?;
            // It fails when the peer is gone already.
            match Connection::from_tcp(stream, &self.config) {
                Ok(connection) => return Ok((connection.holding(place), peer)),
                Err(error) => self.report(Trouble::Accept(&error)),
            }
        }
    }

    /// As [`accept`](Self::accept), for what comes between TCP and TEJ, such as TLS: do it in the peer's own task, or
    /// one that stalls keeps the others out. Then give the place to the connection that is made of it
    /// ([`Connection::holding`]).
    ///
    /// # Errors
    ///
    /// As for [`accept`](Self::accept).
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses no peer.
    pub async fn accept_stream(&self) -> io::Result<(TcpStream, SocketAddr, Place)> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => match self.gate.enter(peer.ip()) {
                    Ok(place) => match tcp::notice_loss(&stream, &self.config) {
                        Ok(()) => return Ok((stream, peer, place)),
                        // It is gone already.
                        Err(error) => self.report(Trouble::Accept(&error)),
                    },
                    Err(cap) => {
                        tcp::reset(stream);
                        self.report(Trouble::Refused { peer, cap });
                    }
                },
                Err(error) if is_of_one_peer(&error) => self.report(Trouble::Accept(&error)),
                Err(error) if is_want_of_resources(&error) => {
                    self.report(Trouble::Accept(&error));
                    // Only a connection that ends helps.
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn report(&self, trouble: Trouble<'_>) {
        tracing::warn!("{trouble}");
        if let Some(watch) = &self.watch {
            watch(trouble);
        }
    }
}

type Watch = dyn Fn(Trouble<'_>) + Send + Sync;

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// Why a peer was not served.
#[derive(Debug)]
#[non_exhaustive]
pub enum Trouble<'a> {
    /// There was no room for it.
    Refused {
        /// The peer.
        peer: SocketAddr,
        /// What is full.
        cap: Cap,
    },
    /// It could not be accepted, which is tried again.
    Accept(&'a io::Error),
}

impl fmt::Display for Trouble<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { peer, cap: Cap::Connections } => {
                write!(f, "refused {peer}: there are as many connections as there may be")
            }
            Self::Refused { peer, cap: Cap::PerAddress } => {
                write!(f, "refused {peer}: its address has as many connections as it may have")
            }
            Self::Accept(error) => write!(f, "cannot accept a connection: {error}; trying again"),
        }
    }
}

/// Connects to a peer: the client's side. Where a name has several addresses, the first that answers is taken.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tej_std::{Config, Status, connect};
///
/// let (_receiver, mut sender) = connect("127.0.0.1:8000", &Config::default()).await?.split();
/// sender.send_message(Status::ZERO, b"Hello").await?;
/// sender.shutdown().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The address cannot be resolved, nobody accepts there, or not within
/// [`Timeouts::connect`](crate::Timeouts::connect).
pub async fn connect(addr: impl ToSocketAddrs, config: &Config) -> io::Result<Connection> {
    Connection::from_tcp(tcp::connect(addr, config).await?, config)
}

/// Whether accepting failed for what concerns one connection.
fn is_of_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, PermissionDenied, TimedOut,
    };
    // Linux passes on what happened to the connection while it waited, and what a firewall decided (accept(2)).
    #[cfg(target_os = "linux")]
    let has_no_kind = {
        use rustix::io::Errno;
        matches!(
            Errno::from_io_error(error),
            Some(Errno::PROTO | Errno::NOPROTOOPT | Errno::HOSTDOWN | Errno::NONET | Errno::OPNOTSUPP)
        )
    };
    #[cfg(not(target_os = "linux"))]
    let has_no_kind = false;
    has_no_kind
        || matches!(
            error.kind(),
            ConnectionAborted
                | ConnectionRefused
                | ConnectionReset
                | HostUnreachable
                | Interrupted
                | NetworkDown
                | NetworkUnreachable
                | PermissionDenied
                | TimedOut
        )
}

/// Whether accepting failed for want of file descriptors or memory.
fn is_want_of_resources(error: &io::Error) -> bool {
    #[cfg(unix)]
    let of_the_system = {
        use rustix::io::Errno;
        matches!(
            Errno::from_io_error(error),
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
        )
    };
    #[cfg(not(unix))]
    let of_the_system = true;
    of_the_system || error.kind() == io::ErrorKind::OutOfMemory
}

/// How long to wait for want of resources, at first and at most: a closed connection is noticed soon, and a server
/// that cannot accept for long does not spin.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_concerns_one_connection_does_not_end_the_server() {
        let error = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        // As accept(2) has them.
        for errno in [
            Errno::NETDOWN,
            Errno::PROTO,
            Errno::NOPROTOOPT,
            Errno::HOSTDOWN,
            Errno::NONET,
            Errno::HOSTUNREACH,
            Errno::OPNOTSUPP,
            Errno::NETUNREACH,
            Errno::CONNABORTED,
            Errno::INTR,
            Errno::PERM,
            Errno::TIMEDOUT,
        ] {
            assert!(is_of_one_peer(&error(errno)), "{errno}");
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(is_want_of_resources(&error(errno)) && !is_of_one_peer(&error(errno)), "{errno}");
        }
        for errno in [Errno::BADF, Errno::INVAL, Errno::NOTSOCK] {
            assert!(!is_want_of_resources(&error(errno)) && !is_of_one_peer(&error(errno)), "{errno}");
        }
    }
}
