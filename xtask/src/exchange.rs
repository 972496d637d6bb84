//! The exchange itself: the desktop's files to the device, the device's file to the desktop, and every digest
//! checked on both sides.

pub(crate) mod tls;

use std::{
    ffi::OsString,
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    frame::FrameLayout,
    payload::{self, Payload},
    qemu::{Device, Stack},
    relay::{Relay, Watch},
    screen::Screen,
    table::{printable, thousands},
    tej::{Event, Next, Tej},
};

/// The desktop's side: its command, and where progress is shown.
pub(crate) struct Desktop<'a> {
    pub(crate) tej: &'a Path,
    pub(crate) screen: &'a Screen,
}

/// What one exchange moved and what was wrong with it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) moved: Vec<Moved>,
    pub(crate) problems: Vec<Problem>,
    /// All frames as they were on the wire, in the direction of the payload.
    pub(crate) bytes: u64,
    /// From the first byte to the last sign that all was received.
    pub(crate) time: Duration,
    /// The device's stack afterwards, if it reported it.
    pub(crate) stack: Option<Stack>,
}

/// A file or a message that crossed.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) what: What,
    pub(crate) direction: Direction,
    pub(crate) bytes: u64,
    /// From its first to its last byte at the relay between the two.
    pub(crate) time: Option<Duration>,
    /// The SHA-256 that the device computed, if it computed one.
    pub(crate) device_sha256: Option<String>,
    /// Whether both sides agree on everything about it.
    pub(crate) intact: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// With its name as it can be shown.
    File(String),
    Message,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToDevice,
    ToDesktop,
}

/// Something that the two sides do not agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The content differs.
    Digest { what: What, direction: Direction, sent: String, received: String },
    /// Something else differs.
    Account(String),
}

/// Sends the files and a message to the device in one frame and holds its answer against what was sent. With `flip`
/// one bit in the middle of the largest file changes on the way.
///
/// # Errors
/// When the exchange does not come to its end, which a changed bit is no reason for.
pub(crate) fn send(
    desktop: &Desktop<'_>,
    device: &mut Device,
    payloads: &[Payload],
    message: &str,
    flip: bool,
) -> Result<Outcome> {
    let layout = FrameLayout::new(
        payloads.iter().map(|payload| (payload.name.as_str(), payload.size)),
        message.len() as u64,
    );
    let flip = match (flip, layout.middle_of_largest_file()) {
        (false, _) => None,
        (true, Some((_, position))) => Some(position),
        (true, None) => bail!("there is no bit to flip: every file is empty"),
    };
    // The first byte, then the start and the end of every payload.
    let marks = [1].into_iter().chain(spans(&layout).flat_map(|span| [span.start, span.end])).collect();
    let relay = Relay::start(device.address(), Watch { marks, flip, ..Watch::default() })?;
    let expected = Report::of(payloads, message);
    let mut arguments: Vec<OsString> = vec!["send".into(), relay.address().to_string().into()];
    arguments.extend(payloads.iter().map(|payload| payload.path.clone().into_os_string()));
    arguments.extend(["-m", message].map(OsString::from));
    // One, however many the device needs for all its lines: what comes after it is printed too, up to the end of the
    // stream, and that the device puts there once it has answered everything.
    arguments
        .extend(["--replies", "1", "--timeout", PATIENCE_ARGUMENT, "--json", "--digest"].map(OsString::from));
    arguments.extend(line_gap(device).map(OsString::from));

    let work = desktop.screen.transfer("send", "desktop → device", layout.size());
    let before = device.log().len();
    let mut tej = Tej::start(desktop.tej, arguments)?;
    let mut watchdog = Watchdog::new();
    let mut events = Vec::new();
    let mut answered = Instant::now();
    loop {
        match tej.next(POLL).map_err(|error| device.explain(&error))? {
            Next::Event(event) => {
                if event == Event::FrameEnd {
                    answered = Instant::now();
                }
                events.push(event);
            }
            Next::Quiet => {
                let alive = device.check().and_then(|()| watchdog.feed(relay.sent() + relay.returned()));
                alive.map_err(|error| device.explain(&error.context("sending to the device")))?;
            }
            Next::Done => break,
        }
        work.moved(relay.sent());
    }
    work.done(&format!("{} bytes, and the device has answered", thousands(relay.sent())));
    let stack = relay
        .port_to_target()
        .context("nothing was sent")
        .and_then(|port| device.await_closed(port, before))
        .map_err(|error| device.explain(&error))?;

    let report = Report::read(&events, payloads.len(), layout.size())
        .map_err(|error| device.explain(&error.context("the device's answer")))?;
    let passed = relay.passed();
    let times: Vec<_> = passed[1..]
        .chunks_exact(2)
        .map(|pair| pair[0].zip(pair[1]).map(|(start, end)| end - start))
        .collect();
    let mut outcome = expected.compare(&report);
    for (moved, time) in outcome.moved.iter_mut().zip(times) {
        moved.time = time;
    }
    outcome.bytes = relay.sent();
    outcome.stack = Some(stack);
    outcome.time = passed[0].map(|begun| answered.saturating_duration_since(begun)).unwrap_or_default();
    if relay.sent() != layout.size() {
        outcome.problems.push(Problem::Account(format!(
            "{} bytes crossed, and the frame has {}",
            thousands(relay.sent()),
            thousands(layout.size())
        )));
    }
    Ok(outcome)
}

/// What has `tej` wait until a device on a line has forgotten what was there before.
fn line_gap(device: &Device) -> impl Iterator<Item = &'static str> {
    device.is_on_a_line().then_some(["--line-gap", LINE_GAP]).into_iter().flatten()
}

/// The most bytes that the device takes for the lines of these files and of a message.
pub(crate) fn longest_answer(payloads: &[Payload]) -> usize {
    let line = |name: &str| LINE + name.len();
    payloads.iter().map(|payload| line(&printable(&payload.name))).sum::<usize>() + line("message")
}

/// The desktop waits for the device to dial it, to send its generated file, and to keep the connection alive.
pub(crate) struct Reception {
    tej: Tej,
    relay: Relay,
    events: Vec<Event>,
    file: Incoming,
    received: Option<Instant>,
}

impl Reception {
    /// Listens, with an empty `folder` for what comes. The device is to be booted with [`port`](Self::port), this
    /// size and this seed.
    pub(crate) fn open(desktop: &Desktop<'_>, folder: &Path, size: u64, seed: u64) -> Result<Self> {
        let file = Incoming::new(folder, size, seed)?;
        let mut arguments: Vec<OsString> =
            ["recv", "--listen", "127.0.0.1:0", "--frames"].map(OsString::from).into();
        arguments.push((1 + PINGS).to_string().into());
        arguments.extend(["--dir".into(), file.folder.clone().into_os_string()]);
        arguments.extend(["--timeout", PATIENCE_ARGUMENT, "--digest", "--json"].map(OsString::from));
        let (tej, address) = listen(desktop, arguments)?;
        let relay = Relay::start(address, Watch { marks: file.marks(), ..Watch::default() })?;
        Ok(Self { tej, relay, events: Vec::new(), file, received: None })
    }

    /// What the device has to dial.
    pub(crate) fn port(&self) -> u16 {
        self.relay.address().port()
    }

    /// Waits until the frame with the file has come.
    pub(crate) fn file(&mut self, desktop: &Desktop<'_>, device: &mut Device) -> Result<()> {
        let work = desktop.screen.transfer("receive", "device → desktop", self.file.size);
        self.collect(device, |reception| {
            work.moved(reception.relay.sent().min(reception.file.size));
            reception.received.is_some()
        })?;
        work.done(&format!("{DEVICE_FILE}, {} bytes", thousands(self.file.size)));
        Ok(())
    }

    /// Waits for the pings that show the connection alive, and verifies everything that came.
    pub(crate) fn finish(mut self, desktop: &Desktop<'_>, device: &mut Device) -> Result<Outcome> {
        let work = desktop.screen.work("receive", "pings that keep the connection alive");
        self.collect(device, |_| false)?;
        work.done(&format!("{PINGS} pings on the connection that the device keeps alive"));
        self.verify().map_err(|error| device.explain(&error))
    }

    /// Takes events until `enough` or the end of `tej recv`.
    fn collect(&mut self, device: &mut Device, mut enough: impl FnMut(&Self) -> bool) -> Result<()> {
        let mut watchdog = Watchdog::new();
        while !enough(self) {
            match self.tej.next(POLL).map_err(|error| device.explain(&error))? {
                Next::Event(event) => {
                    if event == Event::FrameEnd {
                        self.received.get_or_insert_with(Instant::now);
                    }
                    self.events.push(event);
                }
                Next::Quiet => {
                    let alive = device.check().and_then(|()| watchdog.feed(self.relay.sent()));
                    alive.map_err(|error| device.explain(&error.context("receiving from the device")))?;
                }
                Next::Done => break,
            }
        }
        Ok(())
    }

    fn verify(self) -> Result<Outcome> {
        let Some((first, pings)) = self.events.split_at_checked(FILE_FRAME_EVENTS) else {
            bail!("`tej recv` ended early, after {:?}", self.events);
        };
        let (conn, mut outcome) = self.file.verify(first)?;
        let ping = [Event::FrameStart { conn, status: PING, files: 0 }, empty_message(), Event::FrameEnd];
        ensure!(
            pings.chunks(ping.len()).eq(std::iter::repeat_n(&ping[..], PINGS)),
            "{PINGS} pings on the same connection were to follow, not {pings:?}"
        );
        outcome.time_file(&self.relay.passed(), self.received);
        outcome.bytes = self.relay.sent();
        Ok(outcome)
    }
}

/// Takes all events of a `tej` that receives from the device, and the time at which the last frame has come. `relayed` shows
/// how much was relayed, and says it, for whoever waits in vain.
fn collect(
    tej: &mut Tej,
    device: &mut Device,
    relayed: impl Fn() -> u64,
) -> Result<(Vec<Event>, Option<Instant>)> {
    let mut watchdog = Watchdog::new();
    let (mut events, mut received) = (Vec::new(), None);
    loop {
        match tej.next(POLL).map_err(|error| device.explain(&error))? {
            Next::Event(event) => {
                if event == Event::FrameEnd {
                    received = Some(Instant::now());
                }
                events.push(event);
            }
            Next::Quiet => {
                let alive = device.check().and_then(|()| watchdog.feed(relayed()));
                alive.map_err(|error| device.explain(&error.context("receiving from the device")))?;
            }
            Next::Done => return Ok((events, received)),
        }
        relayed();
    }
}

/// Starts a `tej recv` that listens, and gives where.
fn listen(desktop: &Desktop<'_>, arguments: Vec<OsString>) -> Result<(Tej, SocketAddr)> {
    let mut tej = Tej::start(desktop.tej, arguments)?;
    let address = match tej.next(START_LIMIT)? {
        Next::Event(Event::Listening { addr }) => {
            addr.parse().with_context(|| format!("`tej recv` listens on {addr}"))?
        }
        Next::Event(other) => bail!("`tej recv` began with {other:?}"),
        Next::Quiet => bail!("`tej recv` did not say where it listens"),
        Next::Done => bail!("`tej recv` ended at once"),
    };
    Ok((tej, address))
}

/// Asks a device that has nobody to dial for its generated file.
pub(crate) fn fetch(
    desktop: &Desktop<'_>,
    device: &mut Device,
    folder: &Path,
    size: u64,
    seed: u64,
) -> Result<Outcome> {
    let file = Incoming::new(folder, size, seed)?;
    let relay = Relay::start(device.address(), Watch { returned_marks: file.marks(), ..Watch::default() })?;
    let mut arguments: Vec<OsString> = vec!["send".into(), relay.address().to_string().into()];
    arguments.extend(["-m".into(), format!("send size={size} seed={seed}").into()]);
    arguments.extend(["--dir".into(), file.folder.clone().into_os_string()]);
    arguments
        .extend(["--replies", "1", "--timeout", PATIENCE_ARGUMENT, "--json", "--digest"].map(OsString::from));
    arguments.extend(line_gap(device).map(OsString::from));

    let work = desktop.screen.transfer("receive", "device → desktop", size);
    let mut tej = Tej::start(desktop.tej, arguments)?;
    let (mut events, received) = collect(&mut tej, device, || {
        work.moved(relay.returned().min(size));
        relay.returned()
    })?;
    // The request itself.
    events.retain(|event| !matches!(event, Event::Sent { .. }));
    work.done(&format!("{DEVICE_FILE}, {} bytes", thousands(size)));
    let (_, mut outcome) = file.verify(&events).map_err(|error| device.explain(&error))?;
    outcome.time_file(&relay.returned_passed(), received);
    outcome.bytes = relay.returned();
    Ok(outcome)
}

/// The device's generated file, which is to come into an empty folder.
struct Incoming {
    folder: PathBuf,
    size: u64,
    seed: u64,
}

impl Incoming {
    fn new(folder: &Path, size: u64, seed: u64) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self { folder: fs::canonicalize(folder)?, size, seed })
    }

    /// The positions of the frame's first byte and of the file's start and end, for [`Outcome::time_file`].
    fn marks(&self) -> Vec<u64> {
        let layout = FrameLayout::new([(DEVICE_FILE, self.size)], 0);
        let file = &layout.files[0];
        vec![1, file.start, file.end]
    }

    /// Holds the frame's events and the file that was stored against what was to come. Gives the number of the
    /// connection, too.
    fn verify(&self, frame: &[Event]) -> Result<(u64, Outcome)> {
        let [
            Event::FrameStart { conn, status: 0, files: 1 },
            Event::File { name, size, sha256, path },
            Event::Message { text: Some(text), size: message_size, sha256: message_sha256 },
            Event::FrameEnd,
        ] = frame
        else {
            bail!("the device's frame is not one file and a text with status 0: {frame:?}");
        };

        let expected = payload::digest_of_pattern(self.seed, self.size)?;
        let claim = text
            .strip_prefix(&format!("seed={} size={} sha256=", self.seed, self.size))
            .with_context(|| format!("the device's message is {text:?}"))?;
        let names = payload::listing(&self.folder)?;
        ensure!(names == [DEVICE_FILE], "{} is what {} holds", names.join(", "), self.folder.display());
        let stored = self.folder.join(DEVICE_FILE);
        let (stored_size, stored_sha256) = payload::digest_of(&stored)?;
        let path = path.as_deref().context("`tej` does not say where it put the file")?;
        ensure!(
            fs::canonicalize(path).is_ok_and(|path| path == stored),
            "`tej` says that it put the file at {}",
            path.display()
        );

        let what = What::File(DEVICE_FILE.to_owned());
        let mut problems = Vec::new();
        if name != DEVICE_FILE || *size != self.size || stored_size != self.size {
            problems.push(Problem::Account(format!(
                "{DEVICE_FILE} of {} bytes was to come: {} of {} bytes came, and {} bytes are on the disk",
                thousands(self.size),
                printable(name),
                thousands(*size),
                thousands(stored_size)
            )));
        }
        for received in [claim, sha256, &stored_sha256] {
            let problem = Problem::Digest {
                what: what.clone(),
                direction: Direction::ToDesktop,
                sent: expected.clone(),
                received: received.to_owned(),
            };
            if received != expected && !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        let message_problem = message_problem(text, *message_size, message_sha256);
        let message_intact = message_problem.is_none();
        let file_intact = problems.is_empty();
        problems.extend(message_problem);
        let moved = vec![
            Moved {
                what,
                direction: Direction::ToDesktop,
                bytes: self.size,
                time: None,
                device_sha256: Some(claim.to_owned()),
                intact: file_intact,
            },
            Moved {
                what: What::Message,
                direction: Direction::ToDesktop,
                bytes: *message_size,
                time: None,
                device_sha256: None,
                intact: message_intact,
            },
        ];
        Ok((*conn, Outcome { moved, problems, bytes: 0, time: Duration::ZERO, stack: None }))
    }
}

impl Outcome {
    /// Sets the times of a frame with one file. `passed` are those of [`Incoming::marks`], `received` is the frame's end.
    fn time_file(&mut self, passed: &[Option<Instant>], received: Option<Instant>) {
        let [begun, start, end] = passed else { return };
        if let Some(file) = self.moved.first_mut() {
            file.time = start.zip(*end).map(|(start, end)| end - start);
        }
        let time = begun.zip(received).map(|(begun, received)| received.saturating_duration_since(begun));
        self.time = time.unwrap_or_default();
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(name) => f.write_str(name),
            Self::Message => f.write_str("message"),
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToDevice => "desktop → device",
            Self::ToDesktop => "device → desktop",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest { what, direction, sent, received } => write!(
                f,
                "digest mismatch in {what} ({direction}): SHA-256 of what was sent {sent}, of what was received {received}"
            ),
            Self::Account(text) => f.write_str(text),
        }
    }
}

/// The device's answer, line by line: `<sha256> <size> <name>` for each file and `message <sha256> <size>`, the names
/// [printable].
#[derive(Debug, PartialEq, Eq)]
struct Report {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    what: What,
    size: u64,
    sha256: String,
}

impl Report {
    /// What the device is to answer.
    fn of(payloads: &[Payload], message: &str) -> Self {
        let files = payloads.iter().map(|payload| Entry {
            what: What::File(printable(&payload.name)),
            size: payload.size,
            sha256: payload.sha256.clone(),
        });
        let message = Entry {
            what: What::Message,
            size: message.len() as u64,
            sha256: payload::digest(message.as_bytes()),
        };
        Self { entries: files.chain([message]).collect() }
    }

    /// Takes it from the events of `tej send`, which must tell of one frame of ours with `files` files and `bytes`
    /// bytes, and of replies that have messages only.
    fn read(events: &[Event], files: usize, bytes: u64) -> Result<Self> {
        let mut text = String::new();
        let mut sent = 0;
        for event in events {
            match event {
                Event::Sent { files: sent_files, bytes: sent_bytes } => {
                    ensure!(
                        (*sent_files, *sent_bytes) == (files as u64, bytes),
                        "`tej send` counts {sent_files} files and {sent_bytes} bytes in its frame, not {files} and {bytes}"
                    );
                    sent += 1;
                }
                Event::Message { text: Some(part), size, sha256 } => {
                    ensure!(
                        message_problem(part, *size, sha256).is_none(),
                        "`tej send` gives a message's text, size and digest that do not fit together"
                    );
                    text.push_str(part);
                    if !text.is_empty() && !text.ends_with('\n') {
                        text.push('\n');
                    }
                }
                Event::FrameStart { files: 0, .. } | Event::FrameEnd => {}
                other => bail!("unexpected: {other:?}"),
            }
        }
        ensure!(sent == 1, "`tej send` reports {sent} frames sent, not 1");
        Ok(Self { entries: text.lines().map(Entry::parse).collect::<Result<_>>()? })
    }

    /// Holds the device's answer, `theirs`, against this one.
    fn compare(&self, theirs: &Self) -> Outcome {
        let mut outcome =
            Outcome { moved: Vec::new(), problems: Vec::new(), bytes: 0, time: Duration::ZERO, stack: None };
        for (index, entry) in self.entries.iter().enumerate() {
            let answer = theirs.entries.get(index);
            let problem = match answer {
                None => Some(Problem::Account(format!("the device did not account for {}", entry.what))),
                Some(answer) if (&answer.what, answer.size) != (&entry.what, entry.size) => {
                    Some(Problem::Account(format!(
                        "{} of {} bytes was sent, and the device received {} of {} bytes",
                        entry.what,
                        thousands(entry.size),
                        answer.what,
                        thousands(answer.size)
                    )))
                }
                Some(answer) if answer.sha256 != entry.sha256 => Some(Problem::Digest {
                    what: entry.what.clone(),
                    direction: Direction::ToDevice,
                    sent: entry.sha256.clone(),
                    received: answer.sha256.clone(),
                }),
                Some(_) => None,
            };
            outcome.moved.push(Moved {
                what: entry.what.clone(),
                direction: Direction::ToDevice,
                bytes: entry.size,
                time: None,
                device_sha256: answer.map(|answer| answer.sha256.clone()),
                intact: problem.is_none(),
            });
            outcome.problems.extend(problem);
        }
        for extra in theirs.entries.iter().skip(self.entries.len()) {
            outcome.problems.push(Problem::Account(format!(
                "the device accounts for {}, which was not sent",
                extra.what
            )));
        }
        outcome
    }
}

impl Entry {
    fn parse(line: &str) -> Result<Self> {
        let malformed = || format!("not a line of a report: {line:?}");
        ensure!(!line.contains(char::is_control), malformed());
        let (first, rest) = line.split_once(' ').with_context(malformed)?;
        let (second, last) = rest.split_once(' ').with_context(malformed)?;
        // No digest is spelled "message".
        let (what, sha256, size) = match first {
            "message" => (What::Message, second, last),
            sha256 => (What::File(last.to_owned()), sha256, second),
        };
        ensure!(sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit()), malformed());
        Ok(Self { what, size: size.parse().with_context(malformed)?, sha256: sha256.to_owned() })
    }
}

/// Ends a wait when nothing has moved for too long.
struct Watchdog {
    seen: u64,
    since: Instant,
}

impl Watchdog {
    fn new() -> Self {
        Self { seen: 0, since: Instant::now() }
    }

    /// `bytes` have moved so far.
    fn feed(&mut self, bytes: u64) -> Result<()> {
        if bytes != self.seen {
            *self = Self { seen: bytes, since: Instant::now() };
        }
        if self.since.elapsed() > PATIENCE {
            bail!("nothing has moved for {} s, after {} bytes", PATIENCE.as_secs(), thousands(bytes));
        }
        Ok(())
    }
}

/// What is wrong with the device's message if the size and the digest that were reported with it are not its text's.
fn message_problem(text: &str, size: u64, sha256: &str) -> Option<Problem> {
    let computed = payload::digest(text.as_bytes());
    if size != text.len() as u64 {
        return Some(Problem::Account(format!(
            "the device's message is reported with {} bytes, and its text has {}",
            thousands(size),
            thousands(text.len() as u64)
        )));
    }
    (sha256 != computed).then(|| Problem::Digest {
        what: What::Message,
        direction: Direction::ToDesktop,
        sent: computed,
        received: sha256.to_owned(),
    })
}

/// All payloads in the order of the wire.
fn spans(layout: &FrameLayout) -> impl Iterator<Item = &std::ops::Range<u64>> {
    layout.files.iter().chain([&layout.message])
}

fn empty_message() -> Event {
    Event::Message { size: 0, text: Some(String::new()), sha256: payload::digest(b"") }
}

/// The name that the device gives its generated file.
pub(crate) const DEVICE_FILE: &str = "device.bin";
/// The convention for keeping a connection alive.
const PING: u64 = 2;
/// How many of them are awaited.
const PINGS: usize = 2;
/// The events of the frame with the file: its start, the file, the message, its end.
const FILE_FRAME_EVENTS: usize = 4;
/// Bytes of a line of the device's answer beside the name: a digest, the longest size, two spaces and the line's end.
const LINE: usize = 64 + 20 + 3;
const POLL: Duration = Duration::from_millis(100);
const START_LIMIT: Duration = Duration::from_secs(10);
/// Longer than what `tej` is told, so that it has the chance to say itself what it was waiting for.
const PATIENCE: Duration = Duration::from_secs(75);
const PATIENCE_ARGUMENT: &str = "60";
/// Seconds: longer than the device's gap, which is one, also where this machine or the emulated one is late.
const LINE_GAP: &str = "2.5";

#[cfg(test)]
mod tests {
    use super::*;

    impl Entry {
        /// As the device writes it.
        fn line(&self) -> String {
            match &self.what {
                What::File(name) => format!("{} {} {name}\n", self.sha256, self.size),
                What::Message => format!("message {} {}\n", self.sha256, self.size),
            }
        }
    }

    const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn payload(name: &str, size: u64) -> Payload {
        Payload { path: name.into(), name: name.into(), size, sha256: payload::digest(name.as_bytes()) }
    }

    fn reply(text: &str) -> Vec<Event> {
        vec![
            Event::FrameStart { conn: 1, status: 0, files: 0 },
            Event::Message {
                size: text.len() as u64,
                text: Some(text.into()),
                sha256: payload::digest(text.as_bytes()),
            },
            Event::FrameEnd,
        ]
    }

    /// The events of a frame of one file and 100 bytes that is answered with `texts`.
    fn events(texts: &[&str]) -> Vec<Event> {
        let sent = [Event::Sent { files: 1, bytes: 100 }];
        sent.into_iter().chain(texts.iter().flat_map(|text| reply(text))).collect()
    }

    #[test]
    fn lines_of_a_report_are_read() {
        let file = Entry::parse(&format!("{HASH} 12 a b  c.txt")).unwrap();
        assert_eq!(file, Entry { what: What::File("a b  c.txt".into()), size: 12, sha256: HASH.into() });
        assert_eq!(Entry::parse(file.line().trim_end_matches('\n')).unwrap(), file);
        let message = Entry::parse(&format!("message {HASH} 5")).unwrap();
        assert_eq!(message, Entry { what: What::Message, size: 5, sha256: HASH.into() });
        let no_name = Entry::parse(&format!("{HASH} 0 ")).unwrap();
        assert_eq!(no_name.what, What::File(String::new()));
        for bad in
            ["", "x", "message", "message 12 5", &format!("{HASH} x a"), &format!("{HASH} 12"), "ab 1 a"]
        {
            assert!(Entry::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_true_report_leaves_no_problem_however_many_frames_it_takes() {
        let expected = Report::of(&[payload("a", 3)], "hi");
        let [file, message] = [expected.entries[0].line(), expected.entries[1].line()];
        for texts in [
            vec![format!("{file}{message}")],
            vec![file.clone(), message.clone()],
            vec![format!("{file}{}", message.trim_end())],
        ] {
            let texts: Vec<_> = texts.iter().map(String::as_str).collect();
            let outcome = expected.compare(&Report::read(&events(&texts), 1, 100).unwrap());
            assert_eq!(outcome.problems, []);
            assert!(outcome.moved.iter().all(|moved| moved.intact));
            assert_eq!(outcome.moved.len(), 2);
        }
    }

    #[test]
    fn no_answer_is_longer_than_the_longest() {
        let payloads = [payload("größe.txt", u64::MAX), payload("", u64::MAX)];
        let report = Report::of(&payloads, "hi");
        let lines: String = report.entries.iter().map(Entry::line).collect();
        assert!(lines.len() <= longest_answer(&payloads));
    }

    #[test]
    fn every_difference_is_a_problem() {
        let expected = Report::of(&[payload("a", 3)], "hi");
        let message = expected.entries[1].line();
        let digest = expected.entries[0].sha256.clone();
        let problems =
            |text: &str| expected.compare(&Report::read(&events(&[text]), 1, 100).unwrap()).problems;
        assert_eq!(
            problems(&format!("{HASH} 3 a\n{message}")),
            [Problem::Digest {
                what: What::File("a".into()),
                direction: Direction::ToDevice,
                sent: digest.clone(),
                received: HASH.into()
            }]
        );
        for other in [
            format!("{digest} 4 a\n{message}"),
            format!("{digest} 3 b\n{message}"),
            format!("{digest} 3 a\n"),
            format!("{digest} 3 a\n{message}{message}"),
        ] {
            let found = problems(&other);
            assert!(matches!(found.as_slice(), [Problem::Account(_)]), "{other}: {found:?}");
        }
        assert_eq!(problems("").len(), 2);
    }

    #[test]
    fn a_messages_size_and_digest_are_its_texts() {
        let digest = payload::digest(b"hi");
        assert_eq!(message_problem("hi", 2, &digest), None);
        assert!(matches!(message_problem("hi", 3, &digest), Some(Problem::Account(_))));
        let problem = message_problem("ho", 2, &digest);
        let Some(Problem::Digest { what: What::Message, direction: Direction::ToDesktop, sent, received }) =
            problem
        else {
            panic!("{problem:?}");
        };
        assert_eq!((sent, received), (payload::digest(b"ho"), digest));
    }

    #[test]
    fn events_that_do_not_belong_are_errors() {
        let good = events(&["x"]);
        assert!(Report::read(&good[1..], 1, 100).unwrap_err().to_string().contains("0 frames sent"));
        let text = format!("message {HASH} 5\n");
        assert!(Report::read(&events(&[&text]), 1, 99).unwrap_err().to_string().contains("100 bytes"));
        let mut with_file = events(&[&text]);
        with_file.insert(2, Event::File { name: "a".into(), size: 0, sha256: HASH.into(), path: None });
        assert!(Report::read(&with_file, 1, 100).unwrap_err().to_string().contains("unexpected"));
    }

    #[test]
    fn the_watchdog_barks_only_after_silence() {
        let mut watchdog = Watchdog::new();
        watchdog.feed(0).unwrap();
        watchdog.since -= PATIENCE + Duration::from_secs(1);
        watchdog.feed(1).unwrap();
        watchdog.since -= PATIENCE + Duration::from_secs(1);
        assert_eq!(watchdog.feed(1).unwrap_err().to_string(), "nothing has moved for 75 s, after 1 bytes");
    }
}
