//! `cargo xtask bench qemu`: what TEJ costs on a device, beside the bare TCP that it runs on.
//!
//! The device is `examples/qemu-bench`, one image with both. This is the desktop's side of both, which takes no part in what is
//! compared: frames are made before the clock starts.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tej_core::{Encoder, MIN_FRAME_LEN, Status};

use crate::{
    board::AN385,
    document,
    figure::{self, Figure, median, rounded},
    firmware::{self, Image, Program},
    qemu::{Boot, Device},
    screen::Screen,
    setup::{self, Consent, Tools},
    workspace::Workspace,
};

/// Measure what TEJ costs on an emulated device, beside the bare TCP of embassy-net in the same image.
///
/// Files go to the device and come from it, and messages of 32 bytes there and back: over bare TCP and over TEJ in turn, by
/// sockets of one kind with rings of one size. Rates are medians of all rounds, and a ratio is that of two. A second run counts
/// instructions instead of time, which does not depend on how busy the machine is.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench qemu                            all of it, into docs/benchmarks.md: a minute
  cargo xtask bench qemu --size 2 --rounds 3        a quick look; nothing is stored
  cargo xtask bench qemu --json > qemu.jsonl        one object per figure

The exit code is 0 when everything could be measured, whether the targets are met or not.")]
pub(crate) struct Options {
    /// MiB of the file. Nothing is stored for another size than 16.
    #[arg(long, value_name = "MIB", default_value_t = SIZE, value_parser = clap::value_parser!(u32).range(1..=256))]
    size: u32,

    /// Rounds; in each the payload begins elsewhere in a word, so four are a turn. Nothing is stored for fewer than 8.
    #[arg(long, value_name = "N", default_value_t = ROUNDS, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// One JSON object per figure on standard output, and nothing else there.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    consent: Consent,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let screen = if options.json { Screen::beside_results() } else { Screen::new(false) };
    screen.headline("Device benchmark");
    let tools = setup::prepare(workspace, &AN385.needs(), &options.consent, &screen)?;
    let bench = Bench::build(workspace, &tools, &screen)?;
    let mut figures = bench.times(options.size << 20, options.rounds, &screen)?;
    let counted = [Job::Down(COUNTED), Job::DownCopied(COUNTED), Job::Up(COUNTED), Job::Echo(COUNTED_ECHOES)];
    figures.extend(bench.instructions(&counted, options.rounds, &screen)?);

    figure::print(&figures, options.json)?;
    if options.size == SIZE && options.rounds >= ROUNDS {
        let path = workspace.root().join("docs").join("benchmarks.md");
        let machine = format!(
            "{}, {}, the firmware by {}",
            super::machine(workspace),
            setup::qemu_version(tools.qemu(AN385.emulator)?),
            tools.bare_metal()?.describe()
        );
        document::store(&path, "bench qemu", &section(&machine, options.rounds, &figures))?;
        screen.note("stored", "docs/benchmarks.md");
    }
    Ok(ExitCode::SUCCESS)
}

/// Does everything once, without regard to how long it takes, and fails when a connection occupies more than it may.
pub(crate) fn check(workspace: &Workspace, tools: &Tools, screen: &Screen) -> Result<()> {
    let bench = Bench::build(workspace, tools, screen)?;
    ensure!(bench.image.warnings == 0, "{} warnings in {PACKAGE}", bench.image.warnings);
    for figure in bench.times(64 << 10, 1, screen)? {
        let is_of_memory = figure.row.starts_with("ram/");
        ensure!(!is_of_memory || figure.passes() == Some(true), "{}: {} B", figure.row, figure.value);
    }
    for figure in bench.instructions(&[Job::Down(64 << 10), Job::Echo(10)], 1, screen)? {
        // More than any program needs, and less than one that never sleeps.
        let is_plausible = (0.1..100_000.0).contains(&figure.value);
        ensure!(is_plausible, "{}: {} {}", figure.row, figure.value, figure.unit);
    }
    Ok(())
}

/// The firmware, built, and what it runs on.
pub(crate) struct Bench<'a> {
    workspace: &'a Workspace,
    qemu: &'a Path,
    image: Image,
}

impl<'a> Bench<'a> {
    pub(crate) fn build(workspace: &'a Workspace, tools: &'a Tools, screen: &Screen) -> Result<Self> {
        let image = firmware::compile(workspace, PACKAGE, Program::Main, AN385.target, tools, screen)?;
        Ok(Self { workspace, qemu: tools.qemu(AN385.emulator)?, image })
    }

    /// How long everything takes, for a file of `size` bytes; and what a connection occupies.
    fn times(&self, size: u32, rounds: u32, screen: &Screen) -> Result<Vec<Figure>> {
        let device = self.boot(false)?;
        let mut peers = Peers::connect(&device)?;
        let mut figures = Vec::new();
        for job in [Job::Down(size), Job::DownCopied(size), Job::Up(size), Job::Echo(ECHOES)] {
            let work = screen.work("measure", job.row());
            let turns = peers.turns(job, rounds, |peer, script| {
                let begun = Instant::now();
                peer.run(script)?;
                Ok(begun.elapsed().as_secs_f64())
            });
            let turns = turns.map_err(|error| device.explain(&error))?;
            let place = format!("qemu/{}", job.row());
            let ratios: Vec<_> = turns.raw.iter().zip(&turns.tej).map(|(raw, tej)| raw / tej).collect();
            let (tej, raw) = (median(turns.tej), median(turns.raw));
            // As rates, of which more is better, so that it is what is left of bare TCP.
            let ratio = Figure::higher(format!("{place}/ratio"), rounded_down(raw / tej), "x");
            let is_held = matches!(job, Job::Down(_) | Job::Up(_));
            figures.push(if is_held { ratio.held_to(0.95, 1.0) } else { ratio });
            for (what, ratio) in [
                ("lowest", ratios.iter().copied().fold(f64::INFINITY, f64::min)),
                ("highest", ratios.iter().copied().fold(0.0, f64::max)),
            ] {
                figures.push(Figure::higher(format!("{place}/ratio_{what}"), rounded_down(ratio), "x"));
            }
            for (who, seconds) in [("tej", tej), ("raw", raw)] {
                let row = format!("{place}/{who}");
                figures.push(match job {
                    Job::Echo(count) => Figure::lower(row, rounded(seconds * 1e6 / f64::from(count)), "us"),
                    Job::Down(size) | Job::DownCopied(size) | Job::Up(size) => {
                        Figure::higher(row, rounded(f64::from(size) / MIB / seconds), "MiB/s")
                    }
                });
            }
            work.done(job.row());
        }
        figures.push(connection_state(&device)?.held_to(256.0, 192.0));
        Ok(figures)
    }

    /// How many instructions a KiB takes that is received.
    pub(crate) fn received(&self, screen: &Screen) -> Result<Vec<Figure>> {
        self.instructions(&[Job::Down(COUNTED)], ROUNDS, screen)
    }

    /// How many instructions everything takes.
    fn instructions(&self, jobs: &[Job], rounds: u32, screen: &Screen) -> Result<Vec<Figure>> {
        let device = self.boot(true)?;
        let mut peers = Peers::connect(&device)?;
        let mut figures = Vec::new();
        for &job in jobs {
            let work = screen.work("count", job.row());
            let turns = peers.turns(job, rounds, |peer, script| {
                let before = peer.busy()?;
                peer.run(script)?;
                let microseconds = peer.busy()?.wrapping_sub(before);
                Ok(f64::from(microseconds) * INSTRUCTIONS_PER_MICROSECOND)
            });
            let turns = turns.map_err(|error| device.explain(&error))?;
            let (unit, units) = match job {
                Job::Down(size) | Job::DownCopied(size) | Job::Up(size) => ("per KiB", size / 1024),
                Job::Echo(count) => ("per round trip", count),
            };
            let place = format!("qemu/{}/instructions", job.row());
            let ratio = mean(&turns.tej) / mean(&turns.raw);
            let ratio = Figure::lower(format!("{place}/ratio"), rounded_up(ratio), "x");
            let is_held = matches!(job, Job::Down(_) | Job::Up(_));
            // As much as a rate of 0.95, and none.
            figures.push(if is_held { ratio.held_to(1.05, 1.0) } else { ratio });
            for (who, instructions) in [("tej", turns.tej), ("raw", turns.raw)] {
                let each = mean(&instructions) / f64::from(units);
                figures.push(Figure::lower(format!("{place}/{who}"), each.round(), unit));
            }
            work.done(job.row());
        }
        Ok(figures)
    }

    fn boot(&self, counts_instructions: bool) -> Result<Device> {
        let log_file = self.workspace.target().join("bench").join("qemu.log");
        let device = Device::boot(&Boot {
            ports: &[RAW_PORT, LENT_PORT, COPIED_PORT],
            counts_instructions,
            ..Boot::new(&AN385, self.qemu, &self.image.elf, &log_file)
        })?;
        device.log().wait_for(0, BOOT_LIMIT, "that it is ready", |text| text.starts_with(STATE))?;
        Ok(device)
    }
}

/// What is done over bare TCP and over TEJ.
#[derive(Clone, Copy)]
enum Job {
    /// So many bytes to the device, which throws them away where they lie in the socket's ring.
    Down(u32),
    /// The same, but they are copied out of the ring.
    DownCopied(u32),
    /// So many bytes from the device.
    Up(u32),
    /// So many messages there and back.
    Echo(u32),
}

impl Job {
    fn row(self) -> &'static str {
        match self {
            Self::Down(_) => "down",
            Self::DownCopied(_) => "down_copied",
            Self::Up(_) => "up",
            Self::Echo(_) => "echo",
        }
    }
}

/// All rounds of a job.
struct Turns {
    raw: Vec<f64>,
    tej: Vec<f64>,
}

/// The connections of a run, one to each of the device's listeners.
struct Peers {
    raw: Peer,
    lent: Peer,
    copied: Peer,
}

impl Peers {
    fn connect(device: &Device) -> Result<Self> {
        let [raw, lent, copied] = device.addresses() else { bail!("the device has three listeners") };
        Ok(Self {
            raw: Peer::connect(*raw, Protocol::Raw)?,
            lent: Peer::connect(*lent, Protocol::Tej)?,
            copied: Peer::connect(*copied, Protocol::Tej)?,
        })
    }

    /// Measures both in turn, the other one first each time. The first round is not counted.
    fn turns(
        &mut self,
        job: Job,
        rounds: u32,
        measure: impl Fn(&mut Peer, &mut Script) -> Result<f64>,
    ) -> Result<Turns> {
        let peer = if matches!(job, Job::DownCopied(_)) { &mut self.copied } else { &mut self.lent };
        let mut turns = Turns { raw: Vec::new(), tej: Vec::new() };
        for round in 0..=rounds {
            let shift = (round % WORD).to_be_bytes()[3];
            let (mut raw_script, mut tej_script) = (Script::of_raw(job, shift), Script::of_tej(job, shift)?);
            let mut raw = || measure(&mut self.raw, &mut raw_script).context("over bare TCP");
            let mut tej = || measure(peer, &mut tej_script).context("over TEJ");
            let (of_raw, of_tej) = if round % 2 == 0 {
                let of_raw = raw()?;
                (of_raw, tej()?)
            } else {
                let of_tej = tej()?;
                (raw()?, of_tej)
            };
            if round > 0 {
                turns.raw.push(of_raw);
                turns.tej.push(of_tej);
            }
        }
        Ok(turns)
    }
}

/// The desktop's side of one job: what is to be sent, so many times, and what must come back each time.
struct Script {
    /// Sent once, before the others.
    opening: Vec<u8>,
    request: Vec<u8>,
    answer: Vec<u8>,
    times: u32,
    /// Where an answer is received.
    received: Vec<u8>,
}

impl Script {
    /// Over bare TCP: a letter and a number. Payload begins `shift` bytes later.
    fn of_raw(job: Job, shift: u8) -> Self {
        let payload = |size: u32| vec![PAYLOAD; size as usize + usize::from(shift)];
        let command = |letter, number| command(letter, number, shift);
        let down = |letter, size| [command(letter, size), payload(size)].concat();
        let (opening, request, answer, times) = match job {
            Job::Down(size) => (vec![], down(b'd', size), b".".to_vec(), 1),
            Job::DownCopied(size) => (vec![], down(b'c', size), b".".to_vec(), 1),
            Job::Up(size) => (vec![], command(b'u', size), payload(size), 1),
            Job::Echo(count) => (command(b'e', count), MESSAGE.to_vec(), MESSAGE.to_vec(), count),
        };
        Self { opening, request, received: vec![0; answer.len()], answer, times }
    }

    /// Over TEJ: what is asked for is the status. Names are longer by `shift` bytes, so that payload begins as much later.
    fn of_tej(job: Job, shift: u8) -> Result<Self> {
        let name = vec![PAYLOAD; 1 + usize::from(shift)];
        let payload = |size: u32| vec![PAYLOAD; size as usize];
        let (request, answer, times) = match job {
            Job::Down(size) | Job::DownCopied(size) => {
                (frame(DOWN, Some((&name, &payload(size))), &[])?, frame(0, None, &[])?, 1)
            }
            Job::Up(size) => {
                let request = [&size.to_be_bytes()[..], &[1 + shift]].concat();
                (frame(UP, None, &request)?, frame(0, Some((&name, &payload(size))), &[])?, 1)
            }
            Job::Echo(count) => (frame(ECHO, None, &MESSAGE)?, frame(0, None, &MESSAGE)?, count),
        };
        Ok(Self { opening: vec![], request, received: vec![0; answer.len()], answer, times })
    }
}

#[derive(Clone, Copy)]
enum Protocol {
    Raw,
    Tej,
}

struct Peer {
    stream: TcpStream,
    protocol: Protocol,
}

impl Peer {
    fn connect(address: SocketAddr, protocol: Protocol) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, protocol })
    }

    /// Does a job once, and sees that what comes back is right.
    fn run(&mut self, script: &mut Script) -> Result<()> {
        self.stream.write_all(&script.opening)?;
        for _ in 0..script.times {
            self.stream.write_all(&script.request)?;
            self.stream.read_exact(&mut script.received)?;
            ensure!(script.received == script.answer, "the device answered something else");
        }
        Ok(())
    }

    /// Microseconds in which the device was busy, since it has started.
    fn busy(&mut self) -> Result<u32> {
        let (question, head) = match self.protocol {
            Protocol::Raw => (command(b'b', 0, 0), 0),
            Protocol::Tej => (frame(BUSY, None, &[])?, MIN_FRAME_LEN),
        };
        self.stream.write_all(&question)?;
        let mut answer = vec![0; head + size_of::<u32>()];
        self.stream.read_exact(&mut answer)?;
        let bytes = answer.last_chunk().context("an answer of four bytes")?;
        Ok(u32::from_be_bytes(*bytes))
    }
}

fn command(letter: u8, number: u32, shift: u8) -> Vec<u8> {
    [&[letter], &number.to_be_bytes()[..], &[shift]].concat()
}

fn frame(status: u8, file: Option<(&[u8], &[u8])>, message: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = Encoder::new();
    let status = Status::new(status)?;
    let mut bytes = encoder.start_frame(status, u32::from(file.is_some()))?.to_vec();
    if let Some((name, data)) = file {
        let head = encoder.start_file(name, data.len() as u64)?;
        encoder.payload(data.len() as u64)?;
        bytes = [&bytes, &head.name_len[..], name, &head.size, data].concat();
    }
    bytes.extend(encoder.start_message(message.len() as u64)?);
    encoder.payload(message.len() as u64)?;
    bytes.extend(message);
    Ok(bytes)
}

fn mean(values: &[f64]) -> f64 {
    let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
    values.iter().sum::<f64>() / f64::from(count)
}

/// In two places, and never to our advantage.
fn rounded_down(ratio: f64) -> f64 {
    (ratio * 100.0).floor() / 100.0
}

fn rounded_up(ratio: f64) -> f64 {
    (ratio * 100.0).ceil() / 100.0
}

/// What a connection and its listener occupy on the device, as it has said.
fn connection_state(device: &Device) -> Result<Figure> {
    let line = device.log().last(|text| text.starts_with(STATE)).context("it did not say its state")?;
    let bytes = line.text.strip_prefix(STATE).and_then(|rest| rest.split(' ').next());
    let bytes: u32 = bytes.and_then(|bytes| bytes.parse().ok()).context("its state is no number")?;
    Ok(Figure::lower("ram/connection", f64::from(bytes), "B"))
}

fn section(machine: &str, rounds: u32, figures: &[Figure]) -> String {
    format!(
        "## What TEJ costs on a device: `cargo xtask bench qemu`\n\nMeasured on {machine}; {rounds} rounds.\n\n{HOW}\n\
         {}",
        figure::markdown(figures)
    )
}

const HOW: &str = "\
- The device is QEMU's mps2-an385, a Cortex-M3 with LAN9118 Ethernet; its firmware is `examples/qemu-bench`, one image in
  which bare TCP is embassy-net's own socket and TEJ is a listener of tej-embassy. Sockets have rings of 8 KiB in each
  direction and no Nagle; one is busy at a time.
- `down` is a file of 16 MiB from the desktop, thrown away where it lies in the socket's ring (`read_with`, `next_with`), up to
  the device's answer behind its last byte; `down_copied` the same, copied out of the ring 2 KiB at a time (`read`, `next`).
  `up` is one from the device, by writes of 2 KiB. `echo` is a message of 32 bytes there and back: over bare TCP the 32
  bytes alone, over TEJ a frame of 50.
- How fast bytes are copied depends on where in a word they begin, and so on the length of whatever comes before them. So
  all rings begin where a word does, and in each round the payload begins a byte later: by the length of the file's name over
  TEJ, by as many bytes before it over bare TCP.
- Rates are medians, and `ratio` is that over TEJ by that over bare TCP; `ratio_lowest` and `ratio_highest` are the rounds that
  were farthest off, on a machine that does other things, too. Rates are those of an emulator: they say nothing of
  hardware.
- `instructions` are those of a second run, of files of 1 MiB, in which the emulated clock counts them (`-icount shift=0`), while
  the processor does not sleep: drivers, network stack and application. They are means of all rounds, and do not depend on how
  busy the machine is; in how many segments the desktop sends, they do. Less is better, in `ratio`, too.
- `ram/connection` is a listener and its connection on the device, beside the rings, the buffers and the storage of a name.
";

const PACKAGE: &str = "qemu-bench";
/// Where the firmware has which.
const RAW_PORT: u16 = 7000;
const LENT_PORT: u16 = 7001;
const COPIED_PORT: u16 = 7002;
/// What it is asked for over TEJ.
const DOWN: u8 = 10;
const UP: u8 = 11;
const ECHO: u8 = 12;
const BUSY: u8 = 13;
/// What it sends, and how it begins its last words before it is ready.
const PAYLOAD: u8 = 0x5a;
const STATE: &str = "connection state ";

const MESSAGE: [u8; 32] = *b"a message of thirty-two bytes...";
/// Bytes of one, on the device.
const WORD: u32 = 4;
const SIZE: u32 = 16;
const ROUNDS: u32 = 8;
const ECHOES: u32 = 2000;
/// Bytes and messages whose instructions are counted.
const COUNTED: u32 = 1 << 20;
const COUNTED_ECHOES: u32 = 200;
/// Each is a nanosecond of the emulated clock.
const INSTRUCTIONS_PER_MICROSECOND: f64 = 1000.0;
const MIB: f64 = 1024.0 * 1024.0;
const BOOT_LIMIT: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(30);
