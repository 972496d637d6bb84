//! The real `tej` command as a child, and the events it prints.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    cargo,
    process::{self, Guarded},
    screen::Screen,
    workspace::Workspace,
};

/// A running `tej … --json`.
pub(crate) struct Tej {
    child: Guarded,
    lines: Receiver<String>,
    complaints: Arc<Mutex<String>>,
    reader_of_complaints: Option<JoinHandle<()>>,
    name: String,
}

/// One line of its output, as the command's contract has it. The fields are those that are looked at here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Listening { addr: String },
    Identity { fingerprint: String },
    FrameStart { conn: u64, status: u64, files: u64 },
    File { name: String, size: u64, sha256: String, path: Option<PathBuf> },
    Message { size: u64, text: Option<String>, sha256: String },
    FrameEnd,
    Sent { files: u64, bytes: u64 },
}

/// What [`Tej::next`] found.
pub(crate) enum Next {
    Event(Event),
    /// Nothing yet.
    Quiet,
    /// The command is done and all is well.
    Done,
}

/// Builds the command as a user would.
pub(crate) fn build(workspace: &Workspace, screen: &Screen) -> Result<PathBuf> {
    let mut command = workspace.cargo();
    command.args(["build", "--locked", "--release", "-p", "tej-std", "--features", "cli", "--bin", "tej"]);
    let work = screen.work("build", "tej, the desktop's command");
    let built = cargo::build(command, &workspace.demo().join("build-tej.log"), &work)?;
    let program = built.program().context("tej")?.to_path_buf();
    work.done("tej, the desktop's command");
    Ok(program)
}

impl Tej {
    pub(crate) fn start(program: &Path, arguments: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Guarded::spawn(&mut command)?;
        let (stdout, stderr) = child.output()?;
        let (sender, lines) = mpsc::channel();
        // A receiver that is gone has lost its interest.
        let _ = process::each_line(stdout, move |line| drop(sender.send(line)));
        let complaints = Arc::new(Mutex::new(String::new()));
        let reader_of_complaints = process::each_line(stderr, {
            let complaints = Arc::clone(&complaints);
            move |line| {
                let mut all = complaints.lock().unwrap_or_else(PoisonError::into_inner);
                all.push_str(&line);
                all.push('\n');
            }
        });
        let verb =
            command.get_args().next().map(|verb| verb.to_string_lossy().into_owned()).unwrap_or_default();
        let name = format!("`tej {verb}`");
        Ok(Self { child, lines, complaints, reader_of_complaints: Some(reader_of_complaints), name })
    }

    /// The next event, waiting at most `limit` for it.
    ///
    /// # Errors
    /// An `error` event, a line that is no event, and an exit code other than 0.
    pub(crate) fn next(&mut self, limit: Duration) -> Result<Next> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => match Event::parse(&line) {
                Ok(event) => Ok(Next::Event(event)),
                Err(error) => Err(self.explain(&error)),
            },
            Err(RecvTimeoutError::Timeout) => Ok(Next::Quiet),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait(EXIT_LIMIT)?;
                if status.success() {
                    return Ok(Next::Done);
                }
                Err(self.explain(&anyhow::anyhow!("{status}")))
            }
        }
    }

    fn explain(&mut self, error: &anyhow::Error) -> anyhow::Error {
        // Its reasons may still be in the pipe.
        self.child.end();
        if let Some(reader) = self.reader_of_complaints.take() {
            let _ = reader.join();
        }
        let complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        match complaints.trim() {
            "" => anyhow::anyhow!("{}: {error:#}", self.name),
            said => anyhow::anyhow!("{}: {error:#}\n{said}", self.name),
        }
    }
}

impl Event {
    /// Parses one line.
    ///
    /// # Errors
    /// When it is no event of the contract, lacks a field, or is an `error` event or a file's `refused`.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(line).with_context(|| format!("not an event: {line}"))?;
        let number =
            |field: &str| value[field].as_u64().with_context(|| format!("no number `{field}` in {line}"));
        let text = |field: &str| {
            value[field].as_str().map(str::to_owned).with_context(|| format!("no text `{field}` in {line}"))
        };
        Ok(match value["event"].as_str() {
            Some("listening") => Self::Listening { addr: text("addr")? },
            Some("identity") => Self::Identity { fingerprint: text("fingerprint")? },
            Some("frame_start") => {
                Self::FrameStart { conn: number("conn")?, status: number("status")?, files: number("files")? }
            }
            Some("file") => {
                if let Some(why) = value["refused"].as_str() {
                    bail!("{} was refused: {why}", value["name"]);
                }
                let path = value["path"].as_str().map(PathBuf::from);
                Self::File { name: text("name")?, size: number("size")?, sha256: text("sha256")?, path }
            }
            Some("message") => Self::Message {
                size: number("size")?,
                text: value["text"].as_str().map(str::to_owned),
                sha256: text("sha256")?,
            },
            Some("frame_end") => Self::FrameEnd,
            Some("sent") => Self::Sent { files: number("files")?, bytes: number("bytes")? },
            Some("error") => {
                let offset =
                    value["offset"].as_u64().map(|offset| format!(" at byte {offset}")).unwrap_or_default();
                bail!("{}{offset}: {}", text("kind")?, text("detail")?);
            }
            _ => bail!("not an event: {line}"),
        })
    }
}

/// Between the end of its output and its exit.
const EXIT_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_lines_are_understood() {
        let parse = |line| Event::parse(line).unwrap();
        assert_eq!(
            parse(r#"{"event":"listening","addr":"127.0.0.1:41234"}"#),
            Event::Listening { addr: "127.0.0.1:41234".into() }
        );
        assert_eq!(
            parse(r#"{"event":"identity","path":"me.pem","fingerprint":"7c1d","created":true}"#),
            Event::Identity { fingerprint: "7c1d".into() }
        );
        assert_eq!(
            parse(r#"{"event":"frame_start","conn":1,"status":20,"version":1,"files":1}"#),
            Event::FrameStart { conn: 1, status: 20, files: 1 }
        );
        assert_eq!(
            parse(r#"{"event":"file","conn":1,"name":"a\u202e.txt","size":2,"sha256":"ab","path":"/tmp/a"}"#),
            Event::File {
                name: "a\u{202e}.txt".into(),
                size: 2,
                sha256: "ab".into(),
                path: Some(PathBuf::from("/tmp/a"))
            }
        );
        assert_eq!(
            parse(r#"{"event":"message","conn":1,"size":0,"sha256":"e3"}"#),
            Event::Message { size: 0, text: None, sha256: "e3".into() }
        );
        assert_eq!(parse(r#"{"event":"frame_end","conn":1}"#), Event::FrameEnd);
        assert_eq!(
            parse(r#"{"event":"sent","conn":1,"files":2,"bytes":123456}"#),
            Event::Sent { files: 2, bytes: 123_456 }
        );
    }

    #[test]
    fn errors_and_refusals_are_errors() {
        let error = |line| Event::parse(line).unwrap_err().to_string();
        assert_eq!(
            error(r#"{"event":"error","conn":1,"offset":0,"kind":"bad_start_bit","detail":"it is 0"}"#),
            "bad_start_bit at byte 0: it is 0"
        );
        assert_eq!(error(r#"{"event":"error","conn":1,"kind":"timeout","detail":"30 s"}"#), "timeout: 30 s");
        assert_eq!(
            error(r#"{"event":"file","conn":1,"name":"..","size":1,"sha256":"","refused":"leads outside"}"#),
            "\"..\" was refused: leads outside"
        );
        assert!(error("listening on 127.0.0.1:1").contains("not an event"));
        assert!(error(r#"{"event":"file","conn":1,"name":"a","size":1}"#).contains("no text `sha256`"));
        assert!(error(r#"{"event":"news"}"#).contains("not an event"));
    }
}
