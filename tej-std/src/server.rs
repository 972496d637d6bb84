//! Listening and connecting over TCP.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};

use crate::{Config, Connection};

/// Accepts TEJ connections over TCP.
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
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    config: Config,
}

impl Server {
    /// Listens on `addr`; port 0 picks a free one, which [`local_addr`](Self::local_addr) tells.
    ///
    /// # Errors
    ///
    /// The address cannot be resolved or is in use.
    pub async fn bind(addr: impl ToSocketAddrs, config: Config) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(addr).await?, config })
    }

    /// The address that is listened on.
    ///
    /// # Errors
    ///
    /// The operating system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Waits for the next peer.
    ///
    /// # Errors
    ///
    /// This peer could not be accepted. That says nothing about the next one: the peer may have gone again, or file
    /// descriptors may have run out for a while. Wait a little and go on.
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses no peer.
    pub async fn accept(&self) -> io::Result<(Connection, SocketAddr)> {
        let (stream, peer) = self.listener.accept().await?;
        Ok((Connection::from_tcp(stream, &self.config)?, peer))
    }
}

/// Connects to a peer: the client's side.
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
/// The address cannot be resolved, or nobody accepts there.
pub async fn connect(addr: impl ToSocketAddrs, config: &Config) -> io::Result<Connection> {
    Connection::from_tcp(TcpStream::connect(addr).await?, config)
}
