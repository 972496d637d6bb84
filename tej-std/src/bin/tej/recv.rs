//! `tej recv`.

use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;

use tej_std::inbox::{Delivery, Inbox};
use tej_std::tls::Connector;
use tej_std::{Config, Connection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinSet};

use crate::Stop;
use crate::args::{ReceiveArgs, RecvArgs};
use crate::identity::Listening;
use crate::intake::Intake;
use crate::report::{Failure, Peer, Reporter};
use crate::send::{check_address, listen, open_inbox};
use crate::shutdown::Shutdown;
use crate::transport::{Handshake, Incoming, Link, Listener, connect};

pub(crate) async fn run(args: RecvArgs, reporter: &Reporter) -> Result<(), Stop> {
    let RecvArgs { role, frames, once, receive, admission, tls, .. } = args;
    if let Some(addr) = role.listen.as_deref().or(role.connect.as_deref()) {
        check_address(addr)?;
    }
    let peers = match (role.connect, role.listen) {
        (Some(addr), _) => Peers::Connect(addr, tls.connector()?),
        (None, Some(addr)) => Peers::Listen(addr, tls.listening()?),
        // clap requires one of them.
        (None, None) => return Ok(()),
    };
    tls.warn(reporter).await;
    let outcome = async {
        // It only receives.
        let config = Config { send_buffer: 1, ..receive.config() };
        let service = Arc::new(Service {
            inbox: open_inbox(&receive)?,
            reporter: reporter.clone(),
            quota: Quota { limit: frames, done: Mutex::new(0), reached: Shutdown::new() },
            receive,
        });
        match peers {
            Peers::Connect(addr, connector) => service.connect(&addr, connector.as_ref(), &config).await,
            Peers::Listen(addr, tls) => {
                let listener = listen(&addr, config, admission.into(), tls.as_ref(), reporter).await?;
                if once { service.serve_one(&listener).await } else { service.serve(&listener).await }
            }
        }
    }
    .await;
    reporter.settle(FIRST, outcome).await
}

/// Where peers come from.
enum Peers {
    Connect(String, Option<Connector>),
    Listen(String, Option<Listening>),
}

/// What all connections share.
struct Service {
    inbox: Option<Inbox>,
    reporter: Reporter,
    quota: Quota,
    receive: ReceiveArgs,
}

impl Service {
    async fn connect(
        &self,
        addr: &str,
        connector: Option<&Connector>,
        config: &Config,
    ) -> Result<(), Failure> {
        let link = tokio::select! {
            link = connect(addr, self.receive.timeout, config, connector) => link?,
            () = self.reporter.shutdown().requested() => {
                return Err(Failure::closed("interrupted").unconnected());
            }
        };
        match self.receive_over(FIRST, link).await? {
            End::Interrupted => Err(Failure::closed("interrupted")),
            End::Closed | End::Enough => {
                self.quota.check().await?;
                self.tell_of_nothing().await;
                Ok(())
            }
        }
    }

    async fn serve_one(&self, listener: &Listener) -> Result<(), Failure> {
        let link = tokio::select! {
            link = listener.accept_one(&self.reporter) => link?,
            () = self.reporter.shutdown().requested() => {
                return Err(Failure::closed("interrupted before a peer came").unconnected());
            }
        };
        match self.receive_over(FIRST, link).await? {
            End::Interrupted => Err(Failure::closed("interrupted")),
            End::Closed | End::Enough => {
                self.tell_of_nothing().await;
                Ok(())
            }
        }
    }

    /// Says so where the one peer there was has sent nothing.
    async fn tell_of_nothing(&self) {
        if *self.quota.done.lock().await == 0 {
            self.reporter.warn("the peer closed; no frame came").await;
        }
    }

    /// Serves any number of peers at once, until enough frames have come or the process is asked to end.
    async fn serve(self: &Arc<Self>, listener: &Listener) -> Result<(), Failure> {
        let mut peers = JoinSet::new();
        let mut next = FIRST;
        {
            let mut end = pin!(self.end());
            let mut accepting = pin!(listener.accept());
            loop {
                tokio::select! {
                    incoming = &mut accepting => {
                        let (incoming, address) = incoming?;
                        peers.spawn(Arc::clone(self).serve_peer(next, incoming, address.ip()));
                        next += 1;
                        accepting.set(listener.accept());
                    }
                    Some(ended) = peers.join_next() => self.ended(ended).await,
                    () = &mut end => break,
                }
            }
        }
        // Every peer sees the same end; what it holds half-written is gone when it is.
        while let Some(ended) = peers.join_next().await {
            self.ended(ended).await;
        }
        // What is missing is not of one connection.
        self.quota.check().await.map_err(Failure::unconnected)
    }

    async fn serve_peer(self: Arc<Self>, conn: u64, incoming: Incoming, address: IpAddr) {
        let served = match incoming {
            Incoming::Tcp(connection) => self.receive(conn, self.delivery_from(address), connection).await,
            Incoming::Tls(handshake) => self.shake_and_receive(conn, address, handshake).await,
        };
        if let Err(failure) = served {
            self.reporter.error(conn, &failure).await;
        }
    }

    /// A fault of ours ends the connection that met it alone, but it is no success.
    async fn ended(&self, ended: Result<(), JoinError>) {
        if let Err(error) = ended {
            let failure = Failure::new("io", format!("internal error: {error}")).unconnected();
            self.reporter.error(FIRST, &failure).await;
        }
    }

    /// In a box: neither the task nor the stack of a connection without TLS has a use for the room.
    fn shake_and_receive(
        &self,
        conn: u64,
        address: IpAddr,
        handshake: Handshake,
    ) -> Pin<Box<dyn Future<Output = Result<End, Failure>> + Send + '_>> {
        Box::pin(async move {
            let connection = tokio::select! {
                connection = handshake.shake() => connection?,
                () = self.end() => return Ok(End::Enough),
            };
            self.receive(conn, self.delivery_from(address), connection).await
        })
    }

    fn delivery_from(&self, address: IpAddr) -> Option<Delivery> {
        self.inbox.as_ref().map(|inbox| inbox.delivery_from(address))
    }

    async fn receive_over(&self, conn: u64, link: Link) -> Result<End, Failure> {
        let delivery = self.inbox.as_ref().map(Inbox::delivery);
        match link {
            Link::Tcp(connection) => self.receive(conn, delivery, connection).await,
            Link::Tls(connection) => self.receive(conn, delivery, connection).await,
        }
    }

    /// Receives until the peer closes, enough frames have come, or the process is asked to end.
    async fn receive<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &self,
        conn: u64,
        delivery: Option<Delivery>,
        connection: Connection<R, W>,
    ) -> Result<End, Failure> {
        // Our direction stays open: many a peer takes its end for the end of the connection.
        let (mut receiver, mut sender) = connection.split();
        let mut intake = Intake::new(conn, &self.reporter, delivery, &self.receive);
        let ended = tokio::select! {
            ended = self.frames(conn, &mut receiver, &mut intake) => Some(ended?),
            () = self.end() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None if self.quota.reached.is_requested() => End::Enough,
            None if intake.in_frame() || !receiver.is_between_frames() => {
                return Err(Failure::closed("interrupted inside a frame"));
            }
            None => End::Interrupted,
        };
        // With TLS a peer can tell it from being cut off. It may be gone already.
        let _ = sender.shutdown().await;
        Ok(ended)
    }

    async fn frames<R: AsyncRead + Unpin>(
        &self,
        conn: u64,
        receiver: &mut tej_std::Receiver<R>,
        intake: &mut Intake<'_>,
    ) -> Result<End, Failure> {
        loop {
            let failed = |error| self.receive.failure(&error, Peer::Sends);
            if intake.bypass(receiver).await.map_err(failed)? {
                continue;
            }
            let event = receiver.next().await.map_err(failed)?;
            let Some(event) = event else { return Ok(End::Closed) };
            if intake.take(event).await.is_some() && !self.quota.count(conn, &self.reporter).await {
                return Ok(End::Enough);
            }
        }
    }

    async fn end(&self) {
        tokio::select! {
            () = self.reporter.shutdown().requested() => {}
            () = self.quota.reached.requested() => {}
        }
    }
}

/// How a connection ended, when nothing failed.
enum End {
    /// The peer closed it.
    Closed,
    /// Enough frames have come.
    Enough,
    /// The process was asked to end, between two frames.
    Interrupted,
}

/// How many frames are wanted, over all connections.
struct Quota {
    limit: Option<u64>,
    done: Mutex<u64>,
    reached: Shutdown,
}

impl Quota {
    /// Counts a frame and reports its end, in one step for all connections. False once no more are wanted.
    async fn count(&self, conn: u64, reporter: &Reporter) -> bool {
        let mut done = self.done.lock().await;
        if self.limit.is_some_and(|limit| *done >= limit) {
            return false;
        }
        reporter.frame_end(conn).await;
        *done += 1;
        if self.limit == Some(*done) {
            self.reached.request();
            return false;
        }
        true
    }

    async fn check(&self) -> Result<(), Failure> {
        let done = *self.done.lock().await;
        match self.limit {
            Some(limit) if done < limit => {
                Err(Failure::closed(format!("ended after {done} of {limit} frames")))
            }
            _ => Ok(()),
        }
    }
}

/// Connections are counted from here.
const FIRST: u64 = 1;
