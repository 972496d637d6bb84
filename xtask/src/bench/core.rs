//! `cargo xtask bench core`: what a frame costs in tej-core, and in other codecs.
//!
//! The cases are in `measure/codec`, in a program for each way of using a codec, whose function `callgrind_measured`
//! does one pass over prepared frames. Callgrind is used directly: it needs nothing but valgrind itself, and no runner
//! whose version has to go with a library's.

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
    setup::{self, Consent, Need, Tools},
    table::{Cell, Column, Table},
    versions::Package,
    workspace::{self, Workspace},
};

/// Count the instructions, and the nanoseconds, that a frame costs in tej-core and in other codecs.
///
/// Instructions come from valgrind's callgrind and are the same on every run; some of ours have a target. Nanoseconds
/// are the fastest of many passes on this machine and say little on a busy one: they have none. A run of all cases
/// replaces the results in docs/benchmarks.md, which also says how they are measured.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench core                          all of it, into docs/benchmarks.md: some minutes
  cargo xtask bench core --only decode --only encode
                                                  what begins so, here all of ours; nothing is stored
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
    let bench = Bench { valgrind: tools.valgrind()?, folder: workspace.target().join("bench") };
    let mut cases = cases(&build(workspace, &screen)?)?;
    bench.calibrate(&mut cases)?;
    let all = cases.len();
    if !options.only.is_empty() {
        cases.retain(|case| options.only.iter().any(|begin| case.row.starts_with(begin)));
        ensure!(!cases.is_empty(), "no row begins with {}", options.only.join(" or "));
    }
    let work = screen.work("measure", "instructions and nanoseconds");
    let mut results = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        work.detail(&format!("{} of {}: {}", index + 1, cases.len(), case.row));
        results.push(bench.measure(case).with_context(|| format!("cannot measure {}", case.row))?);
    }
    work.done(&format!("{} cases", cases.len()));
    if options.json {
        figure::print(&figures(&results), true)?;
    } else {
        for (what, of) in QUANTITIES {
            println!("\n{what}\n{}", side_by_side(&results, of).table());
        }
        println!("\nWhat has a target\n{}", figure::table(&held(&results)));
    }
    if cases.len() == all {
        let path = workspace.root().join("docs").join("benchmarks.md");
        document::store(&path, "bench core", &section(workspace, &tools, &results)?)?;
        screen.note("stored", "docs/benchmarks.md");
    }
    Ok(ExitCode::SUCCESS)
}

/// A case as its program lists it.
struct Case {
    program: PathBuf,
    /// `decode/msg/contiguous`
    row: String,
    /// What its figures are per: `frame`, `slice`.
    per: String,
    /// How many of those a pass has.
    items: f64,
}

/// What one frame or slice of a case costs.
struct Measured {
    row: String,
    per: String,
    instructions: f64,
    nanoseconds: f64,
}

/// Builds all programs.
fn build(workspace: &Workspace, screen: &Screen) -> Result<Vec<PathBuf>> {
    let mut command = workspace.cargo();
    command.current_dir(folder(workspace)).args(["build", "--workspace", "--release", "--locked"]);
    let work = screen.work("build", "the codecs, each at its best (some minutes the first time)");
    let built = cargo::build(command, &workspace.target().join("bench").join("build.log"), &work)?;
    work.done("the codecs");
    Ok(built.executables)
}

/// The workspace of the programs.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root().join("measure").join("codec")
}

/// Sees that the programs have a case for every row that is spoken of here, and no others.
pub(crate) fn check(programs: &[PathBuf]) -> Result<()> {
    cases(programs).map(drop)
}

/// The cases of all programs: ours first, then each other codec's.
fn cases(programs: &[PathBuf]) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for program in programs {
        let list = process::answer(Command::new(program).arg("list"));
        let list = list.with_context(|| format!("`{} list` fails", program.display()))?;
        for line in list.lines() {
            cases.push(Case::parse(program, line)?);
        }
    }
    for (row, ..) in TARGETS {
        ensure!(cases.iter().any(|case| case.row == row), "a target is set for {row}, which is not measured");
    }
    for case in cases.iter().filter(|case| case.row != CALIBRATION) {
        let (peer, row) = parts(&case.row);
        ensure!(
            PEERS.iter().any(|(key, _)| *key == peer) && ROWS.contains(&row.as_str()),
            "{} has no place in the tables",
            case.row
        );
        let others = cases.iter().filter(|other| parts(&other.row) == (peer, row.clone()));
        ensure!(others.count() == 1, "{} is measured twice", case.row);
    }
    cases.sort_by_key(|case| {
        let (peer, row) = parts(&case.row);
        (PEERS.iter().position(|(key, ..)| *key == peer), ROWS.iter().position(|known| *known == row))
    });
    Ok(cases)
}

impl Case {
    fn parse(program: &Path, line: &str) -> Result<Self> {
        let mut parts = line.split('\t');
        let mut next = || parts.next().with_context(|| format!("not a case: {line}"));
        let (row, per, items) = (next()?.to_owned(), next()?.to_owned(), next()?.parse()?);
        Ok(Self { program: program.to_owned(), row, per, items })
    }
}

/// What measures.
struct Bench<'a> {
    valgrind: &'a Path,
    /// For what callgrind writes.
    folder: PathBuf,
}

impl Bench<'_> {
    /// Takes the case that is no result out of `cases`, and sees by it that callgrind counts what it is told to count
    /// and nothing else.
    fn calibrate(&self, cases: &mut Vec<Case>) -> Result<()> {
        let index = cases.iter().position(|case| case.row == CALIBRATION);
        let case = cases.remove(index.context("there is no case to calibrate with")?);
        let counted = self.count(&case)?;
        ensure!(
            counted < CALIBRATION_LIMIT,
            "callgrind counts what {PAUSED} does, too ({counted:.0} instructions): this version of valgrind cannot be \
             used. 3.19 can"
        );
        Ok(())
    }

    fn measure(&self, case: &Case) -> Result<Measured> {
        let time = process::answer(Command::new(&case.program).args(["time", &case.row]));
        let nanoseconds: f64 = time.context("it cannot be timed")?.parse().context("it told no time")?;
        Ok(Measured {
            row: case.row.clone(),
            per: case.per.clone(),
            instructions: rounded(self.count(case)?),
            nanoseconds: rounded(nanoseconds / case.items),
        })
    }

    /// The instructions that one item of a case takes.
    fn count(&self, case: &Case) -> Result<f64> {
        let folder = self.folder.join("callgrind");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        let (output, log) = (folder.join("out"), folder.join("log"));
        workspace::create(&output)?;
        let mut command = Command::new(self.valgrind);
        command
            .env("GLIBC_TUNABLES", NO_COUNTED_BYTES)
            .arg("--tool=callgrind")
            .arg(format!("--callgrind-out-file={}", output.display()))
            // In this order: otherwise valgrind 3.19 does not know both options of the one function.
            .arg(format!("--dump-before={MEASURED}"))
            .args([MEASURED, PAUSED].map(|function| format!("--toggle-collect={function}")))
            .arg(&case.program)
            .args(["count", &case.row])
            .stdout(Stdio::null())
            .stderr(File::create(&log).with_context(|| format!("cannot write {}", log.display()))?);
        process::run(&mut command).with_context(|| format!("see {}", log.display()))?;
        // A file with what was counted before each pass, numbered from 1, and one from the last pass on.
        let mut passes = Vec::new();
        for path in (1..).map(|number: u32| output.with_extension(number.to_string())) {
            if !path.is_file() {
                break;
            }
            passes.push(total(&path)?);
        }
        passes.push(total(&output)?);
        match passes.as_slice() {
            [_, .., before, last] if before == last && *last > 0 => Ok(f64::from(*last) / case.items),
            [_, .., before, last] => bail!("passes differ: {before} instructions, then {last}"),
            _ => bail!("callgrind finds no function {MEASURED} in {}", case.program.display()),
        }
    }
}

/// What callgrind says it counted.
fn total(path: &Path) -> Result<u32> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.with_context(|| format!("no total in {}", path.display()))?;
    total.parse().with_context(|| format!("callgrind's total of {total}"))
}

/// As precise as it is shown, so that nobody misses a target by what they cannot see.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// All figures, for programs.
fn figures(results: &[Measured]) -> Vec<Figure> {
    results.iter().flat_map(|result| [result.instructions(), result.nanoseconds()]).collect()
}

/// The figures that have a target.
fn held(results: &[Measured]) -> Vec<Figure> {
    figures(results).into_iter().filter(|figure| figure.target.is_some()).collect()
}

impl Measured {
    fn instructions(&self) -> Figure {
        let figure = Figure::lower(self.name("instr"), self.instructions, "instructions");
        let target = TARGETS.into_iter().find(|(row, ..)| *row == self.row);
        target.map_or(figure.clone(), |(_, must, aim)| figure.held_to(must, aim))
    }

    fn nanoseconds(&self) -> Figure {
        Figure::lower(self.name("ns"), self.nanoseconds, "ns")
    }

    fn name(&self, what: &str) -> String {
        match self.per.as_str() {
            "frame" => format!("{}/{what}", self.row),
            per => format!("{}/{what}_{per}", self.row),
        }
    }
}

/// One quantity of all cases: a line for each, with ours and the others' beside one another.
struct SideBySide {
    lines: Vec<(String, Vec<String>)>,
}

fn side_by_side(results: &[Measured], of: fn(&Measured) -> f64) -> SideBySide {
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    for result in results {
        let (peer, row) = parts(&result.row);
        let index = lines.iter().position(|(known, _)| *known == row).unwrap_or_else(|| {
            lines.push((row.clone(), vec!["–".to_owned(); PEERS.len()]));
            lines.len() - 1
        });
        if let Some(column) = PEERS.iter().position(|(key, ..)| *key == peer) {
            lines[index].1[column] = of(result).to_string();
        }
    }
    SideBySide { lines }
}

impl SideBySide {
    fn table(&self) -> String {
        let heads = PEERS.map(|(_, head)| Column::right(head));
        let mut table = Table::new([Column::left("")].into_iter().chain(heads));
        for (row, values) in &self.lines {
            table.row([row].into_iter().chain(values).map(Cell::plain));
        }
        table.render()
    }

    fn markdown(&self) -> String {
        let heads = PEERS.map(|(_, head)| head);
        let mut text = format!("| | {} |\n|---|{}\n", heads.join(" | "), "--:|".repeat(heads.len()));
        for (row, values) in &self.lines {
            text += &format!("| `{row}` | {} |\n", values.join(" | "));
        }
        text
    }
}

/// A row's codec, as in [`PEERS`], and its case as ours is called.
fn parts(row: &str) -> (&str, String) {
    let Some((peer, case)) = row.strip_prefix("peer/").and_then(|row| row.split_once('/')) else {
        return (OURS, row.to_owned());
    };
    // The others have one way to take messages out of one buffer.
    (peer, if case == "decode/msg" { "decode/msg/contiguous".to_owned() } else { case.to_owned() })
}

/// What docs/benchmarks.md says.
fn section(workspace: &Workspace, tools: &Tools, results: &[Measured]) -> Result<String> {
    let lock = folder(workspace).join("Cargo.lock");
    let lock = fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let versions: Vec<_> = CRATES.into_iter().map(|name| version(&lock, name)).collect::<Result<_>>()?;
    let valgrind = process::answer(Command::new(tools.valgrind()?).arg("--version")).unwrap_or_default();
    let mut text = format!(
        "## What a frame costs in the codec: `cargo xtask bench core`\n\n\
         Measured on {}, {valgrind}, with {}.\n\n{HOW}",
        super::machine(workspace),
        versions.join(", ")
    );
    for (what, of) in QUANTITIES {
        text += &format!("\n### {what}\n\n{}", side_by_side(results, of).markdown());
    }
    text += &format!("\n### What has a target\n\n{}", figure::markdown(&held(results)));
    Ok(text)
}

/// A crate of a lock file and its version.
fn version(lock: &str, name: &str) -> Result<String> {
    let packages = Package::list(lock).context("the lock file is not understood")?;
    let package = packages.iter().find(|package| package.name == name);
    let package = package.with_context(|| format!("the lock file has no {name}"))?;
    Ok(format!("{} {}", package.name, package.version))
}

/// The function that does one pass.
const MEASURED: &str = "measure::callgrind_measured";
/// What it calls without having it counted.
const PAUSED: &str = "measure::arrival::callgrind_paused";
/// A case that is no result: making room, copying 64 KiB, looking at them. Copying alone takes a thousand instructions
/// or more, the rest some tens.
const CALIBRATION: &str = "calibration";
const CALIBRATION_LIMIT: f64 = 100.0;
/// Otherwise glibc copies what is large by an instruction that callgrind counts, and goes through, for each byte.
const NO_COUNTED_BYTES: &str = "glibc.cpu.x86_rep_movsb_threshold=0x7fffffff";

type Quantity = (&'static str, fn(&Measured) -> f64);
const QUANTITIES: [Quantity; 2] = [
    ("Instructions per frame, or per slice of a file", |result| result.instructions),
    ("Nanoseconds, which are noise", |result| result.nanoseconds),
];

/// What our cases are held to, in instructions: they must not take more than the first, and aim at the second.
const TARGETS: [(&str, f64, f64); 5] = [
    ("decode/msg/contiguous", 140.0, 80.0),
    ("decode/msg/whole", 40.0, 18.0),
    ("decode/msg/1byte", 2500.0, 1000.0),
    ("decode/file/64k", 60.0, 30.0),
    ("encode/msg", 20.0, 14.0),
];

/// The order of the cases.
const ROWS: [&str; 14] = [
    "decode/msg/contiguous",
    "decode/msg/contiguous/const_limits",
    "decode/msg/whole",
    "decode/msg/whole/const_limits",
    "decode/msg/1460byte",
    "decode/msg/1460byte/whole",
    "decode/msg/7byte",
    "decode/msg/1byte",
    "decode/files8",
    "decode/files8/whole",
    "decode/file/64k",
    "encode/msg",
    "encode/msg/by_parts",
    "encode/msg/one_call",
];

const OURS: &str = "";
/// The codecs: as they stand in the names of rows, and in the heads of columns.
const PEERS: [(&str, &str); 6] = [
    (OURS, "tej-core"),
    ("length_delimited", "LengthDelimited"),
    ("postcard", "postcard"),
    ("postcard_cobs", "+ COBS"),
    ("prost", "prost"),
    ("httparse", "httparse"),
];
const CRATES: [&str; 5] = ["tokio-util", "bytes", "postcard", "prost", "httparse"];

const HOW: &str = "\
How it is measured:

- All codecs carry the same: a status of one byte and a message of 32 bytes; eight files of 64 bytes with their names
  beside it; a file of 1 GiB in slices of 64 KiB. `contiguous` is 1,022 frames in one buffer, the others the same frames
  in reads of so many bytes. Tests see to it that each codec delivers all of it, in each case.
- The program looks at everything that it is told, and does the same with it for all codecs: it adds status, sizes, and
  address and length of what is borrowed to a sum. Checking for errors and the loop itself count.
- Codecs are made before the pass that counts, live in memory, and are called by reference; what is decoded, and how it
  is cut, is unknown to the compiler. tej-core has 255 bytes for names, and its limits by reference but for
  `const_limits`, where they are a type's. `whole` is its `decode_frame`, which borrows frames whole, with `decode` for
  what the end of a read has cut; the rest is `decode`, event by event.
- Every codec is built with `opt-level = 3`, fat LTO and one codegen unit, for the baseline of the architecture, and
  each way of using it in a program of its own: a codec that is called at one place, as in most programs, is inlined
  there.
- Instructions are those that callgrind counts in the third pass over the frames, and must have been as many in the
  second. They depend on the compiler, the C library and valgrind, and not on how busy the machine is. Nanoseconds are
  those of the fastest pass in 0.3 s.
- Bytes come from a transport, which copies them into somebody's buffer: that is not counted, for codecs that keep a
  buffer of their own neither, but it is in their nanoseconds (which is why 64 KiB take so long there). Making room for
  them is counted.

What the others do not do, and how they are used:

- LengthDelimitedCodec (tokio-util) has frames and nothing in them: status and message are one frame here, a slice of a
  file is a frame behind a byte for its kind, and a frame with several files is the program's affair (`–`).
- postcard, without its default features and borrowing from the input, takes whole messages only (`–`). `+ COBS` is
  what it brings for input in pieces: `CobsAccumulator`, with 256 bytes. A file is a message per slice; with COBS, the
  accumulator would have to hold one (`–`).
- prost takes whole messages, with their length before them and payload as `Bytes`. Input in pieces is collected in a
  `BytesMut` until the length says that a message is complete. A file is a message per slice.
- httparse parses the head of a response; the length of the body is read from its field, and the body passes it by. So a
  slice of a file costs what the program's own counter costs. A head that is not complete is parsed again once its end
  has come, as servers do it. It has no files beside a message, and does not encode (`–`).
- When encoding, the others copy the message behind its head, as `encode/msg/one_call` of tej-core does. In its other
  two, the 18 bytes of a frame's heads get into the caller's buffer, and the message stays where it is: `encode/msg` is
  `Encoder::message_frame`, and `by_parts` the calls that any frame can be made of.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(row: &str, per: &str, instructions: f64) -> Measured {
        Measured { row: row.to_owned(), per: per.to_owned(), instructions, nanoseconds: 0.5 }
    }

    #[test]
    fn rows_are_named_by_what_they_are_per() {
        let figures =
            figures(&[measured("decode/msg/1byte", "frame", 2500.0), measured("x/64k", "slice", 1.0)]);
        let names: Vec<_> = figures.iter().map(|figure| figure.row.as_str()).collect();
        assert_eq!(
            names,
            ["decode/msg/1byte/instr", "decode/msg/1byte/ns", "x/64k/instr_slice", "x/64k/ns_slice"]
        );
        assert_eq!(figures[0].passes(), Some(true));
        assert_eq!(figures[2].passes(), None);
    }

    #[test]
    fn codecs_stand_beside_one_another() {
        let results = [
            measured("decode/msg/contiguous", "frame", 80.0),
            measured("peer/prost/decode/msg", "frame", 269.5),
            measured("peer/postcard_cobs/decode/msg/1byte", "frame", 7.0),
        ];
        assert_eq!(
            side_by_side(&results, |result| result.instructions).markdown(),
            "| | tej-core | LengthDelimited | postcard | + COBS | prost | httparse |\n\
             |---|--:|--:|--:|--:|--:|--:|\n\
             | `decode/msg/contiguous` | 80 | – | – | – | 269.5 | – |\n\
             | `decode/msg/1byte` | – | – | – | 7 | – | – |\n"
        );
    }

    #[test]
    fn versions_come_from_the_lock_file() {
        let package = |name, version| format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n\n");
        let lock = &(package("prost-derive", "1.0.0") + &package("prost", "0.14.6"));
        assert_eq!(version(lock, "prost").unwrap(), "prost 0.14.6");
        assert!(version(lock, "post").is_err());
    }
}
