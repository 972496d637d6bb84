//! `cargo xtask mutants`: would the tests of tej-core notice if its code were wrong?

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    cargo, document, process,
    screen::Screen,
    setup::{self, Consent, Need},
    table::thousands,
    tool,
    workspace::Workspace,
};

/// Spoil tej-core in every small way cargo-mutants knows, and fail unless its own tests notice each.
///
/// A mutant is the crate with one operator, value or function body replaced. It is unviable when it does not compile,
/// caught when a test fails, timed out when the tests do not end, and missed otherwise. Mutants that nothing can tell from
/// the original are excepted in .cargo/mutants.toml, each with its reason; there may be five.
///
/// Compiles and runs the tests once for each mutant, in copies of the workspace under target/mutants: some seconds each.
/// When all files were looked at, the counts are stored in docs/verification.md.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask mutants                                      all of tej-core
  cargo xtask mutants --file tej-core/src/keep_alive.rs    one file, while working on its tests
  cargo xtask mutants --list                               what would be tried")]
pub(crate) struct Options {
    /// Only mutants of this file; can be repeated. Nothing is stored then.
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,

    /// List the mutants, and those that are excepted, and exit.
    #[arg(long)]
    list: bool,

    /// How many are tried at once [default: one for each processor].
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,

    /// Leave docs/verification.md as it is.
    #[arg(long)]
    no_record: bool,

    #[command(flatten)]
    consent: Consent,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let screen = Screen::new(false);
    screen.headline("Mutants");
    setup::prepare(workspace, &[Need::Tool(tool::MUTANTS)], &options.consent, &screen)?;
    let mutants = list(workspace, &options.files, &[])?;
    let every = list(workspace, &options.files, &["--no-config"])?;
    let excepted: Vec<_> = every.into_iter().filter(|mutant| !mutants.contains(mutant)).collect();
    if options.list {
        for mutant in &mutants {
            println!("  {mutant}");
        }
        for mutant in &excepted {
            println!("  excepted: {mutant}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(
        !mutants.is_empty(),
        "there is nothing to try: is the file's path relative to the workspace's root?"
    );
    ensure!(
        excepted.len() <= MOST_EXCEPTIONS,
        "{} mutants are excepted in .cargo/mutants.toml, more than {MOST_EXCEPTIONS}:\n  {}",
        excepted.len(),
        excepted.join("\n  ")
    );
    let jobs =
        options.jobs.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from);
    let report = try_all(workspace, options, jobs, mutants.len(), &screen)?;
    println!(
        "\n{} mutants: {} caught, {} timed out, {} unviable, {} missed; {} excepted.",
        report.total,
        report.caught,
        report.timed_out.len(),
        report.unviable,
        report.missed.len(),
        excepted.len()
    );
    if options.files.is_empty() && !options.no_record {
        document::store(&workspace.verification(), "mutants", &markdown(workspace, &report, &excepted))?;
        screen.note("stored", "in docs/verification.md");
    }
    if !report.missed.is_empty() {
        bail!(
            "no test notices these; for each, write one that does (or except it in .cargo/mutants.toml, with the \
             reason):\n  {}",
            report.missed.join("\n  ")
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// What became of the mutants.
#[derive(Debug, PartialEq, Eq)]
struct Report {
    total: u64,
    caught: u64,
    unviable: u64,
    timed_out: Vec<String>,
    missed: Vec<String>,
}

impl Report {
    /// Reads the folder that cargo-mutants leaves behind.
    fn read(folder: &Path) -> Result<Self> {
        let text = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let lines =
            |name: &str| Ok::<_, anyhow::Error>(text(name)?.lines().map(str::to_owned).collect::<Vec<_>>());
        let report = Self::from(
            &serde_json::from_str(&text("outcomes.json")?)?,
            lines("timeout.txt")?,
            lines("missed.txt")?,
        )?;
        let sum = report.caught + report.unviable + (report.timed_out.len() + report.missed.len()) as u64;
        ensure!(sum == report.total, "{} mutants, and {sum} outcomes", report.total);
        Ok(report)
    }

    fn from(outcomes: &Value, timed_out: Vec<String>, missed: Vec<String>) -> Result<Self> {
        let count =
            |name: &str| outcomes[name].as_u64().with_context(|| format!("outcomes.json has no {name}"));
        Ok(Self {
            total: count("total_mutants")?,
            caught: count("caught")?,
            unviable: count("unviable")?,
            timed_out,
            missed,
        })
    }
}

/// The mutants there are, by their names, which begin with file and line.
fn list(workspace: &Workspace, files: &[PathBuf], arguments: &[&str]) -> Result<Vec<String>> {
    let mut command = tool::MUTANTS.command(workspace);
    command.args(["--list", "--package", CRATE, "--colors", "never"]).args(arguments);
    for file in files {
        command.arg("--file").arg(file);
    }
    let list = process::answer(&mut command)
        .with_context(|| format!("`{}` failed: is .cargo/mutants.toml right?", process::shown(&command)))?;
    Ok(list.lines().map(str::to_owned).collect())
}

fn try_all(
    workspace: &Workspace,
    options: &Options,
    jobs: usize,
    total: usize,
    screen: &Screen,
) -> Result<Report> {
    let place = workspace.target().join("mutants");
    let copies = place.join("copies");
    if copies.exists() {
        // Of a run that was ended from outside.
        fs::remove_dir_all(&copies).with_context(|| format!("cannot remove {}", copies.display()))?;
    }
    fs::create_dir_all(&copies).with_context(|| format!("cannot create {}", copies.display()))?;
    let mut command = tool::MUTANTS.command(workspace);
    command.args(["--package", CRATE, "--colors", "never", "--no-times", "--caught", "--unviable", "--jobs"]);
    command.arg(jobs.to_string()).arg("--features");
    command.arg(workspace.package(CRATE)?.linkable_features().join(",")).arg("--output").arg(&place);
    for file in &options.files {
        command.arg("--file").arg(file);
    }
    command.env("TMPDIR", &copies);
    // Each copy has a target directory of its own.
    command.env_remove("CARGO_TARGET_DIR");
    let work = screen.work("test", &format!("tej-core as it is, then {total} mutants, {jobs} at a time"));
    let mut tried = 0;
    let ended = cargo::follow(&mut command, &workspace.target().join("mutants.log"), |line| {
        let outcome =
            ["caught ", "unviable ", "MISSED ", "TIMEOUT "].iter().any(|word| line.starts_with(word));
        tried += usize::from(outcome);
        work.detail(&if outcome { format!("{tried} of {total}: {line}") } else { line.to_owned() });
        if line.starts_with("MISSED ") {
            screen.note("missed", line.trim_start_matches("MISSED").trim());
        }
    })?;
    if !matches!(ended.status.code(), Some(ALL_CAUGHT | SOME_MISSED | SOME_TIMED_OUT)) {
        return Err(ended.failure());
    }
    work.done(&format!("{tried} mutants"));
    Report::read(&place.join("mutants.out"))
}

fn markdown(workspace: &Workspace, report: &Report, excepted: &[String]) -> String {
    let mut text = format!(
        "## Mutants\n\n`cargo xtask mutants` spoiled tej-core in {} ways, with {} {} and {}: its own tests caught {}, {} \
         made them run\nfor ever, {} did not compile, {} were missed.\n",
        thousands(report.total),
        tool::MUTANTS.package,
        tool::MUTANTS.version,
        cargo::compiler(workspace),
        thousands(report.caught),
        report.timed_out.len(),
        report.unviable,
        report.missed.len(),
    );
    for (what, mutants) in [
        ("Missed", report.missed.as_slice()),
        ("Without an end", &report.timed_out),
        ("Excepted, with the reasons in [.cargo/mutants.toml](../.cargo/mutants.toml)", excepted),
    ] {
        if !mutants.is_empty() {
            text += &format!("\n{what}:\n\n");
            text.extend(mutants.iter().map(|mutant| format!("- `{mutant}`\n")));
        }
    }
    text
}

const CRATE: &str = "tej-core";
const MOST_EXCEPTIONS: usize = 5;
/// The exit codes of cargo-mutants that speak of mutants and not of itself.
const ALL_CAUGHT: i32 = 0;
const SOME_MISSED: i32 = 2;
const SOME_TIMED_OUT: i32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_has_an_outcome() {
        let folder = std::env::temp_dir().join(format!("xtask-mutants-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let outcomes =
            |total| format!("{{\"total_mutants\":{total},\"caught\":3,\"unviable\":1,\"outcomes\":[]}}");
        fs::write(folder.join("timeout.txt"), "c.rs:1:1: replace c\n").unwrap();
        fs::write(folder.join("missed.txt"), "a.rs:1:1: replace a\nb.rs:1:1: replace b\n").unwrap();
        fs::write(folder.join("outcomes.json"), outcomes(7)).unwrap();
        let report = Report::read(&folder);
        fs::write(folder.join("outcomes.json"), outcomes(8)).unwrap();
        let incomplete = Report::read(&folder);
        fs::remove_dir_all(&folder).unwrap();
        let report = report.unwrap();
        assert_eq!((report.total, report.caught, report.unviable), (7, 3, 1));
        assert_eq!(report.timed_out, ["c.rs:1:1: replace c"]);
        assert_eq!(report.missed.len(), 2);
        assert!(incomplete.is_err());
    }
}
