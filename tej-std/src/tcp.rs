//! The part of a TCP connection that is not TEJ.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, ToSocketAddrs, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Config;

/// Connects to any of the addresses that `addr` stands for, within the timeout.
pub(crate) async fn connect(addr: impl ToSocketAddrs, config: &Config) -> io::Result<TcpStream> {
    let connecting = async { race(lookup_host(addr).await?).await };
    let stream = match config.timeouts.connect {
        Some(limit) => timeout(limit, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??,
        None => connecting.await?,
    };
    notice_loss(&stream, config)?;
    Ok(stream)
}

/// The first of the addresses at which somebody answers. One that does not answer holds the others up for a moment only:
/// many a machine has an IPv6 address that cannot be reached from everywhere.
async fn race(addrs: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut addrs = addrs.peekable();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(addr) = addrs.next() {
            attempts.spawn(TcpStream::connect(addr));
        } else if attempts.is_empty() {
            return Err(failure);
        }
        tokio::select! {
            Some(attempt) = attempts.join_next() => match attempt {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = error,
                Err(error) => failure = error.into(),
            },
            () = sleep(HEAD_START), if addrs.peek().is_some() => {}
        }
    }
}

/// Has the operating system ask a peer that says nothing whether it is still there.
pub(crate) fn notice_loss(stream: &TcpStream, config: &Config) -> io::Result<()> {
    let Some(lost) = config.timeouts.lost else { return Ok(()) };
    // Half of the time until it is asked, then four times, of whole seconds.
    let interval = (lost / 8).max(Duration::from_secs(1));
    let keep_alive =
        TcpKeepalive::new().with_time((lost / 2).max(Duration::from_secs(1))).with_interval(interval);
    #[cfg(not(windows))]
    let keep_alive = keep_alive.with_retries(4);
    SockRef::from(stream).set_tcp_keepalive(&keep_alive)
}

/// Closes a connection in a way that nobody takes for an end in order: by a reset, also where nothing has come yet.
pub(crate) fn reset(stream: TcpStream) {
    // Without it, the connection is closed all the same.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}

/// How long an address may take before the next is tried beside it (RFC 8305, "Connection Attempt Delay").
const HEAD_START: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Server, Timeouts};

    #[tokio::test]
    async fn who_is_not_there_does_not_hide_who_is() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        // Nobody listens at the first. The second is never answered: its backlog is full.
        let closed = tokio::net::TcpSocket::new_v4().unwrap();
        closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = tokio::net::TcpSocket::new_v4().unwrap();
        full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = full.listen(0).unwrap();
        let silent = full.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(100), TcpStream::connect(silent)).await {
            waiting.push(stream.unwrap());
        }
        let addrs = [closed.local_addr().unwrap(), silent, addr];
        let stream = timeout(Duration::from_secs(60), race(addrs.into_iter())).await.unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);
        let refused = race([closed.local_addr().unwrap()].into_iter()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let none = race([].into_iter()).await.unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn who_is_refused_does_not_take_it_for_an_end_in_order() {
        let admission = crate::Admission { connections: 1, per_address: 1 };
        let server = Server::bind("127.0.0.1:0", Config::default()).await.unwrap().with_admission(admission);
        let addr = server.local_addr().unwrap();
        let (first, _served) = tokio::join!(TcpStream::connect(addr), server.accept());
        let accept = async { panic!("room for {:?}", server.accept().await) };
        let refused = async {
            for _ in 0..10 {
                // Without a word, so that nothing else is a reason for a reset.
                let refused = match TcpStream::connect(addr).await {
                    Ok(mut stream) => tokio::io::AsyncReadExt::read(&mut stream, &mut [0]).await.unwrap_err(),
                    // It was quick.
                    Err(error) => error,
                };
                assert_eq!(refused.kind(), io::ErrorKind::ConnectionReset);
            }
        };
        tokio::select! {
            () = accept => {}
            () = refused => {}
        }
        drop(first);
    }

    #[tokio::test]
    async fn a_lost_peer_is_asked_for_in_both_roles() {
        for (lost, asked) in [(None, false), (Some(Duration::from_secs(120)), true)] {
            let config = Config { timeouts: Timeouts { lost, ..Timeouts::PATIENT }, ..Config::default() };
            let server = Server::bind("127.0.0.1:0", config.clone()).await.unwrap();
            let addr = server.local_addr().unwrap();
            let (ours, theirs) = tokio::join!(connect(addr, &config), server.accept_stream());
            for stream in [ours.unwrap(), theirs.unwrap().0] {
                let socket = SockRef::from(&stream);
                assert_eq!(socket.keepalive().unwrap(), asked);
                if asked && cfg!(target_os = "linux") {
                    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
                    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(15));
                    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
                }
            }
        }
    }
}
