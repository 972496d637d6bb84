//! `tej recv`.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tej_std::inbox::Inbox;
use tej_std::{Connection, Server};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::Stop;
use crate::args::{ReceiveArgs, RecvArgs};
use crate::intake::Intake;
use crate::interrupt::interrupted;
use crate::report::{Failure, Reporter};
use crate::send::{check_address, connect, listen, open_inbox};

pub(crate) async fn run(args: RecvArgs, reporter: &Arc<Reporter>) -> Result<(), Stop> {
    let RecvArgs { role, frames, once, receive, .. } = args;
    if let Some(addr) = role.listen.as_deref().or(role.connect.as_deref()) {
        check_address(addr)?;
    }
    let outcome = async {
        let service = Arc::new(Service {
            inbox: open_inbox(&receive)?,
            reporter: Arc::clone(reporter),
            quota: Quota { limit: frames, done: AtomicU64::new(0), reached: Notify::new() },
            receive,
        });
        match (role.connect, role.listen) {
            (Some(addr), _) => service.connect(&addr).await,
            (None, Some(addr)) => {
                let server = listen(&addr, &service.receive, reporter).await?;
                if once { service.serve_one(&server).await } else { service.serve(&server).await }
            }
            // clap requires one of them.
            (None, None) => Ok(()),
        }
    }
    .await;
    outcome.map_err(|failure| {
        reporter.error(FIRST, &failure);
        Stop::Failed
    })
}

/// What all connections share.
struct Service {
    inbox: Option<Inbox>,
    reporter: Arc<Reporter>,
    quota: Quota,
    receive: ReceiveArgs,
}

impl Service {
    async fn connect(&self, addr: &str) -> Result<(), Failure> {
        let connection = tokio::select! {
            connection = connect(addr, &self.receive) => connection?,
            () = interrupted() => return Err(Failure::closed("interrupted")),
        };
        self.receive(FIRST, connection).await?;
        self.quota.check()
    }

    async fn serve_one(&self, server: &Server) -> Result<(), Failure> {
        let (connection, _) = tokio::select! {
            accepted = server.accept() => accepted.map_err(|error| Failure::io("accepting", &error))?,
            () = interrupted() => return Err(Failure::closed("interrupted before a peer came")),
        };
        self.receive(FIRST, connection).await
    }

    /// Serves any number of peers at once, until enough frames have come or the process is asked to end.
    async fn serve(self: &Arc<Self>, server: &Server) -> Result<(), Failure> {
        let mut peers = JoinSet::new();
        let mut next = FIRST;
        let mut stop = pin!(interrupted());
        loop {
            tokio::select! {
                accepted = server.accept() => match accepted {
                    Ok((connection, _)) => {
                        peers.spawn(Arc::clone(self).serve_peer(next, connection));
                        next += 1;
                    }
                    Err(error) => {
                        self.reporter.warn(&format!("cannot accept a connection: {error}; trying again"));
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = peers.join_next() => {}
                () = self.quota.reached.notified() => return Ok(()),
                () = &mut stop => break,
            }
        }
        // Every peer was interrupted, too, and says so if it was inside a frame.
        while peers.join_next().await.is_some() {}
        self.quota.check()
    }

    async fn serve_peer(self: Arc<Self>, conn: u64, connection: Connection) {
        if let Err(failure) = self.receive(conn, connection).await {
            self.reporter.error(conn, &failure);
        }
    }

    /// Receives until the peer closes, enough frames have come, or the process is asked to end.
    async fn receive(&self, conn: u64, connection: Connection) -> Result<(), Failure> {
        // Our direction stays open: many a peer takes its end for the end of the connection.
        let (mut receiver, _sender) = connection.split();
        let mut intake = Intake::new(conn, &self.reporter, self.inbox.as_ref(), self.receive.digest);
        let mut stop = pin!(interrupted());
        loop {
            let event = tokio::select! {
                event = receiver.next() => event.map_err(|e| Failure::receive(&e, self.receive.timeout))?,
                () = &mut stop => {
                    return if intake.in_frame() { Err(Failure::closed("interrupted inside a frame")) } else { Ok(()) };
                }
            };
            let Some(event) = event else { return Ok(()) };
            if intake.take(event).is_some() {
                match self.quota.count() {
                    Count::Within => self.reporter.frame_end(conn),
                    Count::Last => {
                        self.reporter.frame_end(conn);
                        self.quota.reached.notify_one();
                        return Ok(());
                    }
                    Count::Over => return Ok(()),
                }
            }
        }
    }
}

/// How many frames are wanted, over all connections.
struct Quota {
    limit: Option<u64>,
    done: AtomicU64,
    reached: Notify,
}

impl Quota {
    fn count(&self) -> Count {
        let number = self.done.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        match self.limit {
            Some(limit) if number > limit => Count::Over,
            Some(limit) if number == limit => Count::Last,
            _ => Count::Within,
        }
    }

    fn check(&self) -> Result<(), Failure> {
        let done = self.done.load(Ordering::Relaxed);
        match self.limit {
            Some(limit) if done < limit => {
                Err(Failure::closed(format!("ended after {done} of {limit} frames")))
            }
            _ => Ok(()),
        }
    }
}

enum Count {
    Within,
    Last,
    Over,
}

/// Connections are counted from here.
const FIRST: u64 = 1;
/// How long to wait when accepting fails, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
