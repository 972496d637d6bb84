//! Running cargo: for the host, and for bare metal with whatever toolchain this machine has for it.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
};

use anyhow::{Result, anyhow, bail};
use serde_json::Value;

use crate::{
    process::{self, Guarded},
    screen::Work,
    setup::{self, Part},
    tool::Tool,
    workspace::{self, Workspace},
};

/// A toolchain that builds for targets without an operating system.
#[derive(Debug)]
pub(crate) enum BareMetal {
    /// The host's own toolchain has the targets' libraries installed.
    Installed,
    /// Debian's compiler with Debian's sources of `core`, which is built along with each target directory.
    Debian { linker: PathBuf },
}

impl BareMetal {
    /// Looks for one that builds for all of `targets`; an error lists what is lacking.
    pub(crate) fn find(workspace: &Workspace, targets: &[&str]) -> Result<Self, Vec<Part>> {
        let sysroot = host_sysroot(workspace);
        let installed = |target: &&str| {
            sysroot.as_ref().is_some_and(|sysroot| libraries(sysroot).join(target).join("lib").is_dir())
        };
        if targets.iter().all(installed) {
            return Ok(Self::Installed);
        }
        let mut lacking = Vec::new();
        if !debian_is_usable() {
            lacking.push(Part::Compiler);
        }
        let linker =
            sysroot.and_then(|sysroot| rust_lld(&sysroot)).or_else(|| process::find_in_path("ld.lld"));
        match linker {
            Some(linker) if lacking.is_empty() => Ok(Self::Debian { linker }),
            Some(_) => Err(lacking),
            None => {
                lacking.push(Part::Linker);
                Err(lacking)
            }
        }
    }

    /// `cargo <subcommand>` for `target` in `folder`, with the shared target directory.
    pub(crate) fn cargo(
        &self,
        workspace: &Workspace,
        folder: &Path,
        subcommand: &str,
        target: &str,
    ) -> Command {
        let mut command = match self {
            Self::Installed => workspace.cargo(),
            // By its path: cargo would look for `cargo-clippy` among rustup's proxies first.
            Self::Debian { .. } if subcommand == "clippy" => Command::new(DEBIAN_CLIPPY),
            Self::Debian { .. } => Command::new(DEBIAN_CARGO),
        };
        command.arg(subcommand);
        self.set_up(&mut command, workspace, folder, target);
        if let (Self::Debian { .. }, "clippy") = (self, subcommand) {
            command.env("CARGO", DEBIAN_CARGO);
        }
        command
    }

    /// Runs a subcommand that comes as a crate, which builds by cargo as [`cargo`](Self::cargo) does.
    pub(crate) fn tool(&self, workspace: &Workspace, tool: Tool, folder: &Path, target: &str) -> Command {
        let mut command = tool.command(workspace);
        self.set_up(&mut command, workspace, folder, target);
        if let Self::Debian { .. } = self {
            command.env("CARGO", DEBIAN_CARGO);
        }
        command
    }

    fn set_up(&self, command: &mut Command, workspace: &Workspace, folder: &Path, target: &str) {
        command.current_dir(folder);
        for variable in OVERRIDES {
            command.env_remove(variable);
        }
        command.args(["--target", target, "--target-dir"]).arg(workspace.bare_metal_target());
        if let Self::Debian { linker } = self {
            // What the cargo that runs us has set names its own toolchain.
            for variable in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTDOC", "LD_LIBRARY_PATH"] {
                command.env_remove(variable);
            }
            // By `cfg`, since cargo does not find what is set for a target with a dot in its name.
            let linker =
                format!("target.'cfg(target_os = \"none\")'.linker = {:?}", linker.display().to_string());
            command
                .env("RUSTC", DEBIAN_RUSTC)
                // Building `core` from its sources is not stable yet.
                .env("RUSTC_BOOTSTRAP", "1")
                .args(["--config", &linker, "-Z", "build-std=core"]);
        }
    }

    /// Whether [`cargo`](Self::cargo) knows `clippy`.
    pub(crate) fn has_lints(&self) -> bool {
        match self {
            // The host's, which the lints of the workspace need, too.
            Self::Installed => true,
            Self::Debian { .. } => debian_has_lints(),
        }
    }

    pub(crate) fn describe(&self) -> String {
        let version = |rustc: &OsStr| {
            let version = process::answer(Command::new(rustc).arg("--version")).unwrap_or_default();
            version.split(' ').nth(1).unwrap_or("?").to_owned()
        };
        match self {
            Self::Installed => {
                format!("rustc {} with its own targets for bare metal", version(&host_compiler()))
            }
            Self::Debian { linker } => {
                let linker = linker.file_name().unwrap_or_default().display();
                format!(
                    "Debian's rustc {} with its core sources and {linker}",
                    version(DEBIAN_RUSTC.as_ref())
                )
            }
        }
    }
}

/// What a build left behind.
pub(crate) struct Built {
    /// The programs, in the order they were linked.
    pub(crate) executables: Vec<PathBuf>,
    /// Warnings in our own code.
    pub(crate) warnings: usize,
}

impl Built {
    /// The one program.
    pub(crate) fn program(&self) -> Result<&Path> {
        match self.executables.as_slice() {
            [program] => Ok(program),
            other => bail!("expected one program from the build, not {}", other.len()),
        }
    }
}

/// Runs a cargo build with its progress in `work` and everything it says in `log`. Diagnostics are shown.
pub(crate) fn build(command: Command, log: &Path, work: &Work) -> Result<Built> {
    let mut diagnostics = String::new();
    let built = compile(command, log, work, &mut diagnostics);
    eprint!("{diagnostics}");
    built
}

/// Like [`build`], for one that should fail: gives its diagnostics instead of showing them, `None` when it succeeds.
pub(crate) fn failure(command: Command, log: &Path, work: &Work) -> Option<String> {
    let mut diagnostics = String::new();
    match compile(command, log, work, &mut diagnostics) {
        Ok(_) => None,
        Err(error) => Some(format!("{diagnostics}{error}")),
    }
}

fn compile(mut command: Command, log: &Path, work: &Work, diagnostics: &mut String) -> Result<Built> {
    command.arg(if console::colors_enabled_stderr() {
        "--message-format=json-diagnostic-rendered-ansi"
    } else {
        "--message-format=json"
    });
    let mut built = Built { executables: Vec::new(), warnings: 0 };
    run_with(Guarded::spawn, &mut command, log, work, |line| {
        let Ok(message) = serde_json::from_str::<Value>(line) else { return };
        match message["reason"].as_str() {
            Some("compiler-artifact") => {
                built.executables.extend(message["executable"].as_str().map(PathBuf::from));
            }
            Some("compiler-message") => {
                let message = &message["message"];
                // The closing line that counts the others has no place in the source.
                let counts = message["spans"].as_array().is_some_and(|spans| !spans.is_empty());
                built.warnings += usize::from(counts && message["level"] == "warning");
                diagnostics.push_str(message["rendered"].as_str().unwrap_or_default());
            }
            _ => {}
        }
    })?;
    Ok(built)
}

/// Runs a command with its progress in `work` and everything it says in `log`.
pub(crate) fn run(command: &mut Command, log: &Path, work: &Work) -> Result<()> {
    run_with(Guarded::spawn, command, log, work, |line| work.detail(line))
}

/// Like [`run`], but not even a signal ends the command.
pub(crate) fn run_spared(command: &mut Command, log: &Path, work: &Work) -> Result<()> {
    run_with(Guarded::spare, command, log, work, |line| work.detail(line))
}

/// Runs a command, whatever it ends with, and shows each line it writes to its standard output; all it says is in `log`.
pub(crate) fn follow(command: &mut Command, log: &Path, mut output: impl FnMut(&str)) -> Result<Ended> {
    follow_with(Guarded::spawn, command, log, |line| {
        if let Said::Output(line) = line {
            output(line);
        }
    })
}

/// How a command ended that was followed.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    command: String,
    log: PathBuf,
    /// The end of its standard error.
    said: Vec<String>,
}

impl Ended {
    /// That it failed, and its last words.
    pub(crate) fn failure(&self) -> anyhow::Error {
        let Self { status, command, log, said } = self;
        anyhow!("`{command}` failed ({status}; all of it: {})\n{}", log.display(), said.join("\n"))
    }
}

/// A line, and where it was written.
enum Said<'a> {
    Output(&'a str),
    Error(&'a str),
}

fn run_with(
    start: fn(&mut Command) -> Result<Guarded>,
    command: &mut Command,
    log: &Path,
    work: &Work,
    mut output: impl FnMut(&str),
) -> Result<()> {
    let ended = follow_with(start, command, log, |line| match line {
        Said::Output(line) => output(line),
        // The end of a build is announced anyway, and so is an error, unless it was expected.
        Said::Error(line)
            if ["Finished", "error"].iter().any(|begin| line.trim_start().starts_with(begin)) => {}
        Said::Error(line) => work.detail(line.trim()),
    })?;
    if ended.status.success() { Ok(()) } else { Err(ended.failure()) }
}

fn follow_with(
    start: fn(&mut Command) -> Result<Guarded>,
    command: &mut Command,
    log: &Path,
    mut each: impl FnMut(Said<'_>),
) -> Result<Ended> {
    let mut file = workspace::create(log)?;
    let mut child = start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let (sender, lines) = mpsc::channel();
    let errors = sender.clone();
    let (stdout, stderr) = child.output()?;
    // The receiver outlives both threads' channels.
    let _ = process::each_line(stdout, move |line| drop(sender.send((true, line))));
    let _ = process::each_line(stderr, move |line| drop(errors.send((false, line))));
    let mut said = VecDeque::new();
    for (from_stdout, line) in lines {
        writeln!(file, "{line}")?;
        if from_stdout {
            each(Said::Output(&line));
        } else {
            each(Said::Error(&line));
            said.push_back(line);
            if said.len() > LINES_OF_A_FAILURE {
                said.pop_front();
            }
        }
    }
    let status = child.collect()?;
    Ok(Ended { status, command: process::shown(command), log: log.to_path_buf(), said: said.into() })
}

/// Name and version of the host's compiler: `rustc 1.95.0`.
pub(crate) fn compiler(workspace: &Workspace) -> String {
    let text = process::answer(Command::new(host_compiler()).arg("--version").current_dir(workspace.root()));
    text.unwrap_or_default().split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// The folders of further programs that rustup installed with the host's compiler.
pub(crate) fn beside_the_compiler(workspace: &Workspace) -> Vec<PathBuf> {
    let hosts = host_sysroot(workspace).and_then(|sysroot| libraries(&sysroot).read_dir().ok());
    hosts.into_iter().flatten().filter_map(Result::ok).map(|host| host.path().join("bin")).collect()
}

fn host_sysroot(workspace: &Workspace) -> Option<PathBuf> {
    process::answer(Command::new(host_compiler()).args(["--print", "sysroot"]).current_dir(workspace.root()))
        .map(PathBuf::from)
}

fn host_compiler() -> OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

fn libraries(sysroot: &Path) -> PathBuf {
    sysroot.join("lib").join("rustlib")
}

/// The linker that comes with rustup's toolchains, in the folder of the host they run on.
fn rust_lld(sysroot: &Path) -> Option<PathBuf> {
    let hosts = libraries(sysroot).read_dir().ok()?;
    hosts
        .filter_map(Result::ok)
        .map(|host| host.path().join("bin").join("rust-lld"))
        .find(|path| path.is_file())
}

/// Whether the linter of Debian's compiler is there.
pub(crate) fn debian_has_lints() -> bool {
    Path::new(DEBIAN_CLIPPY).is_file()
}

fn debian_is_usable() -> bool {
    let recent = |program: &str| {
        process::answer(Command::new(program).arg("--version").env_remove("LD_LIBRARY_PATH"))
            .and_then(|text| text.split(' ').nth(1).and_then(setup::version))
            .is_some_and(|version| version >= setup::required_rust())
    };
    let sysroot =
        || process::answer(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"])).map(PathBuf::from);
    recent(DEBIAN_CARGO)
        && recent(DEBIAN_RUSTC)
        && sysroot().is_some_and(|sysroot| {
            libraries(&sysroot)
                .join("src")
                .join("rust")
                .join("library")
                .join("core")
                .join("Cargo.toml")
                .is_file()
        })
}

/// What would take the place of a board crate's own configuration: its linker script, where the output goes, and which
/// log lines are compiled in.
const OVERRIDES: [&str; 5] =
    ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "CARGO_BUILD_TARGET", "DEFMT_LOG"];
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_CLIPPY: &str = "/usr/bin/cargo-clippy";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const LINES_OF_A_FAILURE: usize = 20;
