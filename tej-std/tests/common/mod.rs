//! Running the `tej` command and reading its JSON.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// A `tej` process; ended with the test.
pub(crate) struct Tej {
    child: Child,
    lines: BufReader<Box<dyn Read>>,
    /// What has been read so far.
    pub(crate) events: Vec<Value>,
    _watchdog: Watchdog,
}

impl Tej {
    pub(crate) fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tej"));
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs to the end.
    pub(crate) fn run(arguments: &[&str]) -> Output {
        Self::command(arguments).output().unwrap()
    }

    /// Starts in the background; its output is read as JSON.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::spawn(&mut Self::command(arguments))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        command.stdout(Stdio::piped());
        let mut child = loop {
            match command.spawn() {
                // A program that was just copied: a child of another test holds it open until it runs its own.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                    thread::sleep(Duration::from_millis(10));
                }
                spawned => break spawned.unwrap(),
            }
        };
        let lines = BufReader::new(Box::new(child.stdout.take().unwrap()) as Box<dyn Read>);
        let watchdog = Watchdog::new(&child);
        Self { child, lines, events: Vec::new(), _watchdog: watchdog }
    }

    /// Waits for the `listening` event and returns the address.
    pub(crate) fn listening(&mut self) -> String {
        let event = self.wait_for("listening");
        event["addr"].as_str().unwrap().to_owned()
    }

    /// Reads events up to the next of this kind.
    pub(crate) fn wait_for(&mut self, kind: &str) -> Value {
        self.next(kind).unwrap_or_else(|| panic!("ended before {kind}: {:?}", self.events))
    }

    /// As [`wait_for`](Self::wait_for), but `None` if it ends first.
    pub(crate) fn next(&mut self, kind: &str) -> Option<Value> {
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line).unwrap();
            if line.is_empty() {
                return None;
            }
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
            self.events.push(event.clone());
            if event["event"] == kind {
                return Some(event);
            }
        }
    }

    /// Reads events up to the end of the next file, and returns where it was stored or why it was not.
    pub(crate) fn wait_for_file(&mut self) -> Result<String, String> {
        let event = self.wait_for("file");
        match (event["path"].as_str(), event["refused"].as_str()) {
            (Some(path), None) => Ok(path.to_owned()),
            (None, Some(why)) => Err(why.to_owned()),
            _ => panic!("neither stored nor refused: {event}"),
        }
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Closes our end of its standard output.
    pub(crate) fn close_output(&mut self) {
        let (ours, _) = io::pipe().unwrap();
        self.lines = BufReader::new(Box::new(ours));
    }

    /// Waits for its end, without reading any more of its output.
    pub(crate) fn must_end_soon(&mut self) -> ExitStatus {
        for _ in 0..1000 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("still running after 10 s");
    }

    /// Waits for its end and returns all events.
    pub(crate) fn finish(mut self) -> (Vec<Value>, ExitStatus) {
        let mut rest = Vec::new();
        self.lines.read_to_end(&mut rest).unwrap();
        self.events.extend(json_lines(&rest));
        let status = self.child.wait().unwrap();
        (std::mem::take(&mut self.events), status)
    }
}

impl Drop for Tej {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Kills a process after five minutes, so that no test waits for it for ever, unless this is dropped before.
struct Watchdog {
    _kept: mpsc::Sender<()>,
}

impl Watchdog {
    fn new(child: &Child) -> Self {
        let (kept, dropped) = mpsc::channel();
        let id = child.id().to_string();
        thread::spawn(move || {
            if dropped.recv_timeout(Duration::from_secs(300)) == Err(RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").args(["-KILL", &id]).status();
            }
        });
        Self { _kept: kept }
    }
}

/// A frame of these files, without a message, as it goes over the wire.
pub(crate) fn frame(files: &[(&[u8], &[u8])]) -> Vec<u8> {
    frame_with(0, files, b"")
}

/// A frame of these files with a message.
pub(crate) fn frame_with(status: u8, files: &[(&[u8], &[u8])], message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | status, 1];
    frame.extend((files.len() as u64).to_be_bytes());
    for (name, bytes) in files {
        frame.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
        frame.extend(*name);
        frame.extend((bytes.len() as u64).to_be_bytes());
        frame.extend(*bytes);
    }
    frame.extend((message.len() as u64).to_be_bytes());
    frame.extend(message);
    frame
}

/// Every line must be one JSON object.
pub(crate) fn json_lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line:?}: {e}"))).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&sha256_bytes(bytes))
}

pub(crate) fn sha256_bytes(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
