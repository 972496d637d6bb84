//! `cargo xtask fuzz`: the fuzz targets, for as long as one likes.

mod libfuzzer;
mod planted;

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    cargo, document, process,
    screen::{self, Screen},
    setup::{self, Consent, Need},
    table::{Cell, Column, Table, thousands},
    tool,
    workspace::Workspace,
};
use libfuzzer::{Outcome, Session, Stats};

/// Fuzz tej-core: random inputs, chosen by the code they reach, against independent models of it.
///
/// Builds the targets of fuzz/ and runs each for a while, as many at once as there are processors. What they learn stays
/// in target/fuzz/corpus, and later runs go on from there. An input that fails is kept, and named with the command that
/// runs it again; the exit code is then not 0.
///
/// When all targets have run for a quarter of an hour or more, the counts are stored in docs/verification.md.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask fuzz --seconds 900                 a quarter of an hour for each target
  cargo xtask fuzz --seconds 60 --target decode  one of them
  cargo xtask fuzz --plant                       does each target find a bug that is planted for it?
  cargo xtask fuzz --target decode --reproduce target/fuzz/artifacts/decode/crash-…")]
pub(crate) struct Options {
    /// How long each target runs.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,

    /// How many run at once [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,

    /// Run this target alone; can be repeated. Nothing is stored then.
    #[arg(long = "target", value_name = "TARGET", value_parser = TARGETS)]
    targets: Vec<String>,

    /// Plant a bug in a copy of tej-core for each target, and fail unless the target finds it.
    #[arg(long)]
    plant: bool,

    /// Run the target with this input alone, and show what the input means and what happens.
    #[arg(long, value_name = "FILE", requires = "targets", conflicts_with = "plant")]
    reproduce: Option<PathBuf>,

    /// Leave docs/verification.md as it is.
    #[arg(long)]
    no_record: bool,

    #[command(flatten)]
    consent: Consent,
}

/// What the targets are built with.
pub(crate) const NEEDS: &[Need] = &[Need::Cxx, Need::Tool(tool::FUZZ)];

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let screen = Screen::new(false);
    screen.headline("Fuzzing");
    setup::prepare(workspace, NEEDS, &options.consent, &screen)?;
    let targets: Vec<_> = TARGETS
        .into_iter()
        .filter(|&target| options.targets.is_empty() || options.targets.iter().any(|name| name == target))
        .collect();
    if let Some(input) = &options.reproduce {
        let [target] = targets[..] else { bail!("--reproduce takes one --target") };
        return reproduce(workspace, target, input, &screen);
    }
    let long_enough = options.plant || options.seconds >= RECORD_SECONDS;
    let records = !options.no_record && long_enough && targets.len() == TARGETS.len();
    let (section, text) = if options.plant {
        ("fuzz-planted", planted::find_all(workspace, &targets, &screen)?)
    } else {
        let time = Duration::from_secs(options.seconds.into());
        let jobs = options.jobs.map_or_else(processors, usize::from);
        let reports = fuzz(workspace, &targets, time, jobs, &screen)?;
        ("fuzz", markdown(workspace, options.seconds, jobs, &reports))
    };
    if records {
        document::store(&workspace.verification(), section, &text)?;
        screen.note("stored", "in docs/verification.md");
    }
    Ok(ExitCode::SUCCESS)
}

/// What must hold before a change is merged: planted bugs are found, and a short run finds no other.
pub(crate) fn check(workspace: &Workspace, screen: &Screen) -> Result<()> {
    planted::find_all(workspace, &TARGETS, screen)?;
    fuzz(workspace, &TARGETS, CHECK_TIME, processors(), screen).map(drop)
}

/// Runs the targets and shows what came out; an error names the inputs that failed.
fn fuzz(
    workspace: &Workspace,
    targets: &[&'static str],
    time: Duration,
    jobs: usize,
    screen: &Screen,
) -> Result<Vec<(&'static str, Stats)>> {
    let place = Place::of(workspace);
    write_seeds(workspace, &place, screen)?;
    let programs = build(workspace, &workspace.fuzz(), &place.programs(), targets, screen)?;
    let sessions: Vec<_> = programs
        .into_iter()
        .map(|(target, program)| Session {
            target,
            program,
            corpus: place.corpus(target),
            // What failed before comes first.
            seeds: vec![place.artifacts(target), place.seeds(target)],
            artifacts: place.artifacts(target),
            log: place.log(target),
            time,
        })
        .collect();
    let outcomes = run_all(&sessions, jobs, screen)?;
    print!("{}", table(&outcomes));
    let mut reports = Vec::new();
    let mut failures = Vec::new();
    for (target, outcome) in outcomes {
        match outcome {
            Outcome::Clean(stats) => reports.push((target, stats)),
            Outcome::Failed { input, said, .. } => failures.push(format!(
                "{target}: {said}\n  the input: {input}\n  once more: cargo xtask fuzz --target {target} --reproduce {input}",
                input = relative(workspace, &input).display(),
            )),
        }
    }
    if !failures.is_empty() {
        bail!("an input failed\n{}", failures.join("\n"));
    }
    Ok(reports)
}

/// Builds the targets of a fuzz crate, and copies the programs into a folder where the next build leaves them alone.
fn build(
    workspace: &Workspace,
    package: &Path,
    folder: &Path,
    targets: &[&'static str],
    screen: &Screen,
) -> Result<Vec<(&'static str, PathBuf)>> {
    let place = Place::of(workspace);
    let mut command = tool::FUZZ.command(workspace);
    // Nothing here is unsafe, so that an address sanitizer would find nothing and take most of the time. Without it, any
    // toolchain will do.
    command.args(["build", "--sanitizer", "none", "--debug-assertions", "--fuzz-dir"]).arg(package);
    command.arg("--target-dir").arg(place.build());
    if let [target] = targets {
        command.arg(target);
    }
    let work = screen.work("build", "the fuzz targets");
    cargo::run(&mut command, &place.0.join("build.log"), &work)?;
    let released = released(&place.build())?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut programs = Vec::new();
    for &target in targets {
        let program = folder.join(target);
        fs::copy(released.join(target), &program)
            .with_context(|| format!("the build left no {}", released.join(target).display()))?;
        programs.push((target, program));
    }
    work.done(&format!("the fuzz targets: {}", targets.join(", ")));
    Ok(programs)
}

/// Where cargo-fuzz puts programs: it names the machine they are for, which is the one it runs on.
fn released(build: &Path) -> Result<PathBuf> {
    let host = process::answer(Command::new("rustc").arg("-vV"))
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("host: ").map(str::to_owned)));
    Ok(build.join(host.context("rustc does not say which machine it is for")?).join("release"))
}

/// Writes the seeds anew. That each means what it should is checked where they are made.
fn write_seeds(workspace: &Workspace, place: &Place, screen: &Screen) -> Result<()> {
    let folder = place.0.join("seeds");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot replace {}", folder.display()))?;
    }
    let mut command = workspace.cargo();
    command.current_dir(workspace.fuzz()).args([
        "run",
        "--locked",
        "--no-default-features",
        "--example",
        "seeds",
    ]);
    command.arg("--target-dir").arg(workspace.target()).arg("--").arg(&folder);
    let work = screen.work("seeds", "from the test vectors, and hostile ones");
    cargo::run(&mut command, &place.0.join("seeds.log"), &work)?;
    let mut counts = Vec::new();
    for target in TARGETS {
        counts.push(format!("{} for {target}", place.seeds(target).read_dir()?.count()));
    }
    work.done(&counts.join(", "));
    Ok(())
}

/// Runs the sessions, `jobs` at once.
fn run_all(sessions: &[Session], jobs: usize, screen: &Screen) -> Result<Vec<(&'static str, Outcome)>> {
    let jobs = jobs.min(sessions.len());
    let waiting = Mutex::new(sessions.iter().enumerate().collect::<VecDeque<_>>());
    let mut outcomes: Vec<_> = sessions.iter().map(|_| None).collect();
    let mut runs = vec![0; sessions.len()];
    let work = screen.work("fuzz", "starting");
    thread::scope(|scope| {
        let (sender, news) = mpsc::channel();
        for _ in 0..jobs {
            let (sender, waiting) = (sender.clone(), &waiting);
            scope.spawn(move || {
                while let Some((index, session)) = next(waiting) {
                    // The receiver outlives the threads.
                    let outcome = session.run(|stats| drop(sender.send((index, News::Runs(stats.runs)))));
                    let _ = sender.send((index, News::End(outcome)));
                }
            });
        }
        drop(sender);
        for (index, news) in news {
            match news {
                News::Runs(count) => runs[index] = count,
                News::End(outcome) => outcomes[index] = Some(outcome),
            }
            let at_work = sessions
                .iter()
                .zip(&runs)
                .zip(&outcomes)
                .filter(|((_, runs), outcome)| outcome.is_none() && **runs > 0);
            let at_work: Vec<_> = at_work
                .map(|((session, &runs), _)| format!("{} {}", session.target, thousands(runs)))
                .collect();
            work.detail(&at_work.join(", "));
        }
    });
    let named = sessions.iter().zip(outcomes).map(|(session, outcome)| {
        let outcome = outcome.context("a fuzzing thread ended without a word")?;
        Ok((session.target, outcome.with_context(|| session.target)?))
    });
    let named = named.collect::<Result<Vec<_>>>()?;
    let total = named.iter().map(|(_, outcome)| outcome.stats().runs).sum();
    work.done(&format!("{} runs of {} targets, {jobs} at a time", thousands(total), sessions.len()));
    Ok(named)
}

/// What a fuzzing thread has to say of a session.
enum News {
    Runs(u64),
    End(Result<Outcome>),
}

fn next<T>(waiting: &Mutex<VecDeque<T>>) -> Option<T> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn table(outcomes: &[(&'static str, Outcome)]) -> String {
    let mut table = Table::new([
        Column::left("Target"),
        Column::right("Executions"),
        Column::right("Time"),
        Column::right("Corpus"),
        Column::right("Edges"),
        Column::right("Features"),
        Column::left("Result"),
    ]);
    for (target, outcome) in outcomes {
        let stats = outcome.stats();
        table.row([
            Cell::plain(*target),
            Cell::plain(thousands(stats.runs)),
            Cell::plain(screen::seconds(stats.time)),
            Cell::plain(thousands(stats.corpus)),
            Cell::plain(thousands(stats.edges)),
            Cell::plain(thousands(stats.features)),
            if matches!(outcome, Outcome::Clean(_)) {
                Cell::good("nothing found")
            } else {
                Cell::bad("FAILED")
            },
        ]);
    }
    table.render()
}

fn markdown(workspace: &Workspace, seconds: u32, jobs: usize, reports: &[(&'static str, Stats)]) -> String {
    let mut text = format!(
        "## Fuzzing\n\n`cargo xtask fuzz --seconds {seconds}` found nothing, with {}, {} {} and {} processors, {jobs} targets at a time.\n\n\
         | target | executions | seconds | inputs in the corpus | edges | features |\n|---|--:|--:|--:|--:|--:|\n",
        cargo::compiler(workspace),
        tool::FUZZ.package,
        tool::FUZZ.version,
        processors(),
    );
    for (target, stats) in reports {
        text += &format!(
            "| `{target}` | {} | {} | {} | {} | {} |\n",
            thousands(stats.runs),
            stats.time.as_secs(),
            thousands(stats.corpus),
            thousands(stats.edges),
            thousands(stats.features)
        );
    }
    text
}

/// Says what an input means to its target, and runs it.
fn reproduce(workspace: &Workspace, target: &'static str, input: &Path, screen: &Screen) -> Result<ExitCode> {
    let input = input.canonicalize().with_context(|| format!("no input {}", input.display()))?;
    let place = Place::of(workspace);
    let programs = build(workspace, &workspace.fuzz(), &place.programs(), &[target], screen)?;
    let (_, program) = programs.first().context("the build left no program")?;
    let meaning = place.0.join("meaning.txt");
    process::run(
        Command::new(program)
            .arg(&input)
            .env("RUST_LIBFUZZER_DEBUG_PATH", &meaning)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null()),
    )?;
    let meaning =
        fs::read_to_string(&meaning).with_context(|| format!("cannot read {}", meaning.display()))?;
    println!("{meaning}");
    process::run(Command::new(program).arg(&input)).with_context(|| format!("{target} fails with it"))?;
    screen.note("passed", &format!("{target} finds nothing wrong with it"));
    Ok(ExitCode::SUCCESS)
}

/// The folders under target/ where all of it happens.
struct Place(PathBuf);

impl Place {
    fn of(workspace: &Workspace) -> Self {
        Self(workspace.target().join("fuzz"))
    }

    fn build(&self) -> PathBuf {
        self.0.join("build")
    }

    fn programs(&self) -> PathBuf {
        self.0.join("bin")
    }

    fn corpus(&self, target: &str) -> PathBuf {
        self.0.join("corpus").join(target)
    }

    fn seeds(&self, target: &str) -> PathBuf {
        self.0.join("seeds").join(target)
    }

    fn artifacts(&self, target: &str) -> PathBuf {
        self.0.join("artifacts").join(target)
    }

    fn log(&self, target: &str) -> PathBuf {
        self.0.join("logs").join(format!("{target}.log"))
    }
}

/// A path as it can be typed in the workspace's root, where it lies below that.
fn relative<'a>(workspace: &Workspace, path: &'a Path) -> &'a Path {
    path.strip_prefix(workspace.root()).unwrap_or(path)
}

/// The programs of fuzz/.
const TARGETS: [&str; 4] = ["decode", "round_trip", "encoder", "keep_alive"];
/// A shorter run must not take the place of a longer one's record.
const RECORD_SECONDS: u32 = 900;
const CHECK_TIME: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_run() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
        let mut files: Vec<_> = folder
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let mut targets = TARGETS.to_vec();
        files.sort();
        targets.sort_unstable();
        assert_eq!(files, targets);
    }
}
