//! `cargo xtask demo`: the exchange as a person sees it.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Result, ensure};
use console::style;

use crate::{
    board::{AN385, Board, Link, Load},
    exchange::{self, Desktop, Direction, Moved, Outcome, Problem, Reception, tls::Parties},
    firmware::{self, Firmware},
    payload::Payload,
    qemu::{Boot, Device, Dial},
    screen::{Screen, mebibytes},
    setup::{self, Consent, Tools},
    table::{Cell, Column, Table, thousands},
    tej,
    workspace::Workspace,
};

/// Watch a microcontroller with little RAM and this desktop move files and messages, both ways, every byte
/// accounted for.
///
/// Sets up what is missing, builds the `tej` command and the firmware, boots the firmware on an emulated
/// board, and then: the device dials the desktop and sends it a generated file of 16 MiB with a message, and keeps the
/// connection alive; the desktop sends the device the FILEs and a message, and the device answers with the name, size and
/// SHA-256 of each. Both sides' digests are compared, for the device's file also with the bytes on the disk and with a
/// generator of its own. The microbit has no network: it is reached over its UART, asked for its file, and moves 256 KiB.
///
/// Exits with 0 only if everything arrived, complete and unchanged. Logs and received files are left in target/demo/.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask demo                        a text, a picture-sized binary and 64 MiB
  cargo xtask demo photo.jpg disk.img     files of yours
  cargo xtask demo --board microbit       a smaller board, over its UART
  cargo xtask demo --tls                  the device's file over TLS, to a desktop that it knows
  cargo xtask demo --inject flip          one bit changes on the way: must fail")]
pub(crate) struct Options {
    /// Files to send to the device, instead of generated ones.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The board that QEMU emulates.
    #[arg(long, value_name = "BOARD", default_value = AN385.name, value_parser = Board::parser())]
    board: &'static Board,

    /// Damage something on the way, to see that it is noticed.
    #[arg(long, value_name = "FAULT")]
    inject: Option<Fault>,

    /// Only have the device send its file, over TLS (an385 only): it and the desktop know each other by their fingerprints, and another
    /// server, which it meets first, must be refused.
    #[arg(long)]
    tls: bool,

    /// Show the device's log as it comes, instead of progress bars.
    #[arg(long, short)]
    verbose: bool,

    #[command(flatten)]
    consent: Consent,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Fault {
    /// Flip one bit in the middle of the largest file.
    Flip,
}

impl Options {
    /// What cannot be had together.
    fn check(&self) -> Result<()> {
        if !self.tls {
            return Ok(());
        }
        ensure!(self.files.is_empty(), "with --tls only the device sends: leave out the FILEs");
        ensure!(
            self.inject.is_none(),
            "with --tls only the device sends: leave out --inject, which damages a file of the desktop's"
        );
        let (name, other) = (self.board.name, AN385.name);
        ensure!(
            self.board.tls.is_some(),
            "no program for {name} speaks TLS: take --board {other}, or leave out --board"
        );
        Ok(())
    }
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    if let Err(error) = options.check() {
        Screen::failure(&error);
        return Ok(ExitCode::from(USAGE));
    }
    let _lock = workspace.lock_demo()?;
    let screen = Screen::new(options.verbose);
    let board = options.board;
    screen.headline(&format!("tej demo: a {} and a desktop", board.processor));
    if options.tls {
        return run_tls(workspace, options, &screen);
    }
    // Before anything takes minutes: a file that cannot be sent is known now.
    let payloads = if options.files.is_empty() {
        Payload::generate(&workspace.demo().join("files"), board.demo.files)?
    } else {
        Payload::read(&options.files)?
    };
    let flip = options.inject == Some(Fault::Flip);
    if flip && payloads.iter().all(|payload| payload.size == 0) {
        anyhow::bail!("there is no bit to flip: every file is empty");
    }
    if let Link::Serial { answer } = board.link {
        ensure!(
            exchange::longest_answer(&payloads) <= answer,
            "the answer to so many files takes more than one frame, and over a UART only the first is seen: send fewer"
        );
    }
    let tools = setup::prepare(workspace, &board.needs(), &options.consent, &screen)?;
    let tej = tej::build(workspace, &screen)?;
    let firmware = firmware::build(workspace, board, &tools, &screen)?;
    let desktop = Desktop { tej: &tej, screen: &screen };

    let session = Session::open(workspace, &tools, &firmware, &desktop, board.demo)?;
    let (outcomes, _device) = session.run(&desktop, &payloads, flip)?;
    println!("\n{}", table(&outcomes));
    println!("{}", footprint(&firmware, &outcomes));
    println!("  Logs and received files: {}", workspace.demo().display());
    let problems: Vec<_> = outcomes.into_iter().flat_map(|outcome| outcome.problems).collect();
    let verdict = Verdict::of(&problems, flip);
    for problem in &problems {
        println!("\n{} {problem}", style("FAILED:").red().bold());
    }
    println!("\n{}", verdict.announcement());
    Ok(verdict.exit_code())
}

fn run_tls(workspace: &Workspace, options: &Options, screen: &Screen) -> Result<ExitCode> {
    let board = options.board;
    let tools = setup::prepare(workspace, &board.needs(), &options.consent, screen)?;
    let tej = tej::build(workspace, screen)?;
    let firmware = firmware::build_tls(workspace, board, &tools, screen)?;
    let desktop = Desktop { tej: &tej, screen };

    let (outcome, _device) = send_over_tls(workspace, &tools, &firmware, &desktop, board.demo.device)?;
    let outcomes = [outcome];
    println!("\n{}", table(&outcomes));
    println!("{}", footprint(&firmware, &outcomes));
    println!("  Logs, identities and the received file: {}", workspace.demo().display());
    let [Outcome { problems, .. }] = &outcomes;
    for problem in problems {
        println!("\n{} {problem}", style("FAILED:").red().bold());
    }
    if !problems.is_empty() {
        println!("\n{}", Verdict::Damaged.announcement());
        return Ok(ExitCode::FAILURE);
    }
    let all_well = "The file arrived over TLS, every digest agrees, and another server was refused.";
    println!("\n{}", style(all_well).green().bold());
    Ok(ExitCode::SUCCESS)
}

/// Has the device meet a server that it does not know, and send a file of this size to one that it does.
pub(crate) fn send_over_tls(
    workspace: &Workspace,
    tools: &Tools,
    firmware: &Firmware,
    desktop: &Desktop<'_>,
    size: u64,
) -> Result<(Outcome, Device)> {
    let parties = Parties::introduce(desktop, &workspace.demo().join("tls"))?;
    desktop.screen.note("identity", &format!("of the desktop: {}", parties.desktop.fingerprint));
    desktop.screen.note("identity", &format!("of the device:  {}", parties.device.fingerprint));
    let boot = |dial, log: &str| {
        let board = firmware.board;
        Device::boot(&Boot {
            dial: Some(dial),
            folder: Some(parties.folder()),
            verbose: desktop.screen.verbose(),
            ..Boot::new(board, tools.qemu(board.emulator)?, &firmware.elf, &workspace.demo().join(log))
        })
    };
    let received = workspace.demo().join("received");
    let file = (size, DEVICE_SEED);
    parties.refuse(desktop, &received, file, |dial| boot(dial, "device-refusing.log"))?;
    parties.receive(desktop, &received, file, |dial| boot(dial, "device.log"))
}

/// One boot of the device, with the desktop listening for it if it dials.
pub(crate) struct Session {
    device: Device,
    reception: Option<Reception>,
    received: PathBuf,
    load: Load,
}

impl Session {
    /// Listens, boots, and waits until the device listens too.
    pub(crate) fn open(
        workspace: &Workspace,
        tools: &Tools,
        firmware: &Firmware,
        desktop: &Desktop<'_>,
        load: Load,
    ) -> Result<Self> {
        let board = firmware.board;
        let received = workspace.demo().join("received");
        let reception = match board.link {
            Link::Network { .. } => Some(Reception::open(desktop, &received, load.device, DEVICE_SEED)?),
            Link::Serial { .. } => None,
        };
        let dial = reception.as_ref().map(|reception| Dial {
            port: reception.port(),
            size: load.device,
            seed: DEVICE_SEED,
            server: None,
        });
        let work = desktop.screen.work("boot", board.package);
        let log_file = workspace.demo().join("device.log");
        let device = Device::boot(&Boot {
            dial,
            verbose: desktop.screen.verbose(),
            ..Boot::new(board, tools.qemu(board.emulator)?, &firmware.elf, &log_file)
        })?;
        device.await_listening()?;
        work.done(&format!("{} bytes of RAM, listening", thousands(firmware.footprint.ram)));
        Ok(Self { device, reception, received, load })
    }

    /// The whole exchange, both ways. The device is given back running.
    pub(crate) fn run(
        self,
        desktop: &Desktop<'_>,
        payloads: &[Payload],
        flip: bool,
    ) -> Result<(Vec<Outcome>, Device)> {
        let Self { mut device, reception, received, load } = self;
        let Some(mut reception) = reception else {
            let received = exchange::fetch(desktop, &mut device, &received, load.device, DEVICE_SEED)?;
            let sent = exchange::send(desktop, &mut device, payloads, MESSAGE, flip)?;
            return Ok((vec![sent, received], device));
        };
        // The device begins to send when it has booted: its file comes first, so that neither direction's time is
        // spent on the other, and the pings come while the desktop sends.
        reception.file(desktop, &mut device)?;
        let sent = exchange::send(desktop, &mut device, payloads, MESSAGE, flip)?;
        let received = reception.finish(desktop, &mut device)?;
        Ok((vec![sent, received], device))
    }
}

fn table(outcomes: &[Outcome]) -> String {
    let mut table = Table::new([
        Column::elastic("What"),
        Column::left("Way"),
        Column::right("Bytes"),
        Column::right("Seconds"),
        Column::right("MiB/s"),
        Column::left("Device's SHA-256"),
        Column::left(""),
    ]);
    for moved in outcomes.iter().flat_map(|outcome| &outcome.moved) {
        let (time, rate) = time_and_rate(moved);
        let digest = moved.device_sha256.as_deref().map_or("–", |digest| &digest[..DIGITS]);
        table.row([
            Cell::plain(moved.what.to_string()),
            Cell::plain(moved.direction.to_string()),
            Cell::plain(thousands(moved.bytes)),
            Cell::plain(time),
            Cell::plain(rate),
            Cell::plain(digest),
            if moved.intact { Cell::good("ok") } else { Cell::bad("MISMATCH") },
        ]);
    }
    table.render()
}

fn time_and_rate(moved: &Moved) -> (String, String) {
    match moved.time {
        Some(time) => seconds_and_rate(moved.bytes, time),
        None => (NO_RATE.to_owned(), NO_RATE.to_owned()),
    }
}

/// What is too small to fill the buffers between the two has no rate worth showing.
fn seconds_and_rate(bytes: u64, time: Duration) -> (String, String) {
    let seconds = time.as_secs_f64();
    let shown = if seconds < 0.01 { "<0.01".to_owned() } else { format!("{seconds:.2}") };
    let rate = if bytes < SMALLEST_RATED || time.is_zero() {
        NO_RATE.to_owned()
    } else {
        format!("{:.1}", mebibytes(bytes) / seconds)
    };
    (shown, rate)
}

fn footprint(firmware: &Firmware, outcomes: &[Outcome]) -> String {
    let fact = |label: &str, text: String| format!("  {}  {text}\n", style(format!("{label:13}")).dim());
    let size = firmware.footprint;
    let moved: u64 = outcomes.iter().map(|outcome| outcome.bytes).sum();
    let peak =
        outcomes.iter().filter_map(|outcome| outcome.stack).map(|stack| stack.peak).max().unwrap_or_default();
    let mut text = String::new();
    for outcome in outcomes {
        let Some(first) = outcome.moved.first() else { continue };
        let (seconds, rate) = seconds_and_rate(outcome.bytes, outcome.time);
        let rate = if rate == NO_RATE { String::new() } else { format!(", {rate} MiB/s") };
        text += &fact(
            "On the wire",
            format!("{}: {} bytes in {seconds} s{rate}", first.direction, thousands(outcome.bytes)),
        );
    }
    text += &fact("Flash", format!("{} bytes", thousands(size.flash)));
    text += &fact(
        "RAM",
        format!(
            "{} bytes static + {} bytes of stack at its peak, of {}",
            thousands(size.static_ram),
            thousands(peak),
            thousands(size.ram)
        ),
    );
    text += &fact("Moved", format!("{} times the device's RAM", thousands(moved / size.ram.max(1))));
    text
}

/// What an exchange showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Intact,
    Damaged,
    /// The bit that was flipped on purpose was noticed.
    FlipNoticed,
    FlipUnnoticed,
}

impl Verdict {
    /// `flip`: whether one bit was flipped on the way to the device.
    fn of(problems: &[Problem], flip: bool) -> Self {
        // Anything else may be wrong at the same time and says nothing about the bit.
        let noticed =
            |problem: &Problem| matches!(problem, Problem::Digest { direction: Direction::ToDevice, .. });
        match flip {
            true if problems.iter().any(noticed) => Self::FlipNoticed,
            true => Self::FlipUnnoticed,
            false if problems.is_empty() => Self::Intact,
            false => Self::Damaged,
        }
    }

    fn announcement(self) -> String {
        match self {
            Self::Intact => {
                style("Everything arrived, both ways, and every digest agrees.").green().bold().to_string()
            }
            Self::Damaged => "Not everything arrived unchanged.".to_owned(),
            Self::FlipNoticed => {
                "One bit was flipped on the way, as asked: it was noticed, and this run has failed as it must."
                    .to_owned()
            }
            Self::FlipUnnoticed => {
                format!("{} a bit was flipped and nobody noticed", style("FAILED:").red().bold())
            }
        }
    }

    fn exit_code(self) -> ExitCode {
        if self == Self::Intact { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

pub(crate) const MESSAGE: &str = "Greetings from the desktop — 你好, device!";
const DEVICE_SEED: u64 = 42;
/// The exit status for options that cannot be had together, as clap has it.
const USAGE: u8 = 2;
/// Digits of a digest that are enough to compare by eye.
const DIGITS: usize = 12;
/// What is shown where there is none.
const NO_RATE: &str = "–";
/// Buffers of QEMU and of the kernel hold some hundred KiB.
const SMALLEST_RATED: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use console::measure_text_width;

    use super::*;
    use crate::{exchange::What, table::WIDTH};

    #[test]
    fn what_tls_cannot_be_had_with_is_refused() {
        use clap::{Args, FromArgMatches};
        let check = |arguments: &[&str]| {
            let command = Options::augment_args(clap::Command::new("demo"));
            let matches = command.try_get_matches_from([&["demo"], arguments].concat()).unwrap();
            Options::from_arg_matches(&matches).unwrap().check()
        };
        for arguments in [&["--tls"][..], &["--tls", "--board", "an385"], &["a", "--inject", "flip"]] {
            assert!(check(arguments).is_ok(), "{arguments:?}");
        }
        for (other, said) in [
            (&["photo.jpg"][..], "FILEs"),
            (&["--inject", "flip"], "--inject"),
            (&["--board", "microbit"], "--board an385"),
        ] {
            let error = check(&[&["--tls"], other].concat()).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn the_table_fits_whatever_is_in_it() {
        console::set_colors_enabled(false);
        let moved = |name: &str, bytes, intact| Moved {
            what: What::File(name.into()),
            direction: Direction::ToDevice,
            bytes,
            time: Some(Duration::from_secs(1234)),
            device_sha256: Some("0123456789abcdef".repeat(4)),
            intact,
        };
        let outcome = Outcome {
            moved: vec![
                moved("large.bin", 64 << 20, true),
                moved(&"name-".repeat(12), 1 << 40, false),
                moved("empty", 0, true),
                Moved { device_sha256: None, time: None, what: What::Message, ..moved("", 5, true) },
            ],
            problems: Vec::new(),
            bytes: 0,
            time: Duration::ZERO,
            stack: None,
        };
        let table = table(&[outcome]);
        let lines: Vec<_> = table.lines().collect();
        assert!(lines.iter().all(|line| measure_text_width(line) == measure_text_width(lines[0])), "{table}");
        assert!(measure_text_width(lines[0]) <= WIDTH, "{table}");
        assert!(lines[3].contains("67,108,864 │ 1234.00 │   0.1 │ 0123456789ab "), "{table}");
        assert!(lines[3].ends_with("│ ok       │") && lines[4].ends_with("│ MISMATCH │"), "{table}");
        assert!(lines[6].contains("│ –  "), "{table}");
    }

    #[test]
    fn only_an_untouched_exchange_without_problems_is_a_success() {
        let digest = |direction| Problem::Digest {
            what: What::File("a".into()),
            direction,
            sent: "x".into(),
            received: "y".into(),
        };
        let account = || Problem::Account("a is missing".into());
        for (problems, flip, verdict) in [
            (vec![], false, Verdict::Intact),
            (vec![account()], false, Verdict::Damaged),
            (vec![digest(Direction::ToDevice)], false, Verdict::Damaged),
            (vec![], true, Verdict::FlipUnnoticed),
            (vec![account(), digest(Direction::ToDesktop)], true, Verdict::FlipUnnoticed),
            (vec![account(), digest(Direction::ToDevice)], true, Verdict::FlipNoticed),
        ] {
            assert_eq!(Verdict::of(&problems, flip), verdict, "{problems:?}, flip: {flip}");
            let success = format!("{:?}", verdict.exit_code()) == format!("{:?}", ExitCode::SUCCESS);
            assert_eq!(success, verdict == Verdict::Intact);
        }
    }

    #[test]
    fn small_things_have_no_rate() {
        let mut moved = Moved {
            what: What::File("a".into()),
            direction: Direction::ToDesktop,
            bytes: SMALLEST_RATED,
            time: Some(Duration::from_millis(500)),
            device_sha256: None,
            intact: true,
        };
        assert_eq!(time_and_rate(&moved), ("0.50".into(), "2.0".into()));
        moved.bytes -= 1;
        assert_eq!(time_and_rate(&moved), ("0.50".into(), "–".into()));
        moved.time = Some(Duration::from_micros(3));
        assert_eq!(time_and_rate(&moved), ("<0.01".into(), "–".into()));
        moved.time = None;
        assert_eq!(time_and_rate(&moved), ("–".into(), "–".into()));
    }
}
