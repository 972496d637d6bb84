//! Setting a machine up: what is missing for a purpose, where it comes from, and installing it.
//!
//! Nothing is installed that was not listed with its reason first, and no Rust toolchain is ever downloaded: where
//! one is the answer, the command is told.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    board::{self, Emulator},
    cargo::{self, BareMetal},
    coverage::{LLVM_PACKAGE, Llvm},
    process,
    screen::Screen,
    tool::{self, Tool},
    workspace::Workspace,
};

/// Install what the other commands need on this machine, and nothing else.
///
/// Lists what it would install and why, and asks. What is looked for: a compiler for microcontrollers with its `core` (a rustup
/// target that is installed already, else Debian's packages, else you are told the rustup command), its linker, QEMU's
/// machines, rustfmt and clippy, valgrind, strace, nftables, a virtual environment under target/ with the Python original of the
/// protocol, and for the fuzz targets a C++ compiler and, under target/ as well, cargo-fuzz.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Whether to ask before anything is installed.
#[derive(clap::Args)]
pub(crate) struct Consent {
    /// Install what is missing without asking; implied by the variable CI and where there is no terminal.
    #[arg(long, short)]
    yes: bool,
}

/// Something a task cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Need {
    /// A compiler for one bare-metal target.
    Target(&'static str),
    /// The linter for that target.
    TargetLints,
    /// An emulator of boards.
    Qemu(&'static Emulator),
    /// rustfmt and clippy.
    Lints,
    /// The Python original of the protocol.
    Python,
    /// What executes machine code symbolically.
    Solver,
    /// The program that counts instructions.
    Valgrind,
    /// The program that makes system calls fail.
    Strace,
    /// The program that makes packets get lost.
    Nftables,
    /// A compiler for C++.
    Cxx,
    /// What reads the counts of a test run.
    Llvm,
    /// A program that comes as a crate.
    Tool(Tool),
}

/// What was asked for and is there.
#[derive(Default)]
pub(crate) struct Tools {
    bare_metal: Option<BareMetal>,
    qemu: Vec<(&'static Emulator, PathBuf)>,
    python: Option<PathBuf>,
    solver: Option<PathBuf>,
    valgrind: Option<PathBuf>,
    llvm: Option<Llvm>,
    programs: Vec<Tool>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let screen = Screen::new(false);
    screen.headline("Set-up");
    prepare(workspace, EVERYTHING, &options.consent, &screen)?;
    println!("\nReady: `cargo xtask demo`, `cargo xtask test`.");
    Ok(ExitCode::SUCCESS)
}

/// Finds what is needed and installs what is missing.
///
/// # Errors
/// When something has to be installed by hand, when the user declines, and when something is still missing after it
/// was installed.
pub(crate) fn prepare(
    workspace: &Workspace,
    needs: &[Need],
    consent: &Consent,
    screen: &Screen,
) -> Result<Tools> {
    let (tools, missing) = search(workspace, needs);
    if missing.is_empty() {
        screen.note("set-up", &format!("nothing to install ({})", tools.describe()));
        return Ok(tools);
    }
    let by_hand: Vec<_> = missing.iter().filter_map(Missing::by_hand).collect();
    if !by_hand.is_empty() {
        bail!("please install first:\n{}", by_hand.join("\n"));
    }
    let list: String =
        missing.iter().map(|Missing { remedy, reason }| format!("  {remedy}\n      {reason}\n")).collect();
    let list = format!("This machine still needs:\n{list}");
    screen.say(&list);
    if !consent.given(&list, screen)? {
        bail!("nothing was installed");
    }
    install(workspace, &missing, screen)?;
    let (tools, missing) = search(workspace, needs);
    if let Some(Missing { remedy, .. }) = missing.first() {
        bail!("installed, and still not usable: {remedy}");
    }
    screen.note("set-up", &format!("done ({})", tools.describe()));
    Ok(tools)
}

/// Everything that [`prepare`] knows.
pub(crate) const EVERYTHING: &[Need] = &[
    Need::Lints,
    Need::Target(CORTEX_M3),
    Need::Target(CORTEX_M0),
    Need::Target(CORTEX_M4),
    Need::Target(CORTEX_M7),
    Need::Target(CORTEX_M33),
    Need::Target(RISCV32),
    Need::TargetLints,
    Need::Qemu(&board::ARM),
    Need::Qemu(&board::RISCV),
    Need::Python,
    Need::Valgrind,
    Need::Strace,
    Need::Nftables,
    Need::Cxx,
    Need::Tool(tool::FUZZ),
];

/// The target of the demo's board.
pub(crate) const CORTEX_M3: &str = "thumbv7m-none-eabi";
/// The smallest of its family: no compare-and-swap.
pub(crate) const CORTEX_M0: &str = "thumbv6m-none-eabi";
/// With instructions for signal processing.
pub(crate) const CORTEX_M4: &str = "thumbv7em-none-eabi";
/// The same, with a floating-point unit.
pub(crate) const CORTEX_M7: &str = "thumbv7em-none-eabihf";
/// The successor of the Cortex-M3.
pub(crate) const CORTEX_M33: &str = "thumbv8m.main-none-eabi";
/// Small RISC-V microcontrollers, without atomics.
pub(crate) const RISCV32: &str = "riscv32imc-unknown-none-elf";

impl Tools {
    pub(crate) fn bare_metal(&self) -> Result<&BareMetal> {
        self.bare_metal.as_ref().context("the set-up found no compiler for bare metal")
    }

    pub(crate) fn qemu(&self, emulator: &Emulator) -> Result<&Path> {
        let found = self.qemu.iter().find(|(found, _)| *found == emulator);
        found
            .map(|(_, path)| path.as_path())
            .with_context(|| format!("the set-up found no {}", emulator.program))
    }

    pub(crate) fn python(&self) -> Result<&Path> {
        self.python.as_deref().context("the set-up found no Python")
    }

    /// The Python that has the solver.
    pub(crate) fn solver(&self) -> Result<&Path> {
        self.solver.as_deref().context("the set-up found no solver")
    }

    pub(crate) fn valgrind(&self) -> Result<&Path> {
        self.valgrind.as_deref().context("the set-up found no valgrind")
    }

    pub(crate) fn llvm(&self) -> Result<&Llvm> {
        self.llvm.as_ref().context("the set-up found no LLVM")
    }

    fn describe(&self) -> String {
        let mut parts = Vec::new();
        if let Some(bare_metal) = &self.bare_metal {
            parts.push(bare_metal.describe());
        }
        // They come from one source in one version.
        if let Some((_, qemu)) = self.qemu.first() {
            parts.push(qemu_version(qemu));
        }
        if self.python.is_some() {
            parts.push(ORIGINAL.describe());
        }
        if self.solver.is_some() {
            parts.push(SOLVER.describe());
        }
        if let Some(valgrind) = &self.valgrind {
            // "valgrind-3.19.0"
            let version = process::answer(Command::new(valgrind).arg("--version")).unwrap_or_default();
            parts.push(version.replace('-', " "));
        }
        parts.extend(self.llvm.as_ref().map(Llvm::describe));
        parts.extend(self.programs.iter().map(|tool| format!("{} {}", tool.package, tool.version)));
        if parts.is_empty() { "cargo is all it takes".to_owned() } else { parts.join(", ") }
    }
}

/// `QEMU 7.2.22`
pub(crate) fn qemu_version(program: &Path) -> String {
    // "QEMU emulator version 7.2.22 (Debian …)"
    let version = process::answer(Command::new(program).arg("--version")).unwrap_or_default();
    format!("QEMU {}", version.split_whitespace().nth(3).unwrap_or("?"))
}

impl Consent {
    /// `list` is what is about to be installed; it was shown on `screen`.
    fn given(&self, list: &str, screen: &Screen) -> Result<bool> {
        if self.yes {
            screen.say("Installing it, as --yes says.\n");
            return Ok(true);
        }
        if env::var("CI").is_ok_and(|value| is_set(&value)) {
            screen.say("Installing it, since CI is set.\n");
            return Ok(true);
        }
        if io::stdin().is_terminal() && screen.is_terminal() {
            screen.say(QUESTION);
            io::stdout().flush()?;
        } else if io::stdin().is_terminal() && io::stderr().is_terminal() {
            // What is asked about went into a file or a pipe.
            eprint!("{list}{QUESTION}");
        } else {
            screen.say("Installing it, since there is no terminal to ask on.\n");
            return Ok(true);
        }
        let mut reply = String::new();
        io::stdin().read_line(&mut reply)?;
        // The end of input is not a yes.
        Ok(matches!(reply.to_lowercase().as_str().trim_end_matches(['\r', '\n']), "" | "y" | "yes")
            && !reply.is_empty())
    }
}

/// Whether a variable that is a switch is on.
fn is_set(value: &str) -> bool {
    !matches!(value.to_lowercase().as_str(), "" | "0" | "false")
}

/// Something that is not there, and what would help.
#[derive(Debug)]
struct Missing {
    remedy: Remedy,
    reason: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
enum Remedy {
    /// Debian's packages, and for people who would rather not have them, another command.
    Debian { packages: Vec<&'static str>, instead: Option<String> },
    /// A virtual environment with these packages, made by this interpreter.
    Environment { packages: &'static Packages, interpreter: PathBuf, place: PathBuf },
    /// A crate's program, into a folder under target/.
    Tool { tool: Tool, place: PathBuf },
    /// Only the user can do it.
    Tell(String),
}

impl Missing {
    /// What to tell the user if this cannot be installed from here.
    fn by_hand(&self) -> Option<String> {
        match &self.remedy {
            Remedy::Tell(command) => Some(format!("  {command}\n      {}", self.reason)),
            Remedy::Debian { packages, instead } if process::find_in_path("apt-get").is_none() => {
                let named = || format!("what Debian calls {}", packages.join(" "));
                Some(format!("  {}\n      {}", instead.clone().unwrap_or_else(named), self.reason))
            }
            Remedy::Debian { .. } if !is_root() && process::find_in_path("sudo").is_none() => {
                Some(format!("  as root: {}\n      {}", self.remedy, self.reason))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Remedy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Debian { packages, instead } => {
                write!(f, "apt-get install {}", packages.join(" "))?;
                instead.as_ref().map_or(Ok(()), |instead| write!(f, "   (or stop here, and: {instead})"))
            }
            Self::Environment { packages, place, .. } => {
                write!(f, "pip install {packages}   (into {})", place.display())
            }
            Self::Tool { tool, place } => write!(f, "{tool}   (into {})", place.display()),
            Self::Tell(command) => f.write_str(command),
        }
    }
}

fn search(workspace: &Workspace, needs: &[Need]) -> (Tools, Vec<Missing>) {
    let mut tools = Tools::default();
    let mut missing = Vec::new();
    // Many steps need the same one.
    let targets: BTreeSet<_> = needs
        .iter()
        .filter_map(|need| match need {
            Need::Target(target) => Some(*target),
            _ => None,
        })
        .collect();
    let targets: Vec<_> = targets.into_iter().collect();
    if needs.contains(&Need::Lints) {
        missing.extend(missing_lints(workspace));
    }
    if !targets.is_empty() {
        let has_lints = match BareMetal::find(workspace, &targets) {
            Ok(bare_metal) => tools.bare_metal.insert(bare_metal).has_lints(),
            Err(lacking) => {
                // A linter that is there without its compiler is an older one's.
                let has_lints = !lacking.contains(&Part::Compiler) && cargo::debian_has_lints();
                missing.extend(lacking.into_iter().map(|part| missing_part(part, &targets)));
                has_lints
            }
        };
        if needs.contains(&Need::TargetLints) && !has_lints {
            missing.push(Missing {
                remedy: Remedy::Debian { packages: vec!["rust-web-clippy"], instead: None },
                reason: "the linter of that compiler, which the boards' code is held to",
            });
        }
    }
    for emulator in emulators_in(needs) {
        match process::find_in_path(emulator.program) {
            Some(path) => tools.qemu.push((emulator, path)),
            None => missing.push(Missing {
                remedy: Remedy::Debian { packages: vec![emulator.package], instead: None },
                reason: emulator.reason,
            }),
        }
    }
    for (need, packages, place, found) in [
        (Need::Python, &ORIGINAL, workspace.python(), &mut tools.python),
        (Need::Solver, &SOLVER, workspace.solver(), &mut tools.solver),
    ] {
        if needs.contains(&need) {
            let interpreter = place.join("bin").join("python");
            if packages.are_installed(&interpreter) {
                *found = Some(interpreter);
            } else {
                missing.extend(missing_packages(packages, place));
            }
        }
    }
    if needs.contains(&Need::Valgrind) {
        tools.valgrind = process::find_in_path("valgrind");
        if tools.valgrind.is_none() {
            missing.push(Missing {
                remedy: Remedy::Debian { packages: vec!["valgrind"], instead: None },
                reason: "counts the instructions of the benchmarks, the same on every run",
            });
        }
    }
    // Elsewhere there is none, nor the tests that need it.
    let traces = cfg!(target_os = "linux") && needs.contains(&Need::Strace);
    if traces && process::find_in_path("strace").is_none() {
        missing.push(Missing {
            remedy: Remedy::Debian { packages: vec!["strace"], instead: None },
            reason: "makes the disk fail, and kills the process at any step, in the tests of the inbox",
        });
    }
    let drops = cfg!(target_os = "linux") && needs.contains(&Need::Nftables);
    let nft = ["nft", "ip"]
        .iter()
        .all(|name| process::find_in_path(name).is_some() || Path::new("/usr/sbin").join(name).is_file());
    if drops && !nft {
        missing.push(Missing {
            remedy: Remedy::Debian { packages: vec!["nftables", "iproute2"], instead: None },
            reason: "loses packets in a network namespace of the tests' own",
        });
    }
    if needs.contains(&Need::Cxx) && !has_cxx() {
        missing.push(Missing {
            remedy: Remedy::Debian { packages: vec!["g++"], instead: None },
            reason: "a C++ compiler: libFuzzer is compiled along with the fuzz targets",
        });
    }
    if needs.contains(&Need::Llvm) {
        tools.llvm = Llvm::find(workspace);
        if tools.llvm.is_none() {
            missing.push(Missing {
                remedy: Remedy::Debian {
                    packages: vec![LLVM_PACKAGE],
                    instead: Some("rustup component add llvm-tools".to_owned()),
                },
                reason: "reads what the tests counted",
            });
        }
    }
    for tool in tools_in(needs) {
        if tool.is_installed(workspace) {
            tools.programs.push(tool);
        } else {
            missing.push(Missing {
                remedy: Remedy::Tool { tool, place: workspace.tools() },
                reason: tool.reason,
            });
        }
    }
    (tools, missing)
}

/// Each once.
fn emulators_in(needs: &[Need]) -> BTreeSet<&'static Emulator> {
    let emulators = needs.iter().filter_map(|need| match need {
        Need::Qemu(emulator) => Some(*emulator),
        _ => None,
    });
    emulators.collect()
}

/// Each once, in the order of their first mention.
fn tools_in(needs: &[Need]) -> Vec<Tool> {
    let mut tools = Vec::new();
    for need in needs {
        match need {
            Need::Tool(tool) if !tools.contains(tool) => tools.push(*tool),
            _ => {}
        }
    }
    tools
}

/// What the build script of a C++ library would run.
fn has_cxx() -> bool {
    env::var_os("CXX").is_some() || process::find_in_path("c++").is_some()
}

fn missing_lints(workspace: &Workspace) -> Option<Missing> {
    let lacking: Vec<_> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(command, _)| process::answer(workspace.cargo().args([command, "--version"])).is_none())
        .map(|(_, component)| component)
        .collect();
    (!lacking.is_empty()).then(|| Missing {
        remedy: Remedy::Tell(format!("rustup component add {}", lacking.join(" "))),
        reason: "the formatter and the linter that the code is held to",
    })
}

/// A part of a bare-metal toolchain that was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Compiler,
    Linker,
}

fn missing_part(part: Part, targets: &[&str]) -> Missing {
    match part {
        Part::Compiler => Missing {
            remedy: Remedy::Debian {
                packages: DEBIAN_TOOLCHAIN.to_vec(),
                instead: Some(format!("rustup target add {}", targets.join(" "))),
            },
            reason: "a compiler for microcontrollers, with the sources of `core` to build it from",
        },
        Part::Linker => Missing {
            remedy: Remedy::Debian { packages: vec!["lld"], instead: None },
            reason: "the linker for microcontrollers",
        },
    }
}

/// Python packages, each in one version, and what they are for.
#[derive(Debug, PartialEq, Eq)]
struct Packages {
    /// As pip takes them. The first is what the others are for.
    pinned: &'static [&'static str],
    /// A module that is there with them.
    module: &'static str,
    /// Why Python itself is needed.
    interpreter_reason: &'static str,
    reason: &'static str,
}

impl Packages {
    /// Whether these very versions are there, and usable.
    fn are_installed(&self, interpreter: &Path) -> bool {
        let question = format!(
            "import importlib.metadata as m, {}; print(*[f'{{p}}=={{m.version(p)}}' for p in {:?}])",
            self.module,
            self.pinned.iter().filter_map(|pin| pin.split("==").next()).collect::<Vec<_>>()
        );
        process::answer(Command::new(interpreter).args(["-c", &question])) == Some(self.pinned.join(" "))
    }

    fn describe(&self) -> String {
        self.pinned.first().map(|pin| pin.replace("==", " ")).unwrap_or_default()
    }
}

impl std::fmt::Display for Packages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.pinned.join(" "))
    }
}

fn missing_packages(packages: &'static Packages, place: PathBuf) -> Vec<Missing> {
    let debian = PathBuf::from("/usr/bin/python3");
    let able = process::find_in_path("python3").into_iter().chain([debian.clone()]).find(|python| {
        // Debian splits `ensurepip`, without which an environment has no pip, off into a package.
        process::answer(Command::new(python).args(["-c", "import venv, ensurepip"])).is_some()
    });
    let mut missing = Vec::new();
    if able.is_none() {
        missing.push(Missing {
            remedy: Remedy::Debian { packages: vec!["python3", "python3-venv"], instead: None },
            reason: packages.interpreter_reason,
        });
    }
    missing.push(Missing {
        remedy: Remedy::Environment { packages, interpreter: able.unwrap_or(debian), place },
        reason: packages.reason,
    });
    missing
}

fn install(workspace: &Workspace, missing: &[Missing], screen: &Screen) -> Result<()> {
    let packages: Vec<_> = missing
        .iter()
        .filter_map(|missing| match &missing.remedy {
            Remedy::Debian { packages, .. } => Some(packages.as_slice()),
            _ => None,
        })
        .flatten()
        .copied()
        .collect();
    if !packages.is_empty() {
        let instead = missing.iter().find_map(|missing| match &missing.remedy {
            Remedy::Debian { instead, .. } => instead.as_deref(),
            _ => None,
        });
        install_packages(workspace, &packages, instead.unwrap_or_default(), screen)?;
    }
    for missing in missing {
        if let Remedy::Environment { packages, interpreter, place } = &missing.remedy {
            screen.note("set-up", &format!("pip install {packages}"));
            install_environment(packages, interpreter, place)?;
        }
        if let Remedy::Tool { tool, .. } = missing.remedy {
            tool.install(workspace, screen)?;
        }
    }
    Ok(())
}

/// `instead` is what else would help.
fn install_packages(workspace: &Workspace, packages: &[&str], instead: &str, screen: &Screen) -> Result<()> {
    // A list that could not be refreshed may still be good enough: the installation decides.
    let updated = update_lists(workspace, screen);
    if let Err(error) = &updated {
        screen.note("set-up", &format!("warning: {error:#}"));
    }
    if packages.contains(&DEBIAN_TOOLCHAIN[0]) {
        let required = required_rust();
        let offered = candidate(DEBIAN_TOOLCHAIN[0]);
        if offered.is_none() {
            updated.context("Debian's lists of packages are not there")?;
        }
        if offered.is_none_or(|offered| offered < required) {
            bail!(
                "this Debian offers no Rust {}.{} (package {}). With rustup: {instead}",
                required.0,
                required.1,
                DEBIAN_TOOLCHAIN[0]
            );
        }
    }
    // `--no-remove`: a toolchain or a rustup that the user has from Debian must not be replaced behind their back.
    let mut arguments =
        vec!["install", "-y", "--no-install-recommends", "--no-remove", "-o", "DPkg::Lock::Timeout=300"];
    arguments.extend(packages);
    let kept = kept_in_debians_version(packages);
    if !kept.is_empty() {
        let kept = kept.iter().map(String::as_str);
        screen.note(
            "set-up",
            &format!(
                "for these, {} goes back to Debian's version",
                kept.clone().collect::<Vec<_>>().join(" ")
            ),
        );
        arguments.push("--allow-downgrades");
        arguments.extend(kept);
    }
    apt_get(&arguments, &workspace.target().join("setup-install.log"), screen)
}

/// What apt-get would remove to make room for `packages`, each with the version that Debian offers: a newer one, from
/// backports say, excludes the packages of its own source. A package that Debian does not offer is left to apt-get's
/// refusal.
fn kept_in_debians_version(packages: &[&str]) -> Vec<String> {
    let simulation = process::answer(
        Command::new("apt-get")
            .env("LC_ALL", "C")
            .args(["install", "--simulate", "--no-install-recommends"])
            .args(packages),
    );
    removals(&simulation.unwrap_or_default())
        .filter_map(|package| {
            let offers = process::answer(Command::new("apt-cache").args(["madison", package]))?;
            let newest = offers.lines().next()?.split('|').nth(1)?.trim().to_owned();
            Some(format!("{package}={newest}"))
        })
        .collect()
}

/// The packages that a simulation of apt-get removes.
fn removals(simulation: &str) -> impl Iterator<Item = &str> {
    simulation.lines().filter_map(|line| line.strip_prefix("Remv ")?.split(' ').next())
}

/// Waits for whoever is refreshing the lists right now, which apt-get does not do by itself, with no option either.
fn update_lists(workspace: &Workspace, screen: &Screen) -> Result<()> {
    let log = workspace.target().join("setup-update.log");
    let mut attempt = 1;
    loop {
        match apt_get(&["update"], &log, screen) {
            // The path is in the message, whatever its language.
            Err(error) if attempt < UPDATE_ATTEMPTS && error.to_string().contains("/lists/lock") => {
                screen.note("set-up", "another program is refreshing the lists of packages: waiting for it");
                thread::sleep(UPDATE_PAUSE);
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

fn is_root() -> bool {
    process::answer(Command::new("id").arg("-u")).as_deref() == Some("0")
}

/// Runs apt-get as root, its output in `log`.
fn apt_get(arguments: &[&str], log: &Path, screen: &Screen) -> Result<()> {
    let mut command = if is_root() {
        Command::new("apt-get")
    } else {
        if io::stdin().is_terminal() {
            // Asks for the password now, while nothing is drawn over the question. It ends itself on a signal and leaves
            // the terminal as it was, which it could not if it were killed.
            let validated = Command::new("sudo").arg("--validate").status().context("cannot start sudo")?;
            ensure!(validated.success(), "`sudo --validate` failed ({validated})");
        }
        let mut command = Command::new("sudo");
        // Fails instead of waiting for a password that nobody can type.
        command.args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        command
    };
    command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
    let work = screen.work("set-up", &process::shown(&command));
    cargo::run_spared(&mut command, log, &work)?;
    work.done(&format!("apt-get {}", arguments.first().copied().unwrap_or_default()));
    Ok(())
}

/// The version of a package that apt-get would install, up to the minor number.
fn candidate(package: &str) -> Option<(u32, u32)> {
    let policy = process::answer(Command::new("apt-cache").env("LC_ALL", "C").args(["policy", package]))?;
    policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:")).and_then(version)
}

/// The Rust version that the workspace is written for.
pub(crate) fn required_rust() -> (u32, u32) {
    version(env!("CARGO_PKG_RUST_VERSION")).expect("cargo checks rust-version")
}

/// Major and minor number at the start of a version, after an epoch if there is one.
pub(crate) fn version(text: &str) -> Option<(u32, u32)> {
    let text = text.trim();
    let text = text.split_once(':').map_or(text, |(_, rest)| rest);
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn install_environment(packages: &Packages, interpreter: &Path, place: &Path) -> Result<()> {
    if place.exists() {
        // It is ours, and what is in it does not work: made by an interpreter that is gone, or half made.
        fs::remove_dir_all(place).with_context(|| format!("cannot replace {}", place.display()))?;
    }
    process::run_spared(Command::new(interpreter).args(["-m", "venv"]).arg(place))?;
    let mut pip = Command::new(place.join("bin").join("python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
    process::run_spared(pip.args(packages.pinned))
}

/// In Debian's stable releases the up-to-date compiler comes under the names of the packages that Firefox is built
/// with. The first one carries the version that is checked.
const DEBIAN_TOOLCHAIN: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
/// A minute and a half in all.
const UPDATE_ATTEMPTS: u32 = 10;
const UPDATE_PAUSE: Duration = Duration::from_secs(10);
const QUESTION: &str = "Install it now? [Y/n] ";
/// The version that docs/protocol.md was checked against.
const ORIGINAL: Packages = Packages {
    pinned: &["tej-protoc==0.2.4"],
    module: "tej_protoc",
    interpreter_reason: "runs the Python original of the protocol, for the interop tests",
    reason: "the Python original itself, in a virtual environment of its own",
};
/// angr works with these versions of what it is made of, and not with every later one.
const SOLVER: Packages = Packages {
    pinned: &["angr==9.2.213", "bitstring==4.3.1", "pycparser==3.0"],
    module: "pyvex",
    interpreter_reason: "runs the symbolic execution of the decoder",
    reason: "executes machine code for all inputs at once, in a virtual environment of its own (about 400 MB)",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(version(" 1.96.0+dfsg1-1~deb12u2"), Some((1, 96)));
        assert_eq!(version("1:14.0-55.7~deb12u1"), Some((14, 0)));
        assert_eq!(version("(none)"), None);
        assert!(version("1.100.0") > version("1.96"));
    }

    #[test]
    fn a_simulation_names_what_it_removes() {
        let simulation = "The following packages will be REMOVED:\n  qemu-utils\n\
                          Remv qemu-utils [1:10.0.2+ds-2]\nInst qemu-system-arm (1:7.2)\n";
        assert_eq!(removals(simulation).collect::<Vec<_>>(), ["qemu-utils"]);
    }

    #[test]
    fn a_switch_can_be_off() {
        assert!(["1", "true", "yes"].into_iter().all(is_set));
        assert!(!["", "0", "false", "FALSE"].into_iter().any(is_set));
    }

    #[test]
    fn what_only_the_user_can_do_is_told() {
        let tell = Missing { remedy: Remedy::Tell("rustup component add clippy".into()), reason: "lints" };
        assert_eq!(tell.by_hand().unwrap(), "  rustup component add clippy\n      lints");
    }

    #[test]
    fn each_tool_is_looked_for_once() {
        let other = Tool { version: "0", ..tool::FUZZ };
        let needs = [Need::Cxx, Need::Tool(tool::FUZZ), Need::Tool(other), Need::Tool(tool::FUZZ)];
        assert_eq!(tools_in(&needs), [tool::FUZZ, other]);
    }

    #[test]
    fn each_emulator_is_looked_for_once() {
        let needs = [&board::ARM, &board::RISCV, &board::ARM].map(Need::Qemu);
        let packages: Vec<_> = emulators_in(&needs).into_iter().map(|emulator| emulator.package).collect();
        assert_eq!(packages, ["qemu-system-arm", "qemu-system-misc"]);
    }

    #[test]
    fn a_remedy_reads_like_the_command() {
        let remedy = missing_part(Part::Compiler, &[CORTEX_M3, CORTEX_M0]).remedy.to_string();
        assert_eq!(
            remedy,
            "apt-get install rustc-web cargo-web rust-web-src   \
             (or stop here, and: rustup target add thumbv7m-none-eabi thumbv6m-none-eabi)"
        );
    }
}
