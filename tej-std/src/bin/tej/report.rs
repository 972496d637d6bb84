//! What the command prints: JSON for scripts, lines and progress bars for people.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;
use tej_std::{DecodeError, FrameHeader, ReceiveError, SendError};
use tokio::sync::Notify;

use crate::text::{SafeJson, printable, printable_bytes, printable_lines};

/// Prints events, and remembers whether one of them was a failure.
#[derive(Debug)]
pub(crate) struct Reporter {
    json: bool,
    failed: AtomicBool,
    /// Standard output was closed: nobody reads us any more.
    closed: Notify,
    bars: Option<MultiProgress>,
}

impl Reporter {
    pub(crate) fn new(json: bool) -> Self {
        let bars = (!json && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self { json, failed: AtomicBool::new(false), closed: Notify::new(), bars }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Waits until standard output is found to be closed.
    pub(crate) async fn output_closed(&self) {
        self.closed.notified().await;
    }

    pub(crate) fn listening(&self, addr: SocketAddr) {
        self.print(&Report::Listening { addr }, || format!("listening on {addr}"));
    }

    pub(crate) fn frame_start(&self, conn: u64, header: FrameHeader) {
        let FrameHeader { version, files, .. } = header;
        let status = header.status.value();
        self.print(&Report::FrameStart { conn, status, version, files }, || {
            let kind = if header.status.is_ping() { "ping" } else { "frame" };
            let plural = if files == 1 { "" } else { "s" };
            format!("#{conn} {kind}: status {status}, {files} file{plural}")
        });
    }

    pub(crate) fn file(&self, conn: u64, file: &FileReport<'_>) {
        let FileReport { name, size, sha256, fate } = file;
        let text = std::str::from_utf8(name).ok();
        let (path, refused) = match fate {
            Fate::Discarded => (None, None),
            Fate::Stored(path) => (Some(path.to_string_lossy()), None),
            Fate::Refused(why) => (None, Some(why.as_str())),
        };
        if refused.is_some() {
            self.failed.store(true, Ordering::Relaxed);
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
        });
    }

    pub(crate) fn message(&self, conn: u64, size: u64, text: Option<&str>, sha256: Option<&str>) {
        self.print(&Report::Message { conn, size, text, sha256 }, || {
            let mut line = match text {
                Some("") => format!("#{conn}   no message"),
                Some(text) => format!("#{conn}   message, {size} B: {}", printable_lines(text)),
                None => format!("#{conn}   message, {size} B, not shown"),
            };
            if let Some(digest) = sha256 {
                line += &format!("  sha256 {digest}");
            }
            line
        });
    }

    pub(crate) fn frame_end(&self, conn: u64) {
        self.print(&Report::FrameEnd { conn }, || format!("#{conn} end of frame"));
    }

    pub(crate) fn sent(&self, conn: u64, files: u64, bytes: u64) {
        self.print(&Report::Sent { conn, files, bytes }, || {
            let plural = if files == 1 { "" } else { "s" };
            format!("#{conn} sent: {files} file{plural}, {bytes} bytes on the wire")
        });
    }

    pub(crate) fn error(&self, conn: u64, error: &Failure) {
        self.failed.store(true, Ordering::Relaxed);
        let Failure { kind, offset, detail } = error;
        if self.json {
            self.print(&Report::Error { conn, offset: *offset, kind, detail }, String::new);
        } else {
            self.warn(&format!("#{conn} {kind}: {detail}"));
        }
    }

    /// A line for people, on standard error.
    pub(crate) fn warn(&self, line: &str) {
        self.suspend(|| eprintln!("tej: {}", printable(line)));
    }

    /// A line for people, on standard output.
    pub(crate) fn say(&self, line: &str) {
        self.write(line.as_bytes());
    }

    /// A bar for `len` bytes under way; it shows only on a terminal. Bars of small things would only flicker.
    pub(crate) fn progress(&self, name: &str, len: u64) -> ProgressBar {
        let Some(bars) = self.bars.as_ref().filter(|_| len >= SMALL) else { return ProgressBar::hidden() };
        let style = ProgressStyle::with_template(
            "{msg:30!} {bar:30} {bytes:>11} / {total_bytes:11} {bytes_per_sec:>13} {eta:>5}",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar =
            bars.add(ProgressBar::new(len).with_style(style).with_message(printable(name).into_owned()));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }

    /// Clears what is left of the bars.
    pub(crate) fn finish(&self) {
        if let Some(bars) = &self.bars {
            let _ = bars.clear();
        }
    }

    fn print(&self, report: &Report<'_>, text: impl FnOnce() -> String) {
        if !self.json {
            return self.write(text().as_bytes());
        }
        let mut line = Vec::new();
        // Writing into memory cannot fail, and every report is a plain structure.
        let _ = report.serialize(&mut serde_json::Serializer::with_formatter(&mut line, SafeJson));
        self.write(&line);
    }

    fn write(&self, line: &[u8]) {
        let written = self.suspend(|| {
            let mut out = std::io::stdout().lock();
            out.write_all(line).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush())
        });
        if written.is_err() {
            self.failed.store(true, Ordering::Relaxed);
            self.closed.notify_one();
        }
    }

    fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.suspend(print),
            None => print(),
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

/// An error as the command reports it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: &'static str,
    pub(crate) offset: Option<u64>,
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(kind: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, offset: None, detail: detail.into() }
    }

    pub(crate) fn io(what: &str, error: &std::io::Error) -> Self {
        Self::new("io", format!("{what}: {error}"))
    }

    pub(crate) fn source(detail: impl Into<String>) -> Self {
        Self::new("source", detail)
    }

    pub(crate) fn closed(detail: impl Into<String>) -> Self {
        Self::new("closed", detail)
    }

    pub(crate) fn timeout(timeout: Duration) -> Self {
        Self::new("timeout", format!("no byte moved for {} s; --timeout allows more", timeout.as_secs_f64()))
    }

    pub(crate) fn receive(error: &ReceiveError, timeout: Duration) -> Self {
        match error {
            ReceiveError::Decode(error) => (*error).into(),
            ReceiveError::Timeout => Self::timeout(timeout),
            ReceiveError::Io(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                Self::closed("the peer reset the connection")
            }
            error => Self::new("io", error.to_string()),
        }
    }

    pub(crate) fn send(error: &SendError, timeout: Duration) -> Self {
        match error {
            SendError::Timeout => Self::timeout(timeout),
            SendError::Closed => Self::closed("the peer closed the connection before it had everything"),
            SendError::Source(error) => Self::source(error.to_string()),
            error => Self::new("io", error.to_string()),
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self { kind: error.kind.name(), offset: Some(error.offset), detail: error.to_string() }
    }
}

/// The JSON lines; a contract with scripts.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Report<'a> {
    Listening {
        addr: SocketAddr,
    },
    FrameStart {
        conn: u64,
        status: u8,
        version: u8,
        files: u64,
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
        conn: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
        kind: &'a str,
        detail: &'a str,
    },
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes below which a transfer gets no progress bar.
const SMALL: u64 = 4 << 20;
