//! `cargo xtask test`: everything that must hold before a change is merged.

use std::{
    cell::OnceCell,
    iter,
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use console::style;

use crate::{
    bench,
    board::{self, AN385, AN505, BOARDS, Board, Link},
    cargo, cases,
    churn::{self, Tally},
    demo::{self, MESSAGE, Session},
    exchange::{self, Desktop, Direction, Outcome, Problem, What},
    firmware::{self, Firmware, Program},
    fuzz, hostile, no_panic,
    payload::Payload,
    process,
    qemu::{Boot, Device, Stack},
    screen::{self, Screen},
    setup::{self, CORTEX_M0, CORTEX_M3, CORTEX_M7, CORTEX_M33, Consent, Need, RISCV32, Tools},
    size,
    table::{Cell, Column, Table, thousands},
    tej, versions,
    workspace::Workspace,
};

/// Run every check of the project: formatting, lints, documentation, host tests, bare-metal builds, the exchange with
/// the emulated device, and interop with the Python original.
///
/// Sets up what is missing first. A step that fails does not keep the others from running; nothing is skipped. The exit
/// code is 0 only if all passed, and the last line counts them.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask test                                  all of it
  cargo xtask test --list                           the steps and what they check
  cargo xtask test --only clippy --only exchange    some of it, while working on something")]
pub(crate) struct Options {
    /// Run this step alone; can be repeated.
    #[arg(long, value_name = "STEP", value_parser = step_names())]
    only: Vec<String>,

    /// List the steps and exit.
    #[arg(long)]
    list: bool,

    /// Show the device's log as it comes.
    #[arg(long, short)]
    verbose: bool,

    #[command(flatten)]
    consent: Consent,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    if options.list {
        println!("{SET_UP:10}  {SET_UP_CHECKS} (always)");
        for step in STEPS {
            println!("{:10}  {}", step.name, step.checks);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let _lock = workspace.lock_demo()?;
    let steps: Vec<_> = STEPS
        .iter()
        .filter(|step| options.only.is_empty() || options.only.iter().any(|name| name == step.name))
        .collect();
    let needs: Vec<_> = steps.iter().flat_map(|step| step.needs).copied().collect();
    let bench = Bench {
        workspace,
        screen: Screen::new(options.verbose),
        tools: OnceCell::new(),
        firmware: BOARDS.map(|_| OnceCell::new()),
    };
    let mut results = vec![bench.attempt(SET_UP, SET_UP_CHECKS, || {
        let tools = setup::prepare(workspace, &needs, &options.consent, &bench.screen)?;
        bench.tools.set(tools).ok().context("the set-up ran twice")
    })];
    for step in steps {
        results.push(bench.attempt(step.name, step.checks, || (step.run)(&bench)));
    }
    Ok(summary(&results))
}

/// One check.
struct Step {
    name: &'static str,
    checks: &'static str,
    needs: &'static [Need],
    run: fn(&Bench<'_>) -> Result<()>,
}

/// What comes before the steps that were chosen, and counts as one.
const SET_UP: &str = "set-up";
const SET_UP_CHECKS: &str = "what the steps need is there";

/// In the order that finds the commonest mistakes soonest.
const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        checks: "rustfmt changes nothing, in crates outside of the workspace either",
        needs: &[Need::Lints],
        run: fmt,
    },
    Step {
        name: "clippy",
        checks: "no warning in any target of the workspace, with all features and with the default ones, nor in fuzz/ and proof/",
        needs: &[Need::Lints],
        run: clippy,
    },
    Step { name: "docs", checks: "rustdoc has no warning", needs: &[], run: docs },
    Step {
        name: "cases",
        checks: "the table of hostile cases names the tests that there are",
        needs: &[],
        run: |bench| cases::check(bench.workspace),
    },
    Step {
        name: "versions",
        checks: "the crates for devices and all firmware agree on the traits' versions, as deny.toml says",
        needs: &[],
        run: |bench| versions::check(bench.workspace),
    },
    Step {
        name: "host",
        checks: "unit, integration and documentation tests on the host",
        needs: &[Need::Strace, Need::Nftables],
        run: host,
    },
    Step {
        name: "codecs",
        checks: "the codecs that `bench core` compares deliver what they were given, and no lint warns, as in `bench net`; `bench buffers` measures what is stored",
        needs: &[Need::Lints],
        run: codecs,
    },
    Step {
        name: "fuzz",
        checks: "each fuzz target finds a bug that is planted for it, and none that is not, in half a minute",
        needs: fuzz::NEEDS,
        run: |bench| {
            bench.tools()?;
            fuzz::check(bench.workspace, &bench.screen)
        },
    },
    Step {
        name: "no-std",
        checks: "the crates for devices build for Cortex-M3 and Cortex-M0 with each feature",
        needs: &[Need::Target(CORTEX_M3), Need::Target(CORTEX_M0)],
        run: no_std,
    },
    Step {
        name: "no-panic",
        checks: "no public function of tej-core can panic, and a planted panic is found",
        needs: &[Need::Target(CORTEX_M3), Need::Target(CORTEX_M0), Need::Target(RISCV32)],
        run: no_panic,
    },
    Step {
        name: "size",
        checks: "tej-core is no larger on a Cortex-M3 than it may be",
        needs: &[Need::Target(CORTEX_M3)],
        run: |bench| size::check(bench.workspace, bench.tools()?.bare_metal()?, CORTEX_M3, &bench.screen),
    },
    Step {
        name: "firmware",
        checks: "each board's firmware builds without a warning, and no allocator is linked",
        needs: &[
            Need::Target(CORTEX_M3),
            Need::Target(CORTEX_M33),
            Need::Target(CORTEX_M0),
            Need::Target(RISCV32),
        ],
        run: firmware,
    },
    Step {
        name: "boards",
        checks: "no lint warns about the boards' code, on the board and on the host, and their drivers' tests pass",
        needs: &[
            Need::Lints,
            Need::Target(CORTEX_M3),
            Need::Target(CORTEX_M33),
            Need::Target(CORTEX_M0),
            Need::Target(CORTEX_M7),
            Need::Target(RISCV32),
            Need::TargetLints,
        ],
        run: boards,
    },
    Step {
        name: "hardware",
        checks: "the same of firmware for boards that are not at hand: an RP2040 and an STM32H7",
        needs: &[Need::Target(CORTEX_M0), Need::Target(CORTEX_M7)],
        run: hardware,
    },
    Step {
        name: "exchange",
        checks: "files and messages cross both ways between desktop and each emulated device, one a file over TLS, and what is measured works",
        needs: &[
            Need::Target(CORTEX_M3),
            Need::Target(CORTEX_M33),
            Need::Target(CORTEX_M0),
            Need::Target(RISCV32),
            Need::Qemu(&board::ARM),
            Need::Qemu(&board::RISCV),
        ],
        run: exchange,
    },
    Step {
        name: "large",
        checks: "an emulated device counts a file of more than 4 GiB to the byte, in RAM that does not grow",
        needs: &[Need::Target(CORTEX_M3), Need::Qemu(&board::ARM)],
        run: large,
    },
    Step {
        name: "churn",
        checks: "ten thousand connections in turn leave nothing behind at an emulated device",
        needs: &[Need::Target(CORTEX_M3), Need::Qemu(&board::ARM)],
        run: churn,
    },
    Step {
        name: "interop",
        checks: "our client and server talk with the Python original",
        needs: &[Need::Python],
        run: interop,
    },
];

/// What the steps share.
struct Bench<'a> {
    workspace: &'a Workspace,
    screen: Screen,
    tools: OnceCell<Tools>,
    /// In the order of [`BOARDS`].
    firmware: [OnceCell<Firmware>; BOARDS.len()],
}

struct Attempt {
    name: &'static str,
    time: Duration,
    outcome: Result<()>,
}

impl Bench<'_> {
    fn attempt(&self, name: &'static str, checks: &str, run: impl FnOnce() -> Result<()>) -> Attempt {
        self.screen.headline(&format!("== {name}: {checks}"));
        let begun = Instant::now();
        let outcome = run();
        let time = begun.elapsed();
        match &outcome {
            Ok(()) => println!("{} {name} ({})", style("passed:").green().bold(), screen::seconds(time)),
            Err(error) => {
                println!("{} {name} ({}): {error:#}", style("FAILED:").red().bold(), screen::seconds(time));
            }
        }
        Attempt { name, time, outcome }
    }

    fn tools(&self) -> Result<&Tools> {
        self.tools.get().context("the set-up failed, see there")
    }

    /// Built once, by the first step that needs it.
    fn firmware(&self, board: &'static Board) -> Result<&Firmware> {
        let position = BOARDS.iter().position(|known| *known == board);
        let place = position.map(|position| &self.firmware[position]).context("an unknown board")?;
        if let Some(firmware) = place.get() {
            return Ok(firmware);
        }
        let firmware = firmware::build(self.workspace, board, self.tools()?, &self.screen)?;
        Ok(place.get_or_init(|| firmware))
    }

    /// A cargo command for the whole workspace.
    fn cargo(&self, subcommand: &str) -> Command {
        let mut command = self.workspace.cargo();
        command.args([subcommand, "--workspace", "--locked"]);
        command
    }
}

fn fmt(bench: &Bench<'_>) -> Result<()> {
    process::run(bench.workspace.cargo().args(["fmt", "--all", "--check"]))?;
    let workspace = bench.workspace;
    let others = vec![workspace.fuzz(), workspace.decoder_proof()];
    let outside = [workspace.board_crates()?, workspace.measured_crates()?, others];
    for folder in outside.concat() {
        process::run(workspace.cargo().current_dir(folder).args(["fmt", "--check"]))?;
    }
    Ok(())
}

fn clippy(bench: &Bench<'_>) -> Result<()> {
    for features in [&["--all-features"][..], &[]] {
        let mut command = bench.cargo("clippy");
        process::run(command.arg("--all-targets").args(features).args(DENY_WARNINGS))?;
    }
    // Without libFuzzer, which only the targets' own builds need.
    let mut command = bench.workspace.cargo();
    command.current_dir(bench.workspace.fuzz()).args(["clippy", "--locked", "--target-dir"]);
    command.arg(bench.workspace.target()).args(["--all-targets", "--no-default-features"]);
    process::run(command.args(DENY_WARNINGS))?;
    let mut command = bench.workspace.cargo();
    command.current_dir(bench.workspace.decoder_proof()).args(["clippy", "--locked", "--target-dir"]);
    command.arg(bench.workspace.target());
    process::run(command.args(DENY_WARNINGS))
}

fn docs(bench: &Bench<'_>) -> Result<()> {
    document(bench.cargo("doc"))
}

/// Runs `cargo doc` with all features so that a warning fails it.
fn document(mut command: Command) -> Result<()> {
    // They take precedence over RUSTDOCFLAGS, and the second is what the first is made of otherwise.
    for variable in ["CARGO_ENCODED_RUSTDOCFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(variable);
    }
    process::run(command.args(["--no-deps", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Everything but what needs Python, which has a step of its own.
fn host(bench: &Bench<'_>) -> Result<()> {
    process::run(&mut test(bench, |feature| feature != INTEROP_FEATURE))
}

fn interop(bench: &Bench<'_>) -> Result<()> {
    let python = bench.tools()?.python()?;
    // The same packages and features as in the host tests and one more, so that little is compiled again.
    process::run(test(bench, |_| true).args(["--test", "python_interop"]).env("TEJ_PYTHON", python))
}

/// `cargo test` for the whole workspace, with the features of its packages that are `wanted`.
fn test(bench: &Bench<'_>, wanted: impl Fn(&str) -> bool) -> Command {
    let features: Vec<_> = bench
        .workspace
        .packages()
        .iter()
        .flat_map(|package| {
            // The clippy step compiles the others.
            package.linkable_features().into_iter().map(|feature| format!("{}/{feature}", package.name))
        })
        .filter(|feature| wanted(feature))
        .collect();
    let mut command = bench.cargo("test");
    command.args(["--features", &features.join(",")]);
    command
}

/// The workspace of what is measured. Nothing is counted here: a benchmark whose codecs do not do the work is worthless.
fn codecs(bench: &Bench<'_>) -> Result<()> {
    let cargo = |arguments: &[&str]| {
        let mut command = bench.workspace.cargo();
        command.current_dir(bench::core::folder(bench.workspace)).args(arguments);
        command
    };
    process::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    process::run(cargo(&["clippy", "--workspace", "--locked", "--all-targets"]).args(DENY_WARNINGS))?;
    process::run(&mut cargo(&["test", "--workspace", "--locked", "--lib"]))?;
    let work = bench.screen.work("build", "the programs of `bench core`");
    let build = cargo(&["build", "--workspace", "--locked"]);
    let built = cargo::build(build, &bench.workspace.target().join("codecs.log"), &work)?;
    work.done("the programs of `bench core`");
    bench::core::check(&built.executables)?;
    let mut net = bench.workspace.cargo();
    net.current_dir(bench::net::folder(bench.workspace)).args(["clippy", "--locked", "--all-targets"]);
    process::run(net.args(DENY_WARNINGS))?;
    let work = bench.screen.work("build", "the simulation of `bench buffers`");
    let mut build = bench.workspace.cargo();
    build.args(["build", "--locked", "-p", "measure-buffers"]);
    let built = cargo::build(build, &bench.workspace.target().join("codecs.log"), &work)?;
    work.done("the simulation of `bench buffers`");
    bench::buffers::check(bench.workspace, built.program()?)
}

fn no_std(bench: &Bench<'_>) -> Result<()> {
    let bare_metal = bench.tools()?.bare_metal()?;
    let profile = size::profile(bench.workspace)?;
    for (target, sets) in [(CORTEX_M3, feature_sets as fn(&[String]) -> _), (CORTEX_M0, extreme_feature_sets)]
    {
        for (name, chosen) in DEVICE_CRATES {
            let package = bench.workspace.package(name)?;
            for features in sets(&package.features) {
                let mut command = bare_metal.cargo(bench.workspace, bench.workspace.root(), "build", target);
                command.args([
                    "--locked",
                    "-p",
                    name,
                    "--no-default-features",
                    "--features",
                    &format!("{features},{chosen}"),
                ]);
                // As the measured programs are built, so that they find `core` compiled.
                command.arg("--release");
                for setting in &profile {
                    command.args(["--config", &format!("profile.release.{setting}")]);
                }
                let described = if features.is_empty() { "no features" } else { &features };
                let work = bench.screen.work("build", &format!("{name} with {described} for {target}"));
                let built = cargo::build(command, &bench.workspace.target().join("no-std.log"), &work)?;
                ensure!(
                    built.warnings == 0,
                    "{} warnings in {name} with {described} for {target}",
                    built.warnings
                );
                work.done(&format!("{name} with {described} for {target}"));
            }
        }
    }
    Ok(())
}

fn no_panic(bench: &Bench<'_>) -> Result<()> {
    let targets = [CORTEX_M3, CORTEX_M0, RISCV32];
    no_panic::check(bench.workspace, bench.tools()?.bare_metal()?, &targets, &bench.screen)
}

/// None, each alone, all: what conflicts or leans on another one shows, on one target as well as on all.
fn feature_sets(features: &[String]) -> Vec<String> {
    let real: Vec<_> =
        features.iter().filter(|feature| !HOST_FEATURES.contains(&feature.as_str())).cloned().collect();
    let mut sets = vec![String::new()];
    sets.extend(real.iter().cloned());
    if real.len() > 1 {
        sets.push(real.join(","));
    }
    sets
}

/// None and all: what a target lacks shows.
fn extreme_feature_sets(features: &[String]) -> Vec<String> {
    let mut sets = feature_sets(features);
    let all = sets.pop();
    sets.truncate(1);
    sets.extend(all);
    sets
}

// case 63
fn firmware(bench: &Bench<'_>) -> Result<()> {
    for board in BOARDS {
        let firmware = bench.firmware(board)?;
        ensure!(firmware.warnings == 0, "{} warnings for {}", firmware.warnings, board.name);
        let size = firmware.footprint;
        ensure!(
            size.ram <= board.ram,
            "the memory map of {} grants {} bytes of RAM, more than {}",
            board.package,
            thousands(size.ram),
            thousands(board.ram)
        );
        println!(
            "  {}: flash {} bytes, static RAM {} bytes",
            board.name,
            thousands(size.flash),
            thousands(size.static_ram)
        );
    }
    Ok(())
}

/// The crates outside the workspace: all are linted for their board, and the measured programs for one; libraries of several
/// boards are linted, tested and documented on the host as well.
fn boards(bench: &Bench<'_>) -> Result<()> {
    let bare_metal = bench.tools()?.bare_metal()?;
    for folder in bench.workspace.board_crates()? {
        let hardware = firmware::HARDWARE.iter().find(|(board, _)| folder.ends_with(board));
        let board = BOARDS.iter().find(|board| folder.ends_with(board.package));
        // Those that several boards share are linted for one of them.
        let target = match (hardware, board) {
            (Some((_, target)), _) => target,
            (None, Some(board)) => board.target,
            (None, None) if folder.ends_with("virt") => RISCV32,
            (None, None) => CORTEX_M3,
        };
        let for_board = || {
            let mut command = bare_metal.cargo(bench.workspace, &folder, "clippy", target);
            // As the firmware is built, so that `core` is checked once for each target.
            command.args(["--locked", "--release"]);
            command
        };
        // What has a memory map is for nothing but its board.
        if folder.join("src").join("lib.rs").is_file() && !folder.join("memory.x").is_file() {
            let host = |subcommand: &str| {
                let mut command = bench.workspace.cargo();
                command.current_dir(&folder).args([subcommand, "--locked", "--target-dir"]);
                command.arg(bench.workspace.target());
                command
            };
            process::run(host("clippy").args(["--all-targets", "--all-features"]).args(DENY_WARNINGS))?;
            process::run(for_board().arg("--all-features").args(DENY_WARNINGS))?;
            process::run(&mut host("test"))?;
            document(host("doc"))?;
        } else {
            // The steps that build it do so without its features.
            let mut command = for_board();
            command.arg("--all-features");
            if folder.join("examples").is_dir() {
                command.args(["--bins", "--examples"]);
            }
            process::run(command.args(DENY_WARNINGS))?;
        }
    }
    let mut measured = bare_metal.cargo(bench.workspace, &size::folder(bench.workspace), "clippy", CORTEX_M3);
    process::run(measured.args(["--locked", "--release", "--all-features"]).args(DENY_WARNINGS))
}

/// Firmware that nothing here can run.
// case 63
fn hardware(bench: &Bench<'_>) -> Result<()> {
    for (board, target) in firmware::HARDWARE {
        let examples = [firmware::FIRST_FILE].into_iter().filter(|(of, _)| *of == board);
        let examples = examples.map(|(_, name)| Program::Example(name));
        for program in iter::once(Program::Main).chain(examples) {
            let what = match program {
                Program::Example(name) => format!("{name} for {board}"),
                _ => board.to_owned(),
            };
            let (tools, screen) = (bench.tools()?, &bench.screen);
            let firmware = firmware::compile(bench.workspace, board, program, target, tools, screen)?;
            ensure!(firmware.warnings == 0, "{} warnings in {what}", firmware.warnings);
            let size = firmware.footprint;
            ensure!(
                size.static_ram + STACK_BUDGET <= size.ram,
                "{what}: {} bytes of variables leave less than {} of {} bytes of RAM to the stack",
                thousands(size.static_ram),
                thousands(STACK_BUDGET),
                thousands(size.ram)
            );
            println!(
                "  {what}: flash {} bytes, static RAM {} bytes",
                thousands(size.flash),
                thousands(size.static_ram)
            );
        }
    }
    Ok(())
}

fn exchange(bench: &Bench<'_>) -> Result<()> {
    let tej = tej::build(bench.workspace, &bench.screen)?;
    let desktop = Desktop { tej: &tej, screen: &bench.screen };
    for board in BOARDS {
        let begun = Instant::now();
        exchange_with(bench, &desktop, board).with_context(|| format!("with {}", board.name))?;
        bench.screen.note("checked", &format!("{} in {}", board.name, screen::seconds(begun.elapsed())));
    }
    for board in BOARDS.into_iter().filter(|board| board.tls.is_some()) {
        exchange_over_tls(bench, &desktop, board).with_context(|| format!("with {} over TLS", board.name))?;
    }
    bench::qemu::check(bench.workspace, bench.tools()?, &bench.screen).context("what is measured")
}

/// A server that the device does not know, and one that it does.
fn exchange_over_tls(bench: &Bench<'_>, desktop: &Desktop<'_>, board: &'static Board) -> Result<()> {
    let firmware = firmware::build_tls(bench.workspace, board, bench.tools()?, &bench.screen)?;
    ensure!(firmware.warnings == 0, "{} warnings", firmware.warnings);
    let (outcome, device) =
        demo::send_over_tls(bench.workspace, bench.tools()?, &firmware, desktop, TLS_FILE)?;
    expect_intact(&device, &outcome)?;
    bench.screen.note("checked", "over TLS: size and digests agree, and another server was told nothing");
    expect_room(bench, &firmware, outcome.stack, TLS_STACK_BUDGET)
}

/// The demo's exchange, a damaged one, strangers, and a good one again, all on one boot.
fn exchange_with(bench: &Bench<'_>, desktop: &Desktop<'_>, board: &'static Board) -> Result<()> {
    let firmware = bench.firmware(board)?;
    let payloads = Payload::generate(&bench.workspace.demo().join("files"), board.check.files)?;

    let session = Session::open(bench.workspace, bench.tools()?, firmware, desktop, board.check)?;
    let (outcomes, mut device) = session.run(desktop, &payloads, false)?;
    for outcome in &outcomes {
        expect_intact(&device, outcome)?;
    }
    bench.screen.note("checked", "both directions: every name, size and digest agrees");

    let damaged = exchange::send(desktop, &mut device, &payloads, MESSAGE, true)?;
    expect_flip_noticed(&payloads, &damaged).map_err(|error| device.explain(&error))?;
    bench.screen.note("checked", "one flipped bit: noticed, and nothing else was wrong");

    let small = bench.workspace.demo().join("small");
    let small = small_files(&small)?;
    // The peak only grows, so the last report is the one that counts.
    let mut last = damaged.stack;
    let attacks: Vec<_> = match board.link {
        // What they show is the shared code's doing: one of each kind for one board, and for the others one.
        Link::Network { .. } if board == &AN385 => hostile::ATTACKS.iter().collect(),
        Link::Network { .. } => hostile::ATTACKS.iter().take(1).collect(),
        Link::Serial { .. } => hostile::GARBAGE.to_vec(),
    };
    for attack in attacks {
        let before = device.log().len();
        match board.link {
            Link::Network { .. } => attack.run(&mut device)?,
            Link::Serial { .. } => attack.run_on_line(&mut device)?,
        }
        let outcome = exchange::send(desktop, &mut device, &small, MESSAGE, false)?;
        expect_intact(&device, &outcome)?;
        if device.is_on_a_line() {
            hostile::expect_fresh(&device, before)?;
        }
        last = outcome.stack;
        bench.screen.note("checked", &format!("{}: named, and the next one was served", attack.name));
    }

    expect_room(bench, firmware, last, board.stack)
}

/// The device's variables and its stack's peak fit into its RAM, and the latter into its budget.
fn expect_room(bench: &Bench<'_>, firmware: &Firmware, stack: Option<Stack>, budget: u64) -> Result<()> {
    let Stack { peak, size: stack } = stack.context("the device did not report its stack")?;
    let (board, size) = (firmware.board, firmware.footprint);
    ensure!(peak < stack, "the stack was used up: {peak} of {stack} bytes");
    ensure!(
        peak <= budget,
        "{} bytes of stack were used, more than the {} that are granted",
        thousands(peak),
        thousands(budget)
    );
    ensure!(
        size.static_ram + peak <= board.ram.min(size.ram),
        "{} bytes of variables and {} of stack exceed the {} bytes of RAM",
        thousands(size.static_ram),
        thousands(peak),
        thousands(board.ram.min(size.ram))
    );
    bench.screen.note(
        "checked",
        &format!(
            "RAM: {} bytes static, {} of stack at its peak",
            thousands(size.static_ram),
            thousands(peak)
        ),
    );
    Ok(())
}

/// A program of its own that needs no peer: with one, so many bytes take minutes.
// case 54
fn large(bench: &Bench<'_>) -> Result<()> {
    let tools = bench.tools()?;
    let (name, target) = (AN385.package, AN385.target);
    let large = Program::Other { name: "large-file", feature: "large-file" };
    let program = firmware::compile(bench.workspace, name, large, target, tools, &bench.screen)?;
    ensure!(program.warnings == 0, "{} warnings in the program", program.warnings);
    let log_file = bench.workspace.demo().join("large.log");
    let device = Device::boot(&Boot {
        verbose: bench.screen.verbose(),
        ..Boot::new(&AN385, tools.qemu(AN385.emulator)?, &program.elf, &log_file)
    })?;
    let work = bench.screen.work("count", "a file of more than 4 GiB");
    let passed = device.log().wait_for(0, LARGE_LIMIT, "that all passed", |text| text == "all passed");
    passed.map_err(|error| device.explain(&error))?;
    let last = device.log().last(|text| text.starts_with("a file of")).context("no file")?;
    work.done(&last.text);
    Ok(())
}

/// Visitors of all kinds to one board, between two exchanges.
// case 60
fn churn(bench: &Bench<'_>) -> Result<()> {
    let tej = tej::build(bench.workspace, &bench.screen)?;
    let desktop = Desktop { tej: &tej, screen: &bench.screen };
    let firmware = bench.firmware(&AN385)?;
    let payloads = Payload::generate(&bench.workspace.demo().join("some"), AN505.check.files)?;
    let log_file = bench.workspace.demo().join("churn.log");
    let mut device = Device::boot(&Boot {
        verbose: bench.screen.verbose(),
        ..Boot::new(&AN385, bench.tools()?.qemu(AN385.emulator)?, &firmware.elf, &log_file)
    })?;
    device.await_listening()?;
    let before = exchange::send(&desktop, &mut device, &payloads, MESSAGE, false)?;
    expect_intact(&device, &before)?;

    let work = bench.screen.work("visit", "the device, thousands of times");
    let Tally { served, refused, peak, .. } = churn::run(&mut device)?;
    work.done(&format!(
        "{} connections, each accounted for, after {refused} refusals; {} bytes of stack at its peak",
        thousands(served as u64),
        thousands(peak)
    ));
    let after = exchange::send(&desktop, &mut device, &payloads, MESSAGE, false)?;
    expect_intact(&device, &after)?;
    bench
        .screen
        .note("checked", "all sockets serve at the same time, and every digest of another exchange agrees");
    Ok(())
}

fn expect_intact(device: &Device, outcome: &Outcome) -> Result<()> {
    match outcome.problems.as_slice() {
        [] => Ok(()),
        problems => {
            let problems: Vec<_> = problems.iter().map(Problem::to_string).collect();
            Err(device.explain(&anyhow::anyhow!("{}", problems.join("; "))))
        }
    }
}

/// The largest file's digest, and nothing else, must differ.
fn expect_flip_noticed(payloads: &[Payload], outcome: &Outcome) -> Result<()> {
    let largest = payloads.iter().max_by_key(|payload| payload.size).context("no files")?;
    match outcome.problems.as_slice() {
        [Problem::Digest { what: What::File(name), direction: Direction::ToDevice, sent, received }]
            if *name == largest.name && *sent == largest.sha256 && sent != received =>
        {
            Ok(())
        }
        [] => bail!("one bit of {} was flipped on the way and nobody noticed", largest.name),
        others => bail!(
            "one bit of {} was flipped on the way, and this is what was noticed: {others:?}",
            largest.name
        ),
    }
}

/// What a frame may have that is easily forgotten: an empty file, a file of one byte, a name beyond ASCII.
fn small_files(folder: &Path) -> Result<Vec<Payload>> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let files = [("empty", &b""[..]), ("one byte", b"1"), ("größe.txt", "größe\n".as_bytes())];
    let mut paths = Vec::new();
    for (name, content) in files {
        let path = folder.join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        paths.push(path);
    }
    Payload::read(&paths)
}

fn summary(results: &[Attempt]) -> ExitCode {
    let mut table = Table::new([Column::left("Step"), Column::right("Time"), Column::left("Result")]);
    for Attempt { name, time, outcome } in results {
        table.row([
            Cell::plain(*name),
            Cell::plain(screen::seconds(*time)),
            if outcome.is_ok() { Cell::good("passed") } else { Cell::bad("FAILED") },
        ]);
    }
    let total = results.iter().map(|attempt| attempt.time).sum();
    println!("\n{}", table.render());
    println!("In {}.", screen::seconds(total));
    let passed = results.iter().filter(|attempt| attempt.outcome.is_ok()).count();
    println!("{passed} passed, {} failed", results.len() - passed);
    if passed == results.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn step_names() -> clap::builder::PossibleValuesParser {
    STEPS.iter().map(|step| step.name).collect::<Vec<_>>().into()
}

/// Crates of the workspace that run on devices, with the features of their dependencies that are the application's to
/// choose and without which those do not compile.
const DEVICE_CRATES: [(&str, &str); 3] = [
    ("tej-core", ""),
    ("tej-files", ""),
    ("tej-embassy", "embassy-net/medium-ethernet,embassy-net/proto-ipv4"),
];
/// Features that need an operating system, or are no features of their own.
const HOST_FEATURES: [&str; 2] = ["default", "std"];
/// The feature of the tests that need Python.
const INTEROP_FEATURE: &str = "tej-std/interop";
/// What has to be left to the stack of firmware that nothing here can run: twice what it takes on the boards that run.
const STACK_BUDGET: u64 = 8 * 1024;
/// Many times what it takes.
const LARGE_LIMIT: Duration = Duration::from_secs(300);
/// What the stack of a device that speaks TLS may grow to, where elliptic curves have the most of it: half as much again as
/// the 15 KiB of today.
const TLS_STACK_BUDGET: u64 = 23 * 1024;
/// Bytes of the file that is sent over TLS: many records, and many times the device's RAM.
const TLS_FILE: u64 = 1024 * 1024;
const DENY_WARNINGS: [&str; 3] = ["--", "-D", "warnings"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_tried_alone_and_together() {
        let sets =
            |features: &[&str]| feature_sets(&features.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(sets(&[]), [""]);
        assert_eq!(sets(&["default", "defmt"]), ["", "defmt"]);
        assert_eq!(sets(&["a", "b", "default", "std"]), ["", "a", "b", "a,b"]);
        let extremes = |features: &[&str]| {
            extreme_feature_sets(&features.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(extremes(&[]), [""]);
        assert_eq!(extremes(&["a"]), ["", "a"]);
        assert_eq!(extremes(&["a", "b", "c"]), ["", "a,b,c"]);
    }

    #[test]
    fn steps_can_be_named() {
        for step in STEPS {
            assert!(STEPS.iter().filter(|other| other.name == step.name).count() == 1);
            assert!(step.name.len() <= 10, "the list of steps has a column of 10");
        }
    }

    #[test]
    fn only_the_flipped_file_may_differ() {
        let payload =
            |name: &str, size| Payload { path: name.into(), name: name.into(), size, sha256: name.repeat(2) };
        let payloads = [payload("a", 1), payload("b", 9)];
        let outcome =
            |problems| Outcome { moved: Vec::new(), problems, bytes: 0, time: Duration::ZERO, stack: None };
        let digest = |name: &str| Problem::Digest {
            what: What::File(name.into()),
            direction: Direction::ToDevice,
            sent: name.repeat(2),
            received: "x".into(),
        };
        expect_flip_noticed(&payloads, &outcome(vec![digest("b")])).unwrap();
        for wrong in
            [vec![], vec![digest("a")], vec![digest("b"), digest("a")], vec![Problem::Account("b".into())]]
        {
            assert!(expect_flip_noticed(&payloads, &outcome(wrong)).is_err());
        }
    }
}
