//! Connections that wait: what each takes of the memory of who holds it.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tej_std::{Admission, Config, Server};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::{Result, listening};

/// Accepts so many connections, each waiting for a frame in a task of its own, and says how much memory that takes: the
/// bytes of the process before there is a connection and when all are there.
pub(crate) fn hold(who: &str, count: &str) -> Result<()> {
    let count: u32 = count.parse()?;
    allow_files(count)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match who {
            "tej" => {
                let admission = Admission { connections: count as usize, per_address: count as usize };
                let server = Server::bind("127.0.0.1:0", Config::default()).await?.with_admission(admission);
                listening(server.local_addr()?);
                let before = memory()?;
                for _ in 0..count {
                    let (connection, _) = server.accept().await?;
                    let (mut receiver, sender) = connection.split();
                    tokio::spawn(async move {
                        while let Ok(Some(_)) = receiver.next().await {}
                        drop(sender);
                    });
                }
                settle(before).await
            }
            // The least: a socket and a task that keeps no buffer.
            "tokio" => {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                listening(listener.local_addr()?);
                let before = memory()?;
                for _ in 0..count {
                    let (mut stream, _) = listener.accept().await?;
                    tokio::spawn(async move {
                        while let Ok(()) = stream.readable().await {
                            if matches!(stream.read(&mut [0; 1024]).await, Ok(0) | Err(_)) {
                                break;
                            }
                        }
                    });
                }
                settle(before).await
            }
            _ => Err(format!("nobody is called {who}").into()),
        }
    })
}

/// Lets every task come to its wait.
async fn settle(before: u64) -> Result<()> {
    tokio::time::sleep(Duration::from_millis(200)).await;
    println!("{before} {}", memory()?);
    Ok(())
}

/// Connects so many times, and holds the connections until the other end closes the first.
pub(crate) fn connect(addr: &str, count: &str) -> Result<()> {
    let (addr, count): (SocketAddr, u32) = (addr.parse()?, count.parse()?);
    allow_files(count)?;
    let mut connections = Vec::new();
    for number in 1..=count {
        connections.push(TcpStream::connect(addr)?);
        if number % BACKLOG == 0 {
            // A connection that the listener has no room for would look like one to us, and never come to it.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    if let Some(first) = connections.first_mut() {
        // However it ends.
        let _ = first.read(&mut [0]);
    }
    Ok(())
}

/// Bytes of the process that are in memory.
fn memory() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

fn allow_files(count: u32) -> Result<()> {
    let wanted = u64::from(count) + 64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).map_err(|error| {
            format!("cannot open {wanted} files at once ({error}): raise the limit, `ulimit -n`")
        })?;
    }
    Ok(())
}

/// Connections that any listener has room for while it is busy: the system's least default.
const BACKLOG: u32 = 128;
