//! The device: firmware on a board that QEMU emulates, and its log.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use defmt_decoder::{DecodeError, Table};

use crate::{
    log::{Line, Log},
    process::{self, Guarded},
};

/// A board that runs until this is dropped.
pub(crate) struct Device {
    qemu: Guarded,
    log: Arc<Log>,
    address: SocketAddr,
    readers: Vec<JoinHandle<()>>,
}

/// The device's stack, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stack {
    /// The most that was ever used.
    pub(crate) peak: u64,
    pub(crate) size: u64,
}

/// What the firmware is told when it boots.
pub(crate) struct Boot<'a> {
    pub(crate) qemu: &'a Path,
    pub(crate) elf: &'a Path,
    /// The port of the desktop's loopback interface that the device dials.
    pub(crate) peer_port: u16,
    /// Size of the file that the device generates, in bytes.
    pub(crate) size: u64,
    /// The seed it generates it from.
    pub(crate) seed: u64,
    /// Where the log is kept.
    pub(crate) log_file: &'a Path,
    /// Whether the log is shown too.
    pub(crate) verbose: bool,
}

impl Device {
    /// Boots it and waits for its first words.
    pub(crate) fn boot(boot: &Boot<'_>) -> Result<Self> {
        let elf = std::fs::read(boot.elf).with_context(|| format!("cannot read {}", boot.elf.display()))?;
        let table = Table::parse(&elf)
            .context("the firmware's log format")?
            .context("the firmware has no defmt log: there is no .defmt section")?;
        let table = Arc::new(table);
        for _ in 0..PORT_ATTEMPTS {
            let mut device = Self::start(boot, &table)?;
            let awake = device.log.wait_for(0, FIRST_WORDS, "anything at all", |text| !text.is_empty());
            let lost_the_port =
                device.log.ended() && device.log.last(|text| text.contains("host forwarding rule")).is_some();
            if lost_the_port {
                continue;
            }
            if let Err(error) = awake.and_then(|_| device.check()) {
                return Err(device.explain(&error));
            }
            return Ok(device);
        }
        bail!("the port that was chosen for the device was taken {PORT_ATTEMPTS} times in a row");
    }

    /// Where the desktop reaches the device's listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// An error when the device has stopped.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.qemu.status()? {
            Some(status) => bail!("the device stopped: QEMU ended with {status}"),
            None => Ok(()),
        }
    }

    /// Adds the device's last words to an error.
    pub(crate) fn explain(&self, error: &anyhow::Error) -> anyhow::Error {
        let lines: Vec<_> = self.log.tail(LAST_WORDS).iter().map(Line::to_string).collect();
        let lines = if lines.is_empty() { "(it logged nothing)".to_owned() } else { lines.join("\n") };
        let stopped = if self.log.ended() { "The device has stopped. Its" } else { "The device's" };
        anyhow::anyhow!("{error:#}\n\n{stopped} last words:\n{lines}")
    }

    /// Waits until the device has dealt with the connection that came from `port`, to which it gives its last word with a
    /// report of its stack: the peak and the size, in bytes. `from` is a position in the log before that.
    pub(crate) fn await_closed(&self, port: u16, from: usize) -> Result<Stack> {
        let closed = format!("{} closed", connection_from(port));
        let (_, from) = self.log.wait_for(from, CLOSE_LIMIT, &closed, |text| text.starts_with(&closed))?;
        let (line, _) =
            self.log.wait_for(from, CLOSE_LIMIT, "its stack's peak", |text| Stack::parse(text).is_some())?;
        Stack::parse(&line.text).context("a stack report")
    }

    fn start(boot: &Boot<'_>, table: &Arc<Table>) -> Result<Self> {
        let address = free_port()?;
        let mut qemu = Guarded::spawn(
            Command::new(boot.qemu)
                .args(["-machine", "mps2-an385", "-display", "none", "-serial", "none", "-monitor", "none"])
                .arg("-semihosting-config")
                .arg(format!(
                    "enable=on,target=native,arg=tej,arg=peer={GATEWAY}:{},arg=size={},arg=seed={}",
                    boot.peer_port, boot.size, boot.seed
                ))
                .arg("-netdev")
                .arg(format!("user,id=n0,hostfwd=tcp:{address}-{GUEST}:{GUEST_PORT}"))
                .args(["-net", "nic,netdev=n0,model=lan9118", "-kernel"])
                .arg(boot.elf)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        )?;
        let file = File::create(boot.log_file)
            .with_context(|| format!("cannot write {}", boot.log_file.display()))?;
        let log = Arc::new(Log::new());
        let recorder =
            Arc::new(Recorder { log: Arc::clone(&log), file: Mutex::new(file), verbose: boot.verbose });
        let stdout = qemu.child().stdout.take().context("a pipe from QEMU")?;
        let stderr = qemu.child().stderr.take().context("a pipe from QEMU")?;
        let errors = process::each_line(stderr, {
            let recorder = Arc::clone(&recorder);
            move |line| recorder.record("QEMU", line)
        });
        let table = Arc::clone(table);
        let reader = thread::spawn(move || {
            decode(stdout, &table, &recorder);
            // What QEMU has to say about its end belongs before it.
            let _ = errors.join();
            recorder.log.end();
        });
        Ok(Self { qemu, log, address, readers: vec![reader] })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.qemu.end();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Stack {
    /// `stack peak 2312 of 61440 B`, wherever it stands in the line.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_once("stack peak ")?.1.split(' ');
        let peak = words.next()?.parse().ok()?;
        let size = words.next().filter(|word| *word == "of").and_then(|_| words.next())?;
        Some(Self { peak, size: size.parse().ok()? })
    }
}

/// How the device calls a client's connection: QEMU keeps the client's port.
pub(crate) fn connection_from(port: u16) -> String {
    format!("connection {GATEWAY}:{port}")
}

struct Recorder {
    log: Arc<Log>,
    file: Mutex<File>,
    verbose: bool,
}

impl Recorder {
    fn record(&self, level: &'static str, text: String) {
        let line = self.log.push(level, text);
        // The log in memory is the one that counts; a full disk must not stop the demo.
        let _ = writeln!(self.file.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
        if self.verbose {
            println!("    {line}");
        }
    }
}

/// Turns the device's compressed log into lines until its end.
fn decode(mut source: impl Read, table: &Table, recorder: &Recorder) {
    let mut decoder = table.new_stream_decoder();
    let mut buffer = [0; 4096];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => decoder.received(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        }
        loop {
            match decoder.decode() {
                Ok(frame) => {
                    let level = frame.level().map_or("", |level| match level.as_str() {
                        "trace" => "TRACE",
                        "debug" => "DEBUG",
                        "info" => "INFO",
                        "warn" => "WARN",
                        "error" => "ERROR",
                        _ => "?",
                    });
                    recorder.record(level, frame.display_message().to_string());
                }
                Err(DecodeError::UnexpectedEof) => break,
                Err(DecodeError::Malformed) => {
                    recorder.record("?", "(a log line that could not be decoded)".to_owned());
                    if !table.encoding().can_recover() {
                        return;
                    }
                }
            }
        }
    }
}

/// A port that was free a moment ago: QEMU has to open it itself, so another program may get there first.
fn free_port() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free loopback port")?;
    Ok(listener.local_addr()?)
}

/// The firmware's static configuration: its own address, the desktop's as QEMU's user network shows it, and its port.
const GUEST: &str = "10.0.2.15";
const GATEWAY: &str = "10.0.2.2";
const GUEST_PORT: u16 = 7077;
const PORT_ATTEMPTS: usize = 5;
const FIRST_WORDS: Duration = Duration::from_secs(30);
/// The device gives a peer that does not end its direction 5 s.
const CLOSE_LIMIT: Duration = Duration::from_secs(15);
const LAST_WORDS: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_reports_are_found_in_a_line() {
        assert_eq!(Stack::parse("stack peak 2312 of 61440 B"), Some(Stack { peak: 2312, size: 61440 }));
        assert_eq!(Stack::parse("done, stack peak 1 of 2 B"), Some(Stack { peak: 1, size: 2 }));
        for not_one in ["", "stack peak", "stack peak x of 2 B", "stack peak 1 by 2", "the peak 1 of 2"] {
            assert_eq!(Stack::parse(not_one), None, "{not_one}");
        }
    }

    #[test]
    fn a_file_that_is_no_firmware_is_refused_before_qemu_starts() {
        let boot = Boot {
            qemu: Path::new("/nonexistent/qemu-system-arm"),
            elf: Path::new("/dev/null"),
            peer_port: 1,
            size: 0,
            seed: 0,
            log_file: Path::new("/nonexistent/log"),
            verbose: false,
        };
        let error = Device::boot(&boot).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "the firmware's log format");
    }
}
