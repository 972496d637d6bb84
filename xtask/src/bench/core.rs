//! `cargo xtask bench core`: what a frame costs in tej-core, and in other codecs.
//!
//! The cases are in `measure/codec`, one program, whose function `callgrind_measured` does one pass over prepared
//! frames. Callgrind is used directly: it needs nothing but valgrind itself, and no runner whose version has to go with
//! a library's.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cargo, document,
    figure::{self, Figure},
    process,
    screen::Screen,
    setup::{self, Consent, Need},
    workspace::{self, Workspace},
};

/// Count the instructions, and the nanoseconds, that a frame costs in tej-core and in other codecs.
///
/// Instructions come from valgrind's callgrind and are the same on every run; some of ours have a target. Nanoseconds
/// are the fastest of many passes on this machine and say little on a busy one: they have none. A run of all cases
/// replaces the tables in docs/benchmarks.md.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench core                          all of it, into docs/benchmarks.md
  cargo xtask bench core --only decode/msg        what begins so, while working on it; nothing is stored
  cargo xtask bench core --json > core.jsonl      one object per figure

The exit code is 0 when everything could be measured, whether the targets are met or not.")]
pub(crate) struct Options {
    /// One JSON object per figure on standard output, and nothing else there.
    #[arg(long)]
    json: bool,

    /// Only the cases whose row begins so; can be repeated. Nothing is stored.
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,

    #[command(flatten)]
    consent: Consent,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let screen = if options.json { Screen::beside_results() } else { Screen::new(false) };
    screen.headline("Codec benchmark");
    let tools = setup::prepare(workspace, &[Need::Valgrind], &options.consent, &screen)?;
    let bench = Bench {
        program: build(workspace, &screen)?,
        valgrind: tools.valgrind()?,
        folder: workspace.target().join("bench"),
    };
    let mut cases = bench.cases()?;
    let all = cases.len();
    if !options.only.is_empty() {
        cases.retain(|case| options.only.iter().any(|begin| case.row.starts_with(begin)));
        ensure!(!cases.is_empty(), "no row begins with {}", options.only.join(" or "));
    }
    let work = screen.work("measure", "instructions and nanoseconds");
    let mut figures = Vec::new();
    for case in &cases {
        work.detail(&case.row);
        figures.extend(bench.measure(case).with_context(|| format!("cannot measure {}", case.row))?);
    }
    work.done(&format!("{} cases", cases.len()));
    figure::print(&figures, options.json)?;
    if cases.len() == all {
        let path = workspace.root().join("docs").join("benchmarks.md");
        document::store(&path, "bench core", &figure::markdown(&figures))?;
        screen.note("stored", "docs/benchmarks.md");
    }
    Ok(ExitCode::SUCCESS)
}

/// The program with the cases, built, and what counts its instructions.
struct Bench<'a> {
    program: PathBuf,
    valgrind: &'a Path,
    /// For what callgrind writes.
    folder: PathBuf,
}

/// A case as the program lists it.
struct Case {
    /// `decode/msg/contiguous`
    row: String,
    /// What the figure is per: `frame`, `slice`.
    per: String,
    /// How many of those a pass has.
    items: f64,
}

fn build(workspace: &Workspace, screen: &Screen) -> Result<PathBuf> {
    let mut command = workspace.cargo();
    command.current_dir(folder(workspace)).args(["build", "--release", "--locked"]);
    let work = screen.work("build", "the codecs, each at its best (a minute the first time)");
    let built = cargo::build(command, &workspace.target().join("bench").join("build.log"), &work)?;
    let program = built.program().context("measure/codec")?.to_path_buf();
    work.done("the codecs");
    Ok(program)
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root().join("measure").join("codec")
}

impl Bench<'_> {
    fn cases(&self) -> Result<Vec<Case>> {
        let list = process::answer(Command::new(&self.program).arg("list")).context("no list of cases")?;
        let cases: Vec<_> = list.lines().map(Case::parse).collect::<Result<_>>()?;
        for (row, ..) in TARGETS {
            ensure!(
                cases.iter().any(|case| case.row == row),
                "a target is set for {row}, which is not measured"
            );
        }
        Ok(cases)
    }

    /// The instructions and the nanoseconds of one case.
    fn measure(&self, case: &Case) -> Result<[Figure; 2]> {
        let instructions = self.count(&case.row)?;
        let time = process::answer(Command::new(&self.program).args(["time", &case.row]));
        let nanoseconds: f64 = time.context("it failed")?.parse().context("it told no time")?;
        let target = TARGETS.into_iter().find(|(row, ..)| *row == case.row);
        let mut counted = case.figure("instr", instructions);
        if let Some((_, must, aim)) = target {
            counted = counted.held_to(must, aim);
        }
        Ok([counted, case.figure("ns", nanoseconds)])
    }

    /// The instructions of one pass.
    fn count(&self, row: &str) -> Result<f64> {
        let _ = fs::remove_dir_all(self.folder.join("callgrind"));
        let (output, log) = (self.folder.join("callgrind").join("out"), self.folder.join("callgrind.log"));
        workspace::create(&output)?;
        let mut command = Command::new(self.valgrind);
        command
            .arg("--tool=callgrind")
            .arg(format!("--callgrind-out-file={}", output.display()))
            .args([format!("--toggle-collect={MEASURED}"), format!("--dump-before={MEASURED}")])
            .arg(&self.program)
            .args(["count", row])
            .stdout(Stdio::null())
            .stderr(File::create(&log).with_context(|| format!("cannot write {}", log.display()))?);
        process::run(&mut command).with_context(|| format!("see {}", log.display()))?;
        // A file of what was counted before each pass, numbered from 1, and one from the last pass to the end.
        let mut passes = Vec::new();
        for number in 1.. {
            let path = output.with_extension(number.to_string());
            if !path.is_file() {
                break;
            }
            passes.push(total(&path)?);
        }
        passes.push(total(&output)?);
        match passes.as_slice() {
            [_, .., before, last] if before == last && *last > 0 => Ok(to_float(*last)),
            [_, .., before, last] => bail!("passes differ: {before} instructions, then {last}"),
            _ => bail!("callgrind found no function {MEASURED}"),
        }
    }
}

impl Case {
    fn parse(line: &str) -> Result<Self> {
        let mut parts = line.split('\t');
        let mut next = || parts.next().with_context(|| format!("not a case: {line}"));
        Ok(Self { row: next()?.to_owned(), per: next()?.to_owned(), items: next()?.parse()? })
    }

    /// Of what a pass took, the part of one item, as precise as it is shown.
    fn figure(&self, what: &'static str, pass: f64) -> Figure {
        let value = (pass / self.items * 10.0).round() / 10.0;
        let row = match self.per.as_str() {
            "frame" => format!("{}/{what}", self.row),
            per => format!("{}/{what}_{per}", self.row),
        };
        Figure::lower(row, value, if what == "ns" { "ns, noise" } else { "instructions" })
    }
}

/// What callgrind says it counted.
fn total(path: &Path) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total
        .with_context(|| format!("no total in {}", path.display()))?
        .parse()
        .context("a total of callgrind's")
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn to_float(count: u64) -> f64 {
    count as f64
}

/// The function that does one pass.
const MEASURED: &str = "measure_codec::callgrind_measured";

/// What our cases are held to, in instructions: they must not take more than the first, and aim at the second.
const TARGETS: [(&str, f64, f64); 4] = [
    ("decode/msg/contiguous", 140.0, 80.0),
    ("decode/msg/1byte", 2500.0, 1000.0),
    ("decode/file/64k", 60.0, 30.0),
    ("encode/msg", 20.0, 14.0),
];
