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
    board::{Board, Link},
    log::{EMULATOR, Line, Log},
    process::{self, Guarded},
    workspace,
};

/// A board that runs until this is dropped.
pub(crate) struct Device {
    board: &'static Board,
    qemu: Guarded,
    log: Arc<Log>,
    addresses: Vec<SocketAddr>,
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
    pub(crate) board: &'static Board,
    pub(crate) qemu: &'a Path,
    pub(crate) elf: &'a Path,
    /// Whom a board with a network dials.
    pub(crate) dial: Option<Dial>,
    /// Where a board with a network listens.
    pub(crate) ports: &'a [u16],
    /// Whether the board's clock counts instructions, each of which is a nanosecond.
    pub(crate) counts_instructions: bool,
    /// Where the device finds the host's files.
    pub(crate) folder: Option<&'a Path>,
    /// Where the log is kept.
    pub(crate) log_file: &'a Path,
    /// Whether the log is shown too.
    pub(crate) verbose: bool,
}

/// Whom the device dials, and what it sends.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    /// The port of the desktop's loopback interface.
    pub(crate) port: u16,
    /// Size of the file that the device generates, in bytes.
    pub(crate) size: u64,
    /// The seed it generates it from.
    pub(crate) seed: u64,
    /// The fingerprint that the peer must have, for a device that speaks TLS.
    pub(crate) server: Option<String>,
}

impl<'a> Boot<'a> {
    /// A board that dials nobody and listens where all firmware does, with a clock of its own.
    pub(crate) fn new(board: &'static Board, qemu: &'a Path, elf: &'a Path, log_file: &'a Path) -> Self {
        let ports = &[GUEST_PORT];
        Self {
            board,
            qemu,
            elf,
            dial: None,
            ports,
            counts_instructions: false,
            folder: None,
            log_file,
            verbose: false,
        }
    }
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
            let names_a_port = |text: &str| PORT_TAKEN.iter().any(|words| text.contains(words));
            let lost_the_port = device.log.ended() && device.log.last(names_a_port).is_some();
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

    /// Waits until it serves.
    pub(crate) fn await_listening(&self) -> Result<()> {
        let listening =
            self.log.wait_for(0, BOOT_LIMIT, "that it listens", |text| text.contains("listening"));
        listening.map(drop).map_err(|error| self.explain(&error))
    }

    /// Where the desktop reaches the device's first listener, or the other end of its UART.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where the desktop reaches each of the device's listeners.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether it has a UART, and sees no connection begin or end.
    pub(crate) fn is_on_a_line(&self) -> bool {
        matches!(self.board.link, Link::Serial { .. })
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

    /// Waits until the device has dealt with the connection that came from `port`, or with a frame on its UART, to which
    /// it gives its last word with a report of its stack: the peak and the size, in bytes. `from` is a position in the log
    /// before that.
    pub(crate) fn await_closed(&self, port: u16, from: usize) -> Result<Stack> {
        match self.board.link {
            Link::Network { .. } => self.await_stack(&format!("{} closed", connection_from(port)), from),
            Link::Serial { .. } => self.await_stack("answered a frame", from),
        }
    }

    /// Waits until the device's file is with the peer that it dialed over TLS.
    pub(crate) fn await_delivered(&self) -> Result<Stack> {
        self.await_stack("delivered", 0)
    }

    /// Waits until the device has refused the peer that it dialed over TLS, which has this fingerprint.
    pub(crate) fn await_refusal(&self, fingerprint: &str) -> Result<Stack> {
        self.await_stack(&format!("not sent: another server: its fingerprint is {fingerprint}"), 0)
    }

    /// Waits for a line that starts with `closed`, and for the report behind it.
    fn await_stack(&self, closed: &str, from: usize) -> Result<Stack> {
        let (_, from) = self.log.wait_for(from, CLOSE_LIMIT, closed, |text| text.starts_with(closed))?;
        let (line, _) =
            self.log.wait_for(from, CLOSE_LIMIT, "its stack's peak", |text| Stack::parse(text).is_some())?;
        Stack::parse(&line.text).context("a stack report")
    }

    fn start(boot: &Boot<'_>, table: &Arc<Table>) -> Result<Self> {
        let ends = boot.ports.len().max(1);
        let addresses = (0..ends).map(|_| free_port()).collect::<Result<Vec<_>>>()?;
        let mut semihosting = "enable=on,target=native,arg=tej".to_owned();
        if let Some(Dial { port, size, seed, server }) = &boot.dial {
            semihosting += &format!(",arg=peer={GATEWAY}:{port},arg=size={size},arg=seed={seed}");
            if let Some(server) = server {
                semihosting += &format!(",arg=server={server}");
            }
        }
        let mut command = Command::new(boot.qemu);
        if let Some(folder) = boot.folder {
            command.current_dir(folder);
        }
        command.arg("-machine").args(boot.board.machine).args(["-display", "none", "-monitor", "none"]);
        command.args(["-semihosting-config", &semihosting]);
        match boot.board.link {
            Link::Network { controller } => {
                let mut forward = "user,id=n0".to_owned();
                for (address, port) in addresses.iter().zip(boot.ports) {
                    forward += &format!(",hostfwd=tcp:{address}-{GUEST}:{port}");
                }
                command.args(["-serial", "none", "-netdev", &forward]).args(controller);
            }
            Link::Serial { .. } => {
                let (host, port) = (addresses[0].ip(), addresses[0].port());
                let line = format!("socket,id=line,host={host},port={port},server=on,wait=off,nodelay=on");
                command.args(["-chardev", &line, "-serial", "chardev:line"]);
            }
        }
        if boot.counts_instructions {
            command.args(["-icount", "shift=0"]);
        }
        let mut qemu = Guarded::spawn(
            command
                .arg("-kernel")
                .arg(boot.elf)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        )?;
        let file = workspace::create(boot.log_file)?;
        let log = Arc::new(Log::new());
        let recorder =
            Arc::new(Recorder { log: Arc::clone(&log), file: Mutex::new(file), verbose: boot.verbose });
        let (stdout, stderr) = qemu.output()?;
        let errors = process::each_line(stderr, {
            let recorder = Arc::clone(&recorder);
            move |line| recorder.record(EMULATOR, line)
        });
        let table = Arc::clone(table);
        let reader = thread::spawn(move || {
            decode(stdout, &table, &recorder);
            // What QEMU has to say about its end belongs before it.
            let _ = errors.join();
            recorder.log.end();
        });
        Ok(Self { board: boot.board, qemu, log, addresses, readers: vec![reader] })
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

/// The firmware's static configuration: its own address, and the desktop's as QEMU's user network shows it.
const GUEST: &str = "10.0.2.15";
const GATEWAY: &str = "10.0.2.2";
/// Where the firmware of all boards with a network listens.
const GUEST_PORT: u16 = 7077;
/// Clients that it serves at a time.
pub(crate) const CLIENTS: usize = 2;
/// What QEMU says when another program has it: of a network, and of a UART.
const PORT_TAKEN: [&str; 2] = ["host forwarding rule", "Address already in use"];
const PORT_ATTEMPTS: usize = 5;
const FIRST_WORDS: Duration = Duration::from_secs(30);
const BOOT_LIMIT: Duration = Duration::from_secs(30);
/// The device gives a peer that does not end its direction 5 s.
const CLOSE_LIMIT: Duration = Duration::from_secs(15);
const LAST_WORDS: usize = 12;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::board::AN385;

    #[test]
    fn stack_reports_are_found_in_a_line() {
        assert_eq!(Stack::parse("stack peak 2312 of 61440 B"), Some(Stack { peak: 2312, size: 61440 }));
        assert_eq!(Stack::parse("done, stack peak 1 of 2 B"), Some(Stack { peak: 1, size: 2 }));
        for not_one in ["", "stack peak", "stack peak x of 2 B", "stack peak 1 by 2", "the peak 1 of 2"] {
            assert_eq!(Stack::parse(not_one), None, "{not_one}");
        }
    }

    #[test]
    fn another_port_is_tried_where_one_is_taken() {
        let fake = Fake::new(
            "taken",
            "echo >&2 \"qemu-system-arm: -netdev user: Could not set up host forwarding rule 'x'\"; exit 1",
        );
        let error = fake.boot().unwrap_err();
        assert_eq!(error.to_string(), "the port that was chosen for the device was taken 5 times in a row");
        let mut rules = fake.rules();
        assert_eq!(rules.len(), PORT_ATTEMPTS);
        rules.dedup();
        assert!(rules.len() > 1, "always the same port: {rules:?}");
    }

    #[test]
    fn an_emulator_that_fails_otherwise_is_not_started_again() {
        let fake = Fake::new("broken", "echo >&2 'unsupported machine type'; exit 1");
        let error = fake.boot().unwrap_err().to_string();
        assert!(error.starts_with("the device stopped before it logged anything at all"), "{error}");
        assert!(error.ends_with("unsupported machine type"), "{error}");
        assert_eq!(fake.rules().len(), 1);
    }

    /// A program that notes how it was called and goes on with a script instead of being QEMU.
    struct Fake(PathBuf);

    impl Fake {
        fn new(name: &str, script: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            let program = folder.join("qemu");
            // By a child: a file that a thread of ours writes while another one starts a child is busy for a moment.
            let write = Command::new("sh")
                .args(["-c", "printf %s \"$1\" > \"$0\" && chmod 700 \"$0\""])
                .arg(&program)
                .arg(format!("#!/bin/sh\necho \"$*\" >> \"$0.calls\"\n{script}\n"))
                .status();
            assert!(write.unwrap().success());
            std::fs::write(folder.join("elf"), elf_with_defmt()).unwrap();
            Self(folder)
        }

        fn boot(&self) -> Result<()> {
            let [qemu, elf, log] = ["qemu", "elf", "log"].map(|name| self.0.join(name));
            let dial = Some(Dial { port: 1, size: 0, seed: 0, server: None });
            let boot = Boot { dial, ..Boot::new(&AN385, &qemu, &elf, &log) };
            Device::boot(&boot).map(drop)
        }

        /// The arguments of each call.
        fn rules(&self) -> Vec<String> {
            let calls = std::fs::read_to_string(self.0.join("qemu.calls")).unwrap();
            calls.lines().map(str::to_owned).collect()
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// As little as counts as a firmware: an empty `.defmt` section, and the symbols that give the log's format.
    fn elf_with_defmt() -> Vec<u8> {
        const HEADER: u32 = 52;
        let names = b"\0.defmt\0_defmt_version_ = 4\0_defmt_encoding_ = rzcobs\0\0\0"; // whole words
        let name = |text: &[u8]| {
            let position = names.windows(text.len()).position(|window| window == text).unwrap();
            u32::try_from(position).unwrap()
        };
        let absolute = 0xfff1_0010; // a global symbol of no section
        let symbols =
            [0, 0, 0, 0, name(b"_defmt_version_"), 0, 0, absolute, name(b"_defmt_enc"), 0, 0, absolute];
        let names_length = u32::try_from(names.len()).unwrap();
        let symbols_at = HEADER + names_length;
        let symbols_length = u32::try_from(symbols.len() * 4).unwrap();
        let sections: [[u32; 10]; 4] = [
            [0; 10],
            [name(b".defmt"), 1, 0, 0, HEADER, 0, 0, 0, 1, 0],
            [0, 2, 0, 0, symbols_at, symbols_length, 3, 1, 1, 16],
            [0, 3, 0, 0, HEADER, names_length, 0, 0, 1, 0],
        ];
        let mut elf = b"\x7fELF\x01\x01\x01".to_vec();
        elf.resize(16, 0);
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
        // An executable for Arm, version 1, without an entry point and segments; then where the sections are.
        elf.extend(words(&[2 | 40 << 16, 1, 0, 0, symbols_at + symbols_length, 0]));
        // Sizes of this header, of segments and of sections; four of the latter, and the fourth has the names.
        elf.extend(words(&[HEADER, 40 << 16, 4 | 3 << 16]));
        elf.extend(names);
        elf.extend(words(&symbols));
        elf.extend(words(sections.as_flattened()));
        elf
    }

    #[test]
    fn a_file_that_is_no_firmware_is_refused_before_qemu_starts() {
        let [qemu, elf, log] =
            ["/nonexistent/qemu-system-arm", "/dev/null", "/nonexistent/log"].map(Path::new);
        let boot = Boot::new(&AN385, qemu, elf, log);
        let error = Device::boot(&boot).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "the firmware's log format");
    }
}
