//! `tej send`.

use std::ffi::OsString;
use std::io;
use std::net::Ipv6Addr;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tej_std::inbox::{Inbox, OnConflict, Policy};
use tej_std::tls::Connector;
use tej_std::{Admission, Cap, Config, Connection, Limits, Server, Timeouts, Trouble};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::Stop;
use crate::args::{Conflict, ReceiveArgs, SendArgs, TlsArgs};
use crate::identity::Listening;
use crate::intake::Intake;
use crate::outgoing::{NotSent, Outgoing, Refused};
use crate::report::{self, Failure, Reporter};
use crate::transport::{Link, Listener, await_silence, connect};

pub(crate) async fn run(args: SendArgs, reporter: &Reporter) -> Result<(), Stop> {
    let has_message = args.frame.message.is_some() || args.frame.message_file.is_some();
    let (peer, files) = peer_and_files(args.listen, args.operands, &args.tls)?;
    args.tls.warn(reporter).await;
    let is_connected = AtomicBool::new(false);
    let work = async {
        let inbox = open_inbox(&args.receive)?;
        let outgoing = Outgoing::gather(args.frame, files, args.stdin, reporter).await?;
        if outgoing.is_empty() && !has_message {
            reporter.warn("nothing to send but an empty frame").await;
        }
        let config = args.receive.config();
        let link = match &peer {
            Peer::Connect(addr, connector) => {
                connect(addr, args.receive.timeout, &config, connector.as_ref()).await?
            }
            Peer::Listen(addr, listening) => {
                let admission = Admission::default();
                let listener = listen(addr, config, admission, listening.as_ref(), reporter).await?;
                listener.accept_one(reporter).await?
            }
        };
        is_connected.store(true, Ordering::Relaxed);
        let (inbox, receive) = (inbox.as_ref(), &args.receive);
        let gap = args.line.line_gap;
        let may_be_stuck = args.replies > 0 && gap.is_none() && matches!(peer, Peer::Connect(_, None));
        let who = if may_be_stuck { report::Peer::Answers } else { report::Peer::Receives };
        let wanted = Wanted { gap, replies: args.replies, who };
        let outcome = match link {
            Link::Tcp(connection) => exchange(connection, &outgoing, wanted, inbox, receive, reporter).await,
            Link::Tls(connection) => exchange(connection, &outgoing, wanted, inbox, receive, reporter).await,
        };
        Ok(outcome.map_err(|failure| args.line.advise(failure))?)
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        () = reporter.shutdown().requested() => Err(Failure::closed("interrupted").into()),
    };
    match outcome {
        Ok(()) => Ok(()),
        Err(Refused::Usage(message)) => Err(Stop::Usage(message)),
        // A handshake that failed is of a connection, too.
        Err(Refused::Failed(failure)) if is_connected.load(Ordering::Relaxed) || failure.kind == "tls" => {
            reporter.settle(CONN, Err(failure)).await
        }
        Err(Refused::Failed(failure)) => reporter.settle_alone(Err(failure)).await,
    }
}

/// The configuration of a stream whose other end may be silent for so long, or for ever. Everything is streamed, so
/// nothing that a peer announces costs memory.
pub(crate) fn config(idle: Option<Duration>) -> Config {
    Config {
        limits: Limits::UNLIMITED,
        name_limit: u16::MAX,
        // Connecting has the same patience as everything else, and an error of its own.
        timeouts: Timeouts { connect: None, handshake: idle, idle, ..Timeouts::PATIENT },
        receive_buffer: BUFFER,
        send_buffer: BUFFER,
    }
}

/// Listens, and says where.
pub(crate) async fn listen(
    addr: &str,
    config: Config,
    admission: Admission,
    tls: Option<&Listening>,
    reporter: &Reporter,
) -> Result<Listener, Failure> {
    let server = Server::bind(addr, config)
        .await
        .map_err(|error| Failure::io(&format!("cannot listen on {addr}"), &error).unconnected())?;
    let local = server.local_addr().map_err(|error| Failure::io("listening", &error).unconnected())?;
    reporter.listening(local).await;
    match tls {
        None if !local.ip().to_canonical().is_loopback() => {
            let what = "anybody on the way can read and change what is sent";
            let remedy = "--identity FILE encrypts it (`tej identity FILE` makes one)";
            reporter.warn(&format!("no encryption on {local}: {what}; {remedy}")).await;
        }
        Some(Listening { anyone: true, .. }) => {
            let remedy = "--peer FINGERPRINT or --tls-ca FILE says who may";
            reporter.warn(&format!("any client may connect, for it is not asked who it is; {remedy}")).await;
        }
        _ => {}
    }
    let warnings = Warnings { reporter: reporter.clone(), last: Mutex::default() };
    let server = server.with_admission(admission).with_watch(move |trouble| warnings.give(&trouble));
    Ok(Listener { server, acceptor: tls.map(|tls| tls.acceptor.clone()) })
}

/// Tells why peers are not served, and not more often than anybody can read.
struct Warnings {
    reporter: Reporter,
    /// When the last one was given, and how many were not given since.
    last: Mutex<Option<(Instant, u64)>>,
}

impl Warnings {
    fn give(&self, trouble: &Trouble<'_>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let untold = match &mut *last {
            Some((when, untold)) if when.elapsed() < BETWEEN_WARNINGS => {
                *untold += 1;
                return;
            }
            Some((_, untold)) => *untold,
            None => 0,
        };
        *last = Some((Instant::now(), 0));
        drop(last);
        let mut text = match trouble {
            Trouble::Refused { cap: Cap::Connections, .. } => format!("{trouble} (--max-connections)"),
            Trouble::Refused { cap: Cap::PerAddress, .. } => format!("{trouble} (--max-per-address)"),
            trouble => trouble.to_string(),
        };
        if untold > 0 {
            text += &format!("; so were {untold} before it");
        }
        let reporter = self.reporter.clone();
        // Whoever reads the lines may be slow, which must not keep peers out.
        tokio::spawn(async move { reporter.warn(&text).await });
    }
}

pub(crate) fn open_inbox(args: &ReceiveArgs) -> Result<Option<Inbox>, Failure> {
    let Some(dir) = &args.dir else { return Ok(None) };
    let store = &args.store;
    let policy = Policy {
        on_conflict: match store.on_conflict {
            Conflict::Rename => OnConflict::Rename,
            Conflict::Refuse => OnConflict::Refuse,
            Conflict::Overwrite => OnConflict::Overwrite,
        },
        dot_files: store.allow_dotfiles,
        sync: store.sync,
        max_file: store.max_file,
        max_frame: store.quota_frame,
        max_client: store.quota_client,
        max_entries: store.quota_entries,
        min_free: store.min_free,
    };
    let opened = Inbox::with_policy(dir, policy).and_then(|inbox| writable(dir).map(|()| inbox));
    opened.map(Some).map_err(|error| cannot_store(dir, &error).unconnected())
}

/// Whether files can be stored, which is better known before any is sent.
fn writable(dir: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::fs::{Access, AtFlags, CWD, accessat};
        let access = Access::WRITE_OK | Access::EXEC_OK;
        match accessat(CWD, dir, access, AtFlags::EACCESS) {
            // Not every system can tell it of the effective user.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL | rustix::io::Errno::NOTSUP) | Ok(()) => {
            }
            Err(error) => return Err(error.into()),
        }
    }
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}

fn cannot_store(dir: &Path, error: &io::Error) -> Failure {
    match dir.ancestors().find(|ancestor| ancestor.exists()) {
        Some(file) if !file.is_dir() => {
            Failure::new("io", format!("{} is a file, not a directory", file.display()))
        }
        _ => Failure::io(&format!("cannot store files in {}", dir.display()), error),
    }
}

/// Checks HOST:PORT before anything is done with it.
pub(crate) fn check_address(addr: &str) -> Result<(), Stop> {
    let mut is_port_at_fault = false;
    let parts = addr.rsplit_once(':');
    let ok = parts.is_some_and(|(host, port)| {
        let host_ok = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(ipv6) => ipv6.split('%').next().is_some_and(|ipv6| ipv6.parse::<Ipv6Addr>().is_ok()),
            None => !host.is_empty() && !host.contains([':', '[', ']']),
        };
        let is_number = !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
        is_port_at_fault = host_ok && is_number;
        host_ok && is_number && port.parse::<u16>().is_ok()
    });
    if ok {
        return Ok(());
    }
    if is_port_at_fault {
        return Err(Stop::Usage(format!("{addr:?}: a port is 0 to {}", u16::MAX)));
    }
    let is_com_port = addr.len() > 3 && addr.is_char_boundary(3) && {
        let (com, number) = addr.split_at(3);
        com.eq_ignore_ascii_case("com") && number.bytes().all(|digit| digit.is_ascii_digit())
    };
    if addr.starts_with("/dev/") || is_com_port {
        let remedy = "have socat or a serial server lead a TCP port to it, and give that with --line-gap 1.5";
        return Err(Stop::Usage(format!(
            "{addr:?}: serial devices are not opened: {remedy} (see README.md)"
        )));
    }
    let examples = "such as localhost:7077, 192.0.2.1:7077 or [::1]:7077";
    Err(Stop::Usage(format!("{addr:?} is not HOST:PORT, {examples}")))
}

enum Peer {
    Connect(String, Option<Connector>),
    Listen(String, Option<Listening>),
}

fn peer_and_files(
    listen: Option<String>,
    mut operands: Vec<OsString>,
    tls: &TlsArgs,
) -> Result<(Peer, Vec<OsString>), Stop> {
    if let Some(addr) = listen {
        check_address(&addr)?;
        return Ok((Peer::Listen(addr, tls.listening()?), operands));
    }
    if operands.is_empty() {
        return Err(Stop::Usage(
            "send to whom? Give HOST:PORT or --listen ADDR (see tej send --help)".into(),
        ));
    }
    let addr = operands.remove(0).to_string_lossy().into_owned();
    check_address(&addr)?;
    Ok((Peer::Connect(addr, tls.connector()?), operands))
}

/// Sends the frame while receiving whatever comes, until the peer closes.
async fn exchange<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    connection: Connection<R, W>,
    outgoing: &Outgoing,
    Wanted { gap, replies, who }: Wanted,
    inbox: Option<&Inbox>,
    args: &ReceiveArgs,
    reporter: &Reporter,
) -> Result<(), Failure> {
    let (mut receiver, mut sender) = connection.split();
    if let Some(gap) = gap {
        await_silence(&mut receiver, gap, args.timeout, reporter).await?;
    }
    let (answered, mut answers) = watch::channel(Answers { frames: 0, ended: false });
    let mut send = pin!(async {
        let bytes = outgoing.send(&mut sender, reporter).await?;
        reporter.sent(CONN, outgoing.files(), bytes).await;
        // The channel lives as long as the other branch, which ends it by saying so.
        let _ = answers.wait_for(|answers| answers.ended || answers.frames >= replies).await;
        sender.shutdown().await?;
        Ok(())
    });
    let mut receive = pin!(async {
        let mut intake = Intake::new(CONN, reporter, inbox.map(Inbox::delivery), args);
        loop {
            let failed = |error| args.failure(&error, who);
            if intake.bypass(&mut receiver).await.map_err(failed)? {
                continue;
            }
            match receiver.next().await.map_err(failed)? {
                Some(event) => {
                    let Some(header) = intake.take(event).await else { continue };
                    reporter.frame_end(CONN).await;
                    if !header.status.is_ping() {
                        answered.send_modify(|answers| answers.frames += 1);
                    }
                }
                None => {
                    answered.send_modify(|answers| answers.ended = true);
                    return Ok::<_, Failure>(answered.borrow().frames);
                }
            }
        }
    });
    let not_sent = |error: NotSent| match error {
        NotSent::Source(failure) => failure,
        NotSent::Connection(error) => Failure::send(&error, args.timeout),
    };
    let frames = tokio::select! {
        sent = &mut send => match sent {
            Ok(()) => receive.await?,
            Err(error) => {
                if matches!(error, NotSent::Connection(_)) {
                    // What the peer said before it went may be the reason.
                    if let Ok(Err(failure)) = timeout(LAST_WORDS, &mut receive).await
                        && failure.is_of_the_stream()
                    {
                        return Err(failure);
                    }
                }
                return Err(not_sent(error));
            }
        },
        received = &mut receive => {
            let frames = received?;
            send.await.map_err(not_sent)?;
            frames
        }
    };
    if frames < replies {
        return Err(Failure::closed(format!(
            "the peer ended its stream after {frames} of {replies} replies"
        )));
    }
    Ok(())
}

/// What is to happen before the frame is sent and before the stream ends.
#[derive(Clone, Copy)]
struct Wanted {
    /// Silence of the line.
    gap: Option<Duration>,
    /// Frames that come back.
    replies: u64,
    /// Whose silence it is, if there is nothing else.
    who: report::Peer,
}

/// What has come back so far.
struct Answers {
    /// Frames that are not pings.
    frames: u64,
    /// The peer ended its stream.
    ended: bool,
}

/// The one connection there is.
const CONN: u64 = 1;
/// Large enough that system calls do not matter.
const BUFFER: usize = 256 * 1024;
/// How long to listen to a peer that we can no longer send to.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often to warn of peers that are not served.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);
