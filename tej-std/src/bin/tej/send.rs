//! `tej send`.

use std::ffi::OsString;
use std::time::Duration;

use tej_std::inbox::Inbox;
use tej_std::{Config, Connection, Limits, Server};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::Stop;
use crate::args::{ReceiveArgs, SendArgs};
use crate::intake::Intake;
use crate::interrupt::interrupted;
use crate::outgoing::{NotSent, Outgoing, Refused};
use crate::report::{Failure, Reporter};

pub(crate) async fn run(args: SendArgs, reporter: &Reporter) -> Result<(), Stop> {
    let (peer, files) = peer_and_files(args.listen, args.operands)?;
    let work = async {
        let inbox = open_inbox(&args.receive)?;
        let outgoing = Outgoing::gather(args.frame, &files, args.stdin, reporter).await?;
        let connection = match &peer {
            Peer::Connect(addr) => connect(addr, &args.receive).await?,
            Peer::Listen(addr) => {
                let server = listen(addr, &args.receive, reporter).await?;
                server.accept().await.map_err(|error| Failure::io("accepting", &error))?.0
            }
        };
        exchange(connection, &outgoing, args.replies, inbox.as_ref(), &args.receive, reporter).await?;
        Ok(())
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        () = interrupted() => Err(Failure::closed("interrupted").into()),
    };
    outcome.map_err(|refused: Refused| refused.report(reporter))
}

/// Connects, within the timeout.
pub(crate) async fn connect(addr: &str, args: &ReceiveArgs) -> Result<Connection, Failure> {
    match timeout(args.timeout, tej_std::connect(addr, &config(args.timeout))).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(Failure::io(&format!("cannot connect to {addr}"), &error)),
        Err(_) => {
            let seconds = args.timeout.as_secs_f64();
            Err(Failure::new("timeout", format!("cannot connect to {addr}: no answer for {seconds} s")))
        }
    }
}

/// Listens, and says where.
pub(crate) async fn listen(addr: &str, args: &ReceiveArgs, reporter: &Reporter) -> Result<Server, Failure> {
    let server = Server::bind(addr, config(args.timeout))
        .await
        .map_err(|error| Failure::io(&format!("cannot listen on {addr}"), &error))?;
    let local = server.local_addr().map_err(|error| Failure::io("listening", &error))?;
    reporter.listening(local);
    Ok(server)
}

pub(crate) fn open_inbox(args: &ReceiveArgs) -> Result<Option<Inbox>, Failure> {
    let Some(dir) = &args.dir else { return Ok(None) };
    let opened = Inbox::open(dir);
    opened.map(Some).map_err(|error| Failure::io(&format!("cannot open {}", dir.display()), &error))
}

/// Checks HOST:PORT before anything is done with it.
pub(crate) fn check_address(addr: &str) -> Result<(), Stop> {
    let parts = addr.rsplit_once(':');
    let ok = parts.is_some_and(|(host, port)| {
        let bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        !host.is_empty() && !bare_ipv6 && port.parse::<u16>().is_ok()
    });
    if ok {
        return Ok(());
    }
    let examples = "such as localhost:7077, 192.0.2.1:7077 or [::1]:7077";
    Err(Stop::Usage(format!("{addr:?} is not HOST:PORT, {examples}")))
}

impl Refused {
    fn report(self, reporter: &Reporter) -> Stop {
        match self {
            Self::Usage(message) => Stop::Usage(message),
            Self::Failed(failure) => {
                reporter.error(CONN, &failure);
                Stop::Failed
            }
        }
    }
}

enum Peer {
    Connect(String),
    Listen(String),
}

fn peer_and_files(
    listen: Option<String>,
    mut operands: Vec<OsString>,
) -> Result<(Peer, Vec<OsString>), Stop> {
    if let Some(addr) = listen {
        check_address(&addr)?;
        return Ok((Peer::Listen(addr), operands));
    }
    if operands.is_empty() {
        return Err(Stop::Usage(
            "send to whom? Give HOST:PORT or --listen ADDR (see tej send --help)".into(),
        ));
    }
    let addr = operands.remove(0).to_string_lossy().into_owned();
    check_address(&addr)?;
    Ok((Peer::Connect(addr), operands))
}

/// Sends the frame while receiving whatever comes, until the peer closes.
async fn exchange(
    connection: Connection,
    outgoing: &Outgoing,
    replies: u64,
    inbox: Option<&Inbox>,
    args: &ReceiveArgs,
    reporter: &Reporter,
) -> Result<(), Failure> {
    let (mut receiver, mut sender) = connection.split();
    let (answered, mut answers) = watch::channel(Answers { frames: 0, ended: false });
    let send = async {
        let bytes = outgoing.send(&mut sender, reporter).await.map_err(|error| match error {
            NotSent::Source(failure) => failure,
            NotSent::Connection(error) => Failure::send(&error, args.timeout),
        })?;
        reporter.sent(CONN, outgoing.files(), bytes);
        // The channel lives as long as the other branch, which ends it by saying so.
        let _ = answers.wait_for(|answers| answers.ended || answers.frames >= replies).await;
        sender.shutdown().await.map_err(|error| Failure::send(&error, args.timeout))
    };
    let receive = async {
        let mut intake = Intake::new(CONN, reporter, inbox, args.digest);
        loop {
            match receiver.next().await {
                Ok(Some(event)) => {
                    let Some(header) = intake.take(event) else { continue };
                    reporter.frame_end(CONN);
                    if !header.status.is_ping() {
                        answered.send_modify(|answers| answers.frames += 1);
                    }
                }
                Ok(None) => {
                    answered.send_modify(|answers| answers.ended = true);
                    return Ok(answered.borrow().frames);
                }
                Err(error) => return Err(Failure::receive(&error, args.timeout)),
            }
        }
    };
    let ((), frames) = tokio::try_join!(send, receive)?;
    if frames < replies {
        return Err(Failure::closed(format!(
            "the peer ended its stream after {frames} of {replies} replies"
        )));
    }
    Ok(())
}

/// What has come back so far.
struct Answers {
    /// Frames that are not pings.
    frames: u64,
    /// The peer ended its stream.
    ended: bool,
}

fn config(idle_timeout: Duration) -> Config {
    Config {
        // Everything is streamed, so nothing a peer announces costs memory.
        limits: Limits::UNLIMITED,
        name_limit: u16::MAX,
        idle_timeout: Some(idle_timeout),
        receive_buffer: BUFFER,
        send_buffer: BUFFER,
    }
}

/// The one connection there is.
const CONN: u64 = 1;
/// Large enough that system calls do not matter.
const BUFFER: usize = 256 * 1024;
