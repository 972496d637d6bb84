//! What a connection runs over: TCP alone, or TLS on it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tej_std::tls::{Acceptor, Connector, HandshakeError, TlsConnection};
use tej_std::{Config, Connection, DiscardError, Place, Receiver, Server};
use tokio::io::AsyncRead;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::report::{Failure, Reporter, TIMEOUT};

/// A connection as it is given to what works over either.
#[derive(Debug)]
pub(crate) enum Link {
    Tcp(Connection),
    Tls(TlsConnection),
}

/// Connects within the timeout, and then shakes hands if there is a `connector`.
pub(crate) async fn connect(
    addr: &str,
    limit: Duration,
    config: &Config,
    connector: Option<&Connector>,
) -> Result<Link, Failure> {
    let cannot =
        |error: &std::io::Error| Failure::io(&format!("cannot connect to {addr}"), error).unconnected();
    let no_answer = || {
        let seconds = limit.as_secs_f64();
        Failure::new(
            "timeout",
            format!("cannot connect to {addr}: no answer for {seconds} s; {TIMEOUT} allows more"),
        )
        .unconnected()
    };
    let Some(connector) = connector else {
        let connected = timeout(limit, tej_std::connect(addr, config)).await.map_err(|_| no_answer())?;
        return connected.map(Link::Tcp).map_err(|error| cannot(&error));
    };
    let mut config = config.clone();
    config.timeouts.connect = Some(limit);
    connector.connect(addr, &config).await.map(Link::Tls).map_err(|error| match error {
        HandshakeError::Connect(error) if error.kind() == ErrorKind::TimedOut => no_answer(),
        HandshakeError::Connect(error) => cannot(&error),
        error => Failure::handshake(&error),
    })
}

/// Waits until the line behind a connection was silent for `gap`. It may take `limit` until it falls silent.
pub(crate) async fn await_silence<R: AsyncRead + Unpin>(
    receiver: &mut Receiver<R>,
    gap: Duration,
    limit: Duration,
    reporter: &Reporter,
) -> Result<(), Failure> {
    match timeout(limit.saturating_add(gap), receiver.discard_until_silent(gap)).await {
        Ok(Ok(0)) => Ok(()),
        Ok(Ok(bytes)) => {
            reporter
                .warn(&format!(
                    "{bytes} bytes came from the line before it was silent; they were thrown away"
                ))
                .await;
            Ok(())
        }
        Ok(Err(DiscardError::Io(error))) if error.kind() == ErrorKind::UnexpectedEof => {
            Err(Failure::closed("the peer closed the connection before the line was silent"))
        }
        Ok(Err(DiscardError::Io(error))) => Err(Failure::io("the line", &error)),
        Ok(Err(error)) => Err(Failure::new("io", format!("internal error: {error}"))),
        Err(_) => {
            let (gap, limit) = (gap.as_secs_f64(), limit.as_secs_f64());
            let what = format!("the line was never silent for {gap} s (--line-gap) within {limit} s");
            Err(Failure::new("timeout", format!("{what}; {TIMEOUT} allows more")))
        }
    }
}

/// Where peers come in.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) server: Server,
    pub(crate) acceptor: Option<Acceptor>,
}

impl Listener {
    /// Waits for the next peer.
    ///
    /// A dropped future loses no peer.
    pub(crate) async fn accept(&self) -> Result<(Incoming, SocketAddr), Failure> {
        let incoming = match &self.acceptor {
            None => {
                self.server.accept().await.map(|(connection, address)| (Incoming::Tcp(connection), address))
            }
            Some(acceptor) => self.server.accept_stream().await.map(|(stream, address, place)| {
                let (acceptor, config) = (acceptor.clone(), self.server.config().clone());
                (Incoming::Tls(Handshake { stream, place, acceptor, config }), address)
            }),
        };
        incoming.map_err(|error| Failure::io("cannot accept", &error).unconnected())
    }

    /// Waits for one peer that can be talked to; with TLS others, who fail to prove who they are or stall, do not take
    /// its place.
    pub(crate) async fn accept_one(&self, reporter: &Reporter) -> Result<Link, Failure> {
        let mut handshakes = JoinSet::new();
        loop {
            tokio::select! {
                incoming = self.accept() => match incoming?.0 {
                    Incoming::Tcp(connection) => return Ok(Link::Tcp(connection)),
                    Incoming::Tls(handshake) => {
                        handshakes.spawn(handshake.shake());
                    }
                },
                Some(ended) = handshakes.join_next() => match ended {
                    Ok(Ok(connection)) => return Ok(Link::Tls(connection)),
                    Ok(Err(failure)) => {
                        reporter.warn(&format!("{}; waiting for another peer", failure.detail)).await;
                    }
                    Err(error) => return Err(Failure::new("io", format!("internal error: {error}"))),
                },
            }
        }
    }
}

/// A peer that has come in.
#[derive(Debug)]
pub(crate) enum Incoming {
    Tcp(Connection),
    /// Still to be shaken hands with, in a task of its own.
    Tls(Handshake),
}

#[derive(Debug)]
pub(crate) struct Handshake {
    stream: TcpStream,
    place: Place,
    acceptor: Acceptor,
    config: Config,
}

impl Handshake {
    pub(crate) async fn shake(self) -> Result<TlsConnection, Failure> {
        let Self { stream, place, acceptor, config } = self;
        match acceptor.accept(stream, &config).await {
            Ok(connection) => Ok(connection.holding(place)),
            Err(error) => Err(Failure::handshake(&error)),
        }
    }
}
