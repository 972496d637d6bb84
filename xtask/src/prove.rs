//! `cargo xtask prove`: the compiled decoder, executed on all inputs at once.

mod planted;

use std::{
    env,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    cargo, document,
    screen::Screen,
    setup::{self, Consent, Need, Tools},
    table::{Cell, Column, Table, thousands},
    workspace::Workspace,
};

/// Prove of the compiled decoder that it never panics and does the same however its input is cut, for all inputs.
///
/// Compiles proof/decoder, which runs the decoder of tej-core byte by byte, whole in each way there is, and cut in every
/// place, and compares what it says. Then executes the machine code symbolically: the bytes, the limits, and the lengths
/// of what came before stand for all values they can have, and a solver follows each path they can take. An input that
/// makes a difference is shown with the cut; the exit code is then not 0.
///
/// What is covered: every input of 20 bytes from the start of a stream, in up to 3 pieces, and shorter ones from states
/// inside of long frames, with files and messages of any size. Takes about a quarter of an hour. When all states were
/// covered, the result is stored in docs/verification.md.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask prove                                     all of it
  cargo xtask prove --state start --pieces 2            a part, while working on the decoder
  cargo xtask prove --state start --bytes 28 --pieces 2   longer inputs, in about ten minutes
  cargo xtask prove --plant                             is a bug found that is planted in the decoder?")]
pub(crate) struct Options {
    /// Start from this state of the decoder alone; can be repeated. Nothing is stored then.
    #[arg(long = "state", value_name = "STATE", value_parser = STATES)]
    states: Vec<String>,

    /// Give the decoder inputs of so many bytes, instead of each state's own number. Nothing is stored then.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=40))]
    bytes: Option<u8>,

    /// Cut them into up to so many pieces, 2 or 3, instead of each state's own number. Nothing is stored then.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=3))]
    pieces: Option<u8>,

    /// Plant bugs in copies of tej-core, and fail unless each is found.
    #[arg(long, conflicts_with_all = ["states", "bytes", "pieces"])]
    plant: bool,

    /// Leave docs/verification.md as it is.
    #[arg(long)]
    no_record: bool,

    #[command(flatten)]
    consent: Consent,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let screen = Screen::new(false);
    screen.headline("Proof by symbolic execution");
    let tools = setup::prepare(workspace, &[Need::Solver], &options.consent, &screen)?;
    let (section, text) = if options.plant {
        ("prove-planted", planted::find_all(workspace, &tools, &screen)?)
    } else {
        let library = build(workspace, &workspace.decoder_proof(), &screen)?;
        let question = Question {
            states: options.states.iter().map(String::as_str).collect(),
            bytes: options.bytes,
            pieces: options.pieces,
        };
        let report = match question.ask(workspace, &tools, &library, &screen)? {
            Outcome::Proven(report) => report,
            Outcome::Found(found) => bail!("an input makes a difference\n{}", found.shown()),
        };
        print!("{}", report.table());
        ("prove", report.markdown(workspace))
    };
    let is_whole = options.states.is_empty() && options.bytes.is_none() && options.pieces.is_none();
    if is_whole && !options.no_record {
        document::store(&workspace.verification(), section, &text)?;
        screen.note("stored", "in docs/verification.md");
    }
    Ok(ExitCode::SUCCESS)
}

/// Compiles a crate with the check, and answers where the library is.
fn build(workspace: &Workspace, package: &Path, screen: &Screen) -> Result<PathBuf> {
    let target = package_target(workspace, package);
    let mut command = workspace.cargo();
    // What is proven is what the profile of the crate says.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        command.env_remove(variable);
    }
    command.current_dir(package).args(["build", "--release", "--locked", "--target-dir"]).arg(&target);
    let work = screen.work("build", "the decoder, and what compares its answers");
    let built = cargo::build(command, &target.join("build.log"), &work)?;
    ensure!(built.warnings == 0, "{} warnings in {}", built.warnings, package.display());
    work.done("the decoder, and what compares its answers");
    let name = format!("{}decoder_proof{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    Ok(target.join("release").join(name))
}

/// Beside the copies with planted bugs, if it is one of them.
fn package_target(workspace: &Workspace, package: &Path) -> PathBuf {
    let ours = workspace.decoder_proof() == package;
    if ours { workspace.target().join("prove") } else { package.join("target") }
}

/// What the solver is asked.
struct Question<'a> {
    /// None for all.
    states: Vec<&'a str>,
    bytes: Option<u8>,
    pieces: Option<u8>,
}

impl Question<'_> {
    /// Runs the solver to its end, or to the first input that makes a difference.
    fn ask(&self, workspace: &Workspace, tools: &Tools, library: &Path, screen: &Screen) -> Result<Outcome> {
        let mut command = Command::new(tools.solver()?);
        // Hashes seed nothing that counts, but the same question is to take the same way.
        command.env("PYTHONHASHSEED", "0").arg("-B").arg(workspace.proof().join("prove.py")).arg(library);
        command.args(&self.states);
        for (name, number) in [("--bytes", self.bytes), ("--pieces", self.pieces)] {
            if let Some(number) = number {
                command.args([name, &number.to_string()]);
            }
        }
        let mut report = Report::default();
        let mut found = None;
        let mut odd = None;
        let work = screen.work("prove", "loading the solver");
        let log = workspace.target().join("prove").join("prove.log");
        let ended = cargo::follow(&mut command, &log, |line| match serde_json::from_str(line) {
            Ok(Message::Tools { angr, z3 }) => report.tools = format!("angr {angr}, z3 {z3}"),
            Ok(Message::Progress { text }) => work.detail(&text),
            Ok(Message::Proven(part)) => {
                work.detail(&format!("{}: {} paths", part.state, thousands(part.paths)));
                report.parts.push(part);
            }
            Ok(Message::Found(input)) => found = Some(input),
            Err(error) => odd = Some(format!("{error}: {line}")),
        })?;
        if let Some(found) = found {
            work.done("an input that makes a difference");
            return Ok(Outcome::Found(found));
        }
        if !ended.status.success() {
            return Err(ended.failure().context("the solver gave up, so that nothing is proven"));
        }
        if let Some(odd) = odd {
            bail!("the solver says what cannot be understood: {odd}");
        }
        let asked = if self.states.is_empty() { STATES.to_vec() } else { self.states.clone() };
        ensure!(
            asked.iter().all(|state| report.parts.iter().any(|part| part.state == *state)),
            "the solver left a state out"
        );
        work.done(&format!("{} paths, and none that should not be", thousands(report.paths())));
        Ok(Outcome::Proven(report))
    }
}

/// What came of it.
enum Outcome {
    Proven(Report),
    Found(Found),
}

/// A line that the solver's program prints.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Message {
    Tools { angr: String, z3: String },
    Progress { text: String },
    Proven(Part),
    Found(Found),
}

/// What was covered.
#[derive(Default)]
struct Report {
    /// The solver's parts with their versions.
    tools: String,
    parts: Vec<Part>,
}

/// What was covered from one state of the decoder.
#[derive(Deserialize)]
struct Part {
    state: String,
    says: String,
    /// Of each input; `None` for any number.
    bytes: Option<u64>,
    pieces: u64,
    paths: u64,
    steps: u64,
    seconds: u64,
    peak_mib: u64,
    /// On how many paths an event or a fault came.
    reached: Map<String, Value>,
}

/// An input that makes a difference, or panics.
#[derive(Deserialize)]
struct Found {
    state: String,
    what: String,
    prefix: String,
    moved: u64,
    input: String,
    limits: Map<String, Value>,
    /// Where the input is cut.
    #[serde(default)]
    cuts: Vec<u64>,
    /// Another way of taking the input than in pieces.
    by: Option<String>,
    #[serde(default)]
    byte_by_byte: Vec<String>,
    #[serde(default)]
    cut: Vec<String>,
}

impl Report {
    fn paths(&self) -> u64 {
        self.parts.iter().map(|part| part.paths).sum()
    }

    fn table(&self) -> String {
        let mut table = Table::new([
            Column::left("State"),
            Column::right("Input"),
            Column::right("Pieces"),
            Column::right("Paths"),
            Column::right("Blocks"),
            Column::right("Time"),
            Column::right("Memory"),
        ]);
        for part in &self.parts {
            table.row([
                Cell::plain(part.state.clone()),
                Cell::plain(part.input()),
                Cell::plain(part.pieces.to_string()),
                Cell::plain(thousands(part.paths)),
                Cell::plain(thousands(part.steps)),
                Cell::plain(format!("{} s", part.seconds)),
                Cell::plain(format!("{} MiB", part.peak_mib)),
            ]);
        }
        table.render()
    }

    fn markdown(&self, workspace: &Workspace) -> String {
        let mut text = format!(
            "## Symbolic execution\n\n`cargo xtask prove` found no input that panics and none that makes a difference, with \
             {} and {}.\n\n\
             | the decoder is | input | pieces, at most | paths | blocks executed | seconds |\n\
             |---|--:|--:|--:|--:|--:|\n",
            cargo::compiler(workspace),
            self.tools,
        );
        for part in &self.parts {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                part.says,
                part.input(),
                part.pieces,
                thousands(part.paths),
                thousands(part.steps),
                part.seconds
            );
        }
        let peak = self.parts.iter().map(|part| part.peak_mib).max().unwrap_or_default();
        let _ = write!(
            text,
            "\nPaths on which an event or a fault came: {}.\nThe solver's memory at its peak: {peak} MiB.\n",
            self.reached()
        );
        text
    }

    /// Each event and fault, with the number of paths it came on.
    fn reached(&self) -> String {
        let mut sums = Vec::<(&str, u64)>::new();
        for (name, count) in self.parts.iter().flat_map(|part| &part.reached) {
            let count = count.as_u64().unwrap_or_default();
            match sums.iter_mut().find(|(other, _)| other == name) {
                Some((_, sum)) => *sum += count,
                None => sums.push((name, count)),
            }
        }
        sums.sort_unstable();
        let texts: Vec<_> = sums.iter().map(|(name, sum)| format!("`{name}` {}", thousands(*sum))).collect();
        texts.join(", ")
    }
}

impl Part {
    fn input(&self) -> String {
        self.bytes.map_or_else(|| "any number of bytes".to_owned(), |bytes| format!("{bytes} bytes"))
    }
}

impl Found {
    /// For a person who wants to see it again.
    fn shown(&self) -> String {
        let mut text = format!("  a {} in state \"{}\"\n", self.what, self.state);
        if !self.prefix.is_empty() {
            let _ = writeln!(text, "  behind   {} and {} bytes of payload", self.prefix, self.moved);
        }
        let _ = writeln!(text, "  input    {}, {}", self.input, self.way());
        let limits: Vec<_> = self.limits.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let _ = writeln!(text, "  limits   {}", limits.join(", "));
        for (label, lines) in [("so", &self.byte_by_byte), ("but cut", &self.cut)] {
            for (index, line) in lines.iter().enumerate() {
                let _ = writeln!(text, "  {:8} {line}", if index == 0 { label } else { "" });
            }
        }
        text
    }

    /// How the input is given to the decoder.
    fn way(&self) -> String {
        match (&self.by, self.cuts.as_slice()) {
            (Some(way), _) => way.clone(),
            (None, []) => "in one piece".to_owned(),
            (None, [cut]) => format!("cut at {cut}"),
            (None, cuts) => {
                let cuts: Vec<_> = cuts.iter().map(u64::to_string).collect();
                format!("cut at {}", cuts.join(" and "))
            }
        }
    }
}

/// Those of proof/prove.py.
const STATES: [&str; 5] = ["start", "record", "name", "file data", "message data"];

#[cfg(test)]
mod tests {
    use super::*;

    fn part(state: &str, reached: &str) -> Part {
        let text = format!(
            "{{\"event\":\"proven\",\"state\":\"{state}\",\"says\":\"somewhere\",\"bytes\":null,\"pieces\":2,\"paths\":1200,\
             \"steps\":5,\"seconds\":15,\"peak_mib\":7,\"reached\":{reached}}}"
        );
        let message: Result<Message, _> = serde_json::from_str(&text);
        let Ok(Message::Proven(part)) = message else { panic!("{text}: {:?}", message.err()) };
        part
    }

    #[test]
    fn what_was_reached_is_summed_up() {
        let parts = vec![part("a", r#"{"file_end":2,"frame_end":1}"#), part("b", r#"{"file_end":1000}"#)];
        let report = Report { tools: "x 1".to_owned(), parts };
        assert_eq!(report.reached(), "`file_end` 1,002, `frame_end` 1");
        assert_eq!(report.paths(), 2400);
        assert_eq!(report.parts[0].input(), "any number of bytes");
    }

    #[test]
    fn an_input_is_shown_with_its_cuts() {
        let text = r#"{"event":"found","state":"start","what":"difference","prefix":"","moved":0,"input":"80",
            "limits":{"files":1},"cuts":[3],"byte_by_byte":["a","b"],"cut":["c"]}"#;
        let Ok(Message::Found(found)) = serde_json::from_str(text) else { panic!("{text}") };
        assert_eq!(
            found.shown(),
            "  a difference in state \"start\"\n  input    80, cut at 3\n  limits   files 1\n  so       a\n           b\n  \
             but cut  c\n"
        );
    }

    #[test]
    fn the_states_are_those_of_the_program() {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proof/prove.py");
        let program = std::fs::read_to_string(program).unwrap();
        let states: Vec<_> = program
            .lines()
            .filter_map(|line| line.strip_prefix("    \"")?.strip_suffix("\": State("))
            .collect();
        assert_eq!(states, STATES);
    }
}
