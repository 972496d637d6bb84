//! What the command prints: JSON for scripts, lines and progress bars for people.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use serde::Serialize;
use tej_std::tls::rustls::AlertDescription;
use tej_std::tls::{Fingerprint, HandshakeError};
use tej_std::{DecodeError, DecodeErrorKind, FrameHeader, ReceiveError, SendError};
use tokio::sync::{mpsc, oneshot};

use crate::Stop;
use crate::bars;
use crate::shutdown::Shutdown;
use crate::text::{SafeJson, os_error, printable, printable_bytes, printable_lines};

/// Prints events, and remembers whether one of them was a failure.
///
/// Lines are written by a thread of their own, because whoever reads them may be slow, or stop: that must delay the
/// connection whose events they are, which is what the `await` of each method does, and nobody else, least of
/// all a signal.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    json: bool,
    failed: Arc<AtomicBool>,
    /// `None` once finished.
    lines: Mutex<Option<mpsc::Sender<Line>>>,
    written: Mutex<Option<oneshot::Receiver<()>>>,
    shutdown: Shutdown,
    bars: Option<MultiProgress>,
    visible: Arc<AtomicUsize>,
    total: Option<Arc<Total>>,
}

impl Reporter {
    pub(crate) fn start(json: bool, progress: ShowProgress, shutdown: Shutdown) -> Self {
        let wanted = progress == ShowProgress::Auto && !json && std::io::stderr().is_terminal();
        let bars = wanted.then(|| MultiProgress::with_draw_target(bars::target()));
        let failed = Arc::new(AtomicBool::new(false));
        let (lines, queue) = mpsc::channel(QUEUE);
        let (done, written) = oneshot::channel();
        let writer = Writer { bars: bars.clone(), failed: Arc::clone(&failed), shutdown: shutdown.clone() };
        std::thread::spawn(move || {
            writer.run(queue);
            // Nobody may be waiting any more.
            let _ = done.send(());
        });
        let total = bars.clone().map(|bars| Arc::new(Total::new(bars)));
        let shared = Shared {
            json,
            failed,
            lines: Mutex::new(Some(lines)),
            written: Mutex::new(Some(written)),
            shutdown,
            bars,
            visible: Arc::new(AtomicUsize::new(0)),
            total,
        };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// The request to end that this run listens to. Losing standard output makes it, too.
    pub(crate) fn shutdown(&self) -> &Shutdown {
        &self.shared.shutdown
    }

    pub(crate) async fn listening(&self, addr: SocketAddr) {
        self.print(&Report::Listening { addr }, || format!("listening on {addr}")).await;
    }

    pub(crate) async fn identity(&self, path: &Path, fingerprint: Fingerprint, created: bool) {
        let (path, fingerprint) = (path.to_string_lossy(), fingerprint.to_string());
        let report = Report::Identity { path: &path, fingerprint: &fingerprint, created };
        self.print(&report, || fingerprint.clone()).await;
    }

    pub(crate) async fn frame_start(&self, conn: u64, header: FrameHeader) {
        let FrameHeader { version, files, .. } = header;
        let status = header.status.value();
        self.print(&Report::FrameStart { conn, status, version, files }, || {
            let kind = if header.status.is_ping() { "ping" } else { "frame" };
            let plural = if files == 1 { "" } else { "s" };
            format!("#{conn} {kind}: status {status}, {files} file{plural}")
        })
        .await;
    }

    pub(crate) async fn file(&self, conn: u64, file: &FileReport<'_>) {
        let FileReport { name, size, sha256, fate } = file;
        let text = std::str::from_utf8(name).ok();
        let (path, refused) = match fate {
            Fate::Discarded => (None, None),
            Fate::Stored(path) => (Some(path.to_string_lossy()), None),
            Fate::Refused(why) => (None, Some(why.as_str())),
        };
        if refused.is_some() {
            self.set_failed();
        }
        let report = Report::File {
            conn,
            name: text,
            name_hex: if text.is_none() { Some(hex(name)) } else { None },
            size: *size,
            sha256: sha256.as_deref(),
            path: path.as_deref(),
            refused,
        };
        self.print(&report, || {
            let mut line = format!("#{conn}   {}  {size} B", printable_bytes(name));
            if let Some(digest) = sha256 {
                line += &format!("  sha256 {digest}");
            }
            if let Some(path) = &path {
                line += &format!("  -> {}", printable(path));
            }
            if let Some(why) = refused {
                line += &format!("  REFUSED: {}", printable(why));
            }
            line
        })
        .await;
    }

    pub(crate) async fn message(&self, conn: u64, size: u64, text: Option<&str>, sha256: Option<&str>) {
        self.print(&Report::Message { conn, size, text, sha256 }, || {
            let mut line = match text {
                Some("") => format!("#{conn}   no message"),
                Some(text) => format!(
                    "#{conn}   message, {size} B: {}",
                    printable_lines(text, &format!("#{conn}   | "))
                ),
                None => format!("#{conn}   message, {size} B, not shown"),
            };
            if let Some(digest) = sha256 {
                line += &format!("  sha256 {digest}");
            }
            line
        })
        .await;
    }

    pub(crate) async fn frame_end(&self, conn: u64) {
        self.print(&Report::FrameEnd { conn }, || format!("#{conn} end of frame")).await;
    }

    pub(crate) async fn sent(&self, conn: u64, files: u64, bytes: u64) {
        self.print(&Report::Sent { conn, files, bytes }, || {
            let plural = if files == 1 { "" } else { "s" };
            format!("#{conn} sent: {files} file{plural}, {bytes} bytes on the wire")
        })
        .await;
    }

    pub(crate) async fn error(&self, conn: u64, error: &Failure) {
        self.set_failed();
        let Failure { kind, offset, detail, is_unconnected } = error;
        let conn = (!is_unconnected).then_some(conn);
        if self.shared.json {
            self.print(&Report::Error { conn, offset: *offset, kind, detail }, String::new).await;
        } else if let Some(conn) = conn {
            self.warn(&format!("#{conn} {kind}: {detail}")).await;
        } else {
            self.warn(detail).await;
        }
    }

    /// Reports what a command failed of, if it did.
    pub(crate) async fn settle(&self, conn: u64, outcome: Result<(), Failure>) -> Result<(), Stop> {
        match outcome {
            Ok(()) => Ok(()),
            Err(failure) => {
                self.clear_bars();
                self.error(conn, &failure).await;
                Err(Stop::Failed)
            }
        }
    }

    /// As [`settle`](Self::settle), for what has no connections.
    pub(crate) async fn settle_alone(&self, outcome: Result<(), Failure>) -> Result<(), Stop> {
        self.settle(0, outcome.map_err(Failure::unconnected)).await
    }

    /// A line for people, on standard error.
    pub(crate) async fn warn(&self, line: &str) {
        self.write(Line::Err(format!("tej: {}", printable(line)))).await;
    }

    /// A line for people, on standard output.
    pub(crate) async fn say(&self, line: &str) {
        self.write(Line::Out(line.as_bytes().to_vec())).await;
    }

    /// Text on standard output as it is; false when nobody took it. Waits until it is written, so that only one piece of
    /// it is in memory.
    pub(crate) async fn text(&self, text: Vec<u8>) -> bool {
        let (done, written) = oneshot::channel();
        self.write(Line::Text(text, done)).await;
        tokio::select! {
            written = written => written.is_ok(),
            () = self.patience_is_over() => false,
        }
    }

    /// So many bytes are to go out from now on, in so many files: with that the total tells how long they will take.
    pub(crate) fn expect(&self, files: u64, bytes: u64) {
        if let Some(total) = &self.shared.total {
            total.expect(files, bytes);
        }
    }

    /// As [`progress`](Self::progress), for bytes that nobody [expected](Self::expect).
    pub(crate) fn unexpected(&self, name: &str, len: u64) -> Progress {
        if let Some(total) = &self.shared.total {
            total.unexpected(len);
        }
        self.progress(name, len)
    }

    /// A bar for `len` bytes under way; it shows only on a terminal, and only the first few of many. All of them count in
    /// the total, which shows once there are several.
    pub(crate) fn progress(&self, name: &str, len: u64) -> Progress {
        let total = self.shared.total.clone();
        if let Some(total) = &total {
            total.begun();
        }
        let hidden = |total| Progress { bar: ProgressBar::hidden(), visible: None, total };
        // Bars of small things would only flicker.
        let Some(bars) = self.shared.bars.as_ref().filter(|_| len >= SMALL) else { return hidden(total) };
        let visible = Arc::clone(&self.shared.visible);
        if visible.fetch_add(1, Ordering::Relaxed) >= MAX_BARS {
            visible.fetch_sub(1, Ordering::Relaxed);
            return hidden(total);
        }
        // Above the total, which is the last.
        let bar = bars.insert(0, bars::of_file(name, len));
        Progress { bar, visible: Some(visible), total }
    }

    /// Waits until everything is written, however slow the reader; not for long once the process was asked to end.
    pub(crate) async fn finish(&self) {
        lock(&self.shared.lines).take();
        let written = lock(&self.shared.written).take();
        if let Some(written) = written {
            tokio::select! {
                // An error here: the thread is gone, and everything it could write is written.
                _ = written => {}
                () = self.patience_is_over() => {}
            }
        }
        self.clear_bars();
    }

    /// Takes the bars away for good: what follows are the last words.
    fn clear_bars(&self) {
        if let Some(bars) = &self.shared.bars {
            let _ = bars.clear();
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
    }

    fn set_failed(&self) {
        self.shared.failed.store(true, Ordering::Relaxed);
    }

    async fn print(&self, report: &Report<'_>, text: impl FnOnce() -> String) {
        if !self.shared.json {
            return self.write(Line::Out(text().into_bytes())).await;
        }
        let mut line = Vec::new();
        // Writing into memory cannot fail, and every report is a plain structure.
        let _ = report.serialize(&mut serde_json::Serializer::with_formatter(&mut line, SafeJson));
        self.write(Line::Out(line)).await;
    }

    async fn write(&self, line: Line) {
        let lines = lock(&self.shared.lines).clone();
        if let Some(lines) = lines {
            tokio::select! {
                // An error here: the writer is gone because standard output is, and the request to end is made.
                _ = lines.send(line) => {}
                () = self.patience_is_over() => {}
            }
        }
    }

    /// Whoever reads us may take all the time there is, but for the last lines.
    async fn patience_is_over(&self) {
        self.shared.shutdown.requested().await;
        tokio::time::sleep(LAST_LINES).await;
    }
}

/// A progress bar that makes room for another when it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    visible: Option<Arc<AtomicUsize>>,
    total: Option<Arc<Total>>,
}

impl Progress {
    pub(crate) fn inc(&self, n: u64) {
        self.bar.inc(n);
        if let Some(total) = &self.total {
            total.bar.inc(n);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(total) = &self.total {
            total.ended();
        }
        if let Some(visible) = &self.visible {
            self.bar.finish_and_clear();
            visible.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What came and went in all, on a line of its own once that is more than one thing.
#[derive(Debug)]
struct Total {
    bars: MultiProgress,
    bar: ProgressBar,
    /// Those that were announced.
    files: AtomicU64,
    /// No more will be announced.
    has_end: AtomicBool,
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Total {
    fn new(bars: MultiProgress) -> Self {
        let bar = ProgressBar::hidden().with_style(bars::total_style(false));
        bar.set_length(0);
        Self {
            bars,
            bar,
            files: AtomicU64::new(0),
            has_end: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        }
    }

    fn expect(&self, files: u64, bytes: u64) {
        self.has_end.store(true, Ordering::Relaxed);
        self.bar.set_style(bars::total_style(true));
        self.files.fetch_add(files, Ordering::Relaxed);
        self.bar.inc_length(bytes);
        // The wait for a peer says nothing of its speed.
        self.bar.reset_elapsed();
        self.bar.reset_eta();
    }

    fn unexpected(&self, bytes: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bar.inc_length(bytes);
    }

    fn begun(&self) {
        if self.begun.fetch_add(1, Ordering::Relaxed) == 1 {
            self.bars.add(self.bar.clone());
            self.say();
        }
    }

    fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        self.say();
    }

    fn say(&self) {
        let files = self.files.load(Ordering::Relaxed);
        // A long message has a line as a file has, and is none.
        let ended = self.ended.load(Ordering::Relaxed).min(files);
        self.bar.set_message(if self.has_end.load(Ordering::Relaxed) {
            format!("{ended} of {files} file{}", plural(files))
        } else {
            format!("{ended} file{}", plural(ended))
        });
    }
}

fn plural(number: u64) -> &'static str {
    if number == 1 { "" } else { "s" }
}

/// Whether bars are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShowProgress {
    /// On a terminal, and not with --json
    #[default]
    Auto,
    /// Nowhere
    Never,
}

/// A line to print, without its end.
#[derive(Debug)]
enum Line {
    Out(Vec<u8>),
    Err(String),
    /// Lines with their ends, and whom to tell once they are written.
    Text(Vec<u8>, oneshot::Sender<()>),
}

/// The thread that prints.
struct Writer {
    bars: Option<MultiProgress>,
    failed: Arc<AtomicBool>,
    shutdown: Shutdown,
}

impl Writer {
    fn run(self, mut queue: mpsc::Receiver<Line>) {
        while let Some(line) = queue.blocking_recv() {
            let print = || match &line {
                Line::Out(line) => {
                    let mut out = std::io::stdout().lock();
                    out.write_all(line).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush())
                }
                Line::Err(line) => {
                    // Without standard error there is nobody to tell.
                    let _ = writeln!(std::io::stderr(), "{line}");
                    Ok(())
                }
                Line::Text(text, _) => {
                    let mut out = std::io::stdout().lock();
                    out.write_all(text).and_then(|()| out.flush())
                }
            };
            let written = match &self.bars {
                Some(bars) => bars.suspend(print),
                None => print(),
            };
            if let Err(error) = written {
                self.failed.store(true, Ordering::Relaxed);
                if error.kind() != std::io::ErrorKind::BrokenPipe {
                    crate::complain(&format!("standard output: {error}"));
                }
                self.shutdown.request();
                return;
            }
            if let Line::Text(_, done) = line {
                // Whoever waited may have lost patience.
                let _ = done.send(());
            }
        }
    }
}

/// A file that has been received to its last byte.
#[derive(Debug)]
pub(crate) struct FileReport<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) size: u64,
    pub(crate) sha256: Option<String>,
    pub(crate) fate: Fate<'a>,
}

#[derive(Debug)]
pub(crate) enum Fate<'a> {
    Discarded,
    Stored(&'a Path),
    Refused(String),
}

/// What a peer has to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// It takes what we send, which may keep it busy.
    Receives,
    /// It answers that, too, and may be a device on a line that was left in mid-frame.
    Answers,
    /// It only sends.
    Sends,
}

/// An error as the command reports it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: &'static str,
    pub(crate) offset: Option<u64>,
    pub(crate) detail: String,
    /// There was no connection that it could be of.
    is_unconnected: bool,
}

impl Failure {
    pub(crate) fn new(kind: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, offset: None, detail: detail.into(), is_unconnected: false }
    }

    pub(crate) fn io(what: &str, error: &std::io::Error) -> Self {
        Self::new("io", format!("{what}: {}", os_error(error)))
    }

    /// As [`io`](Self::io), for what was to be made at `path`.
    pub(crate) fn making(path: &Path, error: &std::io::Error) -> Self {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        match directory {
            Some(directory) if error.kind() == std::io::ErrorKind::NotFound && !directory.exists() => {
                Self::new("io", format!("the directory {} does not exist", directory.display()))
            }
            _ => Self::io(&path.display().to_string(), error),
        }
    }

    /// Nothing was connected to yet.
    pub(crate) fn unconnected(self) -> Self {
        Self { is_unconnected: true, ..self }
    }

    pub(crate) fn source(detail: impl Into<String>) -> Self {
        Self::new("source", detail)
    }

    pub(crate) fn closed(detail: impl Into<String>) -> Self {
        Self::new("closed", detail)
    }

    /// The peer did not do `what` for as long as --timeout says.
    fn silence(what: &str, peer: Peer, timeout: Duration) -> Self {
        let seconds = timeout.as_secs_f64();
        let excuse = match peer {
            Peer::Receives | Peer::Answers => " (it may be busy with what it has)",
            Peer::Sends => "",
        };
        let advice = match peer {
            Peer::Answers => "; if HOST:PORT leads to a UART, --line-gap 1.5 may help",
            Peer::Receives | Peer::Sends => "",
        };
        let what = format!("the peer {what} for {seconds} s{excuse}; {TIMEOUT} allows more{advice}");
        Self::new("timeout", what)
    }

    pub(crate) fn receive(error: &ReceiveError, peer: Peer, timeout: Duration) -> Self {
        match error {
            ReceiveError::Decode(error) => Self::of_peer(*error),
            ReceiveError::Timeout => Self::silence("sent nothing", peer, timeout),
            ReceiveError::FrameTimeout => {
                Self::new("timeout", format!("{error}; --frame-timeout allows more"))
            }
            ReceiveError::TooSlow => Self::new("timeout", format!("{error}; --min-rate allows less")),
            ReceiveError::Io(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                Self::closed("the peer reset the connection")
            }
            ReceiveError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Self::closed(
                "the connection was cut off: it ended without the peer's word (TLS close_notify); what came before is \
                 whole, but there may have been more",
            ),
            ReceiveError::Io(error) => match HandshakeError::of(error) {
                Some(refused) => Self::handshake(&refused),
                None => Self::new("io", error.to_string()),
            },
            error => Self::new("io", error.to_string()),
        }
    }

    /// A handshake that failed, with what to do about it.
    pub(crate) fn handshake(error: &HandshakeError) -> Self {
        let advice = match error {
            HandshakeError::Mismatch(_) => {
                "if it has a new identity, ask its owner for the fingerprint, not over this connection, and give that \
                 with --peer; if not, somebody else answers"
            }
            HandshakeError::NoCertificate => "it must give --identity FILE, too",
            HandshakeError::NotTls => "it must encrypt, too: with --peer and the fingerprint of this side",
            HandshakeError::Refused(AlertDescription::CertificateRequired) => {
                "give --identity FILE, and have the peer give --peer with what `tej identity FILE` prints"
            }
            HandshakeError::Refused(AlertDescription::CertificateUnknown) => {
                "have it give --peer with what `tej identity FILE` prints for our --identity"
            }
            HandshakeError::Timeout => &format!("{TIMEOUT} allows more"),
            HandshakeError::Closed => "a listener does with --identity",
            _ => return Self::new("tls", error.to_string()),
        };
        Self::new("tls", format!("{error}: {advice}"))
    }

    /// Whether it says what is wrong with what came in, rather than that no more comes.
    pub(crate) fn is_of_the_stream(&self) -> bool {
        self.offset.is_some() || self.kind == "tls"
    }

    /// A fault in what a peer sent, which may have meant to speak TLS.
    fn of_peer(error: DecodeError) -> Self {
        let mut failure = Self::from(error);
        failure.detail += match (error.kind, error.offset, error.value) {
            (DecodeErrorKind::BadStartBit, 0, TLS_ALERT) => "; the peer speaks TLS: give --peer FINGERPRINT",
            (DecodeErrorKind::BadStartBit, 0, TLS_HANDSHAKE) => "; the peer speaks TLS: give --identity FILE",
            _ => "",
        };
        failure
    }

    pub(crate) fn send(error: &SendError, timeout: Duration) -> Self {
        match error {
            SendError::Timeout => {
                Self::silence("took nothing of what is sent to it", Peer::Receives, timeout)
            }
            SendError::Closed => Self::closed("the peer closed the connection before it had everything"),
            SendError::Source(error) => Self::source(error.to_string()),
            error => Self::new("io", error.to_string()),
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self {
            kind: error.kind.name(),
            offset: Some(error.offset),
            detail: error.to_string(),
            is_unconnected: false,
        }
    }
}

/// The JSON lines; a contract with scripts.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Report<'a> {
    Listening {
        addr: SocketAddr,
    },
    Identity {
        path: &'a str,
        fingerprint: &'a str,
        created: bool,
    },
    FrameStart {
        conn: u64,
        status: u8,
        version: u8,
        files: u32,
    },
    File {
        conn: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name_hex: Option<String>,
        size: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        sha256: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        refused: Option<&'a str>,
    },
    Message {
        conn: u64,
        size: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sha256: Option<&'a str>,
    },
    FrameEnd {
        conn: u64,
    },
    Sent {
        conn: u64,
        files: u64,
        bytes: u64,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        conn: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
        kind: &'a str,
        detail: &'a str,
    },
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is inside is taken or cloned in one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The option that says how long a peer may be silent, by both of its names.
pub(crate) const TIMEOUT: &str = "--timeout (or --idle-timeout)";
/// What a record of TLS begins with.
const TLS_ALERT: u64 = 0x15;
const TLS_HANDSHAKE: u64 = 0x16;
/// Lines that may wait to be written; then the connections wait.
const QUEUE: usize = 64;
/// How long the last lines may take to be written once the process was asked to end.
const LAST_LINES: Duration = Duration::from_secs(1);
/// Bytes below which a transfer gets no progress bar.
const SMALL: u64 = 4 << 20;
/// More bars than that nobody can follow.
const MAX_BARS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_names_what_would_allow_more() {
        let (second, peer) = (Duration::from_secs(1), Peer::Receives);
        for (failure, texts) in [
            (Failure::receive(&ReceiveError::Timeout, peer, second), ["sent nothing for 1 s", "--timeout"]),
            (Failure::receive(&ReceiveError::Timeout, peer, second), ["busy", "--idle-timeout"]),
            (
                Failure::receive(&ReceiveError::FrameTimeout, peer, second),
                ["over one frame", "--frame-timeout"],
            ),
            (Failure::receive(&ReceiveError::TooSlow, peer, second), ["too slowly", "--min-rate"]),
            (Failure::send(&SendError::Timeout, second), ["took nothing", "for 1 s"]),
            (Failure::send(&SendError::Timeout, second), ["took nothing", "--idle-timeout"]),
        ] {
            assert_eq!(failure.kind, "timeout");
            assert!(texts.iter().all(|text| failure.detail.contains(text)), "{}", failure.detail);
        }
        // Whoever has only to send is not busy with what we sent.
        let silent = Failure::receive(&ReceiveError::Timeout, Peer::Sends, second);
        assert!(!silent.detail.contains("busy"), "{}", silent.detail);
    }
}
