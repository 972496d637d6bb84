//! `cargo xtask bench buffers`: what the sizes of a connection's buffers are worth.
//!
//! The program `measure/buffers` moves files and messages between two network stacks by a simulated clock. What a
//! connection occupies beside its buffers is read off an image for a Cortex-M3.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cargo, document,
    figure::{self, Figure},
    process,
    screen::Screen,
    setup::{self, CORTEX_M3, Consent, Need},
    size,
    table::{Cell, Column, Table},
    workspace::Workspace,
};

/// Measure what the sizes of tej_embassy's Buffers are worth: throughput, segments on the wire, pieces of a file, RAM.
///
/// Two network stacks on this machine, a simulated network with three round trips between them, and a simulated clock: the
/// figures are the same on every machine and on every run. What the types of a connection occupy is read off an image for
/// a Cortex-M3. A run replaces the tables in docs/benchmarks.md, which also says how they are measured.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench buffers                           all of it, into docs/benchmarks.md: some seconds
  cargo xtask bench buffers --json > buffers.jsonl    one object per figure

The exit code is 0 when everything could be measured: nothing has a target.")]
pub(crate) struct Options {
    /// One JSON object per figure on standard output, and nothing else there.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    consent: Consent,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let screen = if options.json { Screen::beside_results() } else { Screen::new(false) };
    screen.headline("Buffer benchmark");
    let tools = setup::prepare(workspace, &[Need::Target(CORTEX_M3)], &options.consent, &screen)?;
    let types = size::connections(workspace, tools.bare_metal()?, CORTEX_M3, &screen)?;
    let work = screen.work("build", "the simulation (a minute the first time)");
    let mut command = workspace.cargo();
    command.args(["build", "--release", "--locked", "-p", "measure-buffers"]);
    let built = cargo::build(command, &workspace.target().join("bench").join("build-buffers.log"), &work)?;
    work.done("the simulation");
    let work = screen.work("measure", "files and messages over simulated networks");
    let mut figures = memory(&types)?;
    figures.extend(simulated(built.program()?)?);
    work.done("files and messages over simulated networks");
    let tables = tables(&figures)?;
    if options.json {
        figure::print(&figures, true)?;
    } else {
        for table in &tables {
            println!("\n{}\n{}", table.what, table.for_terminal());
        }
    }
    document::store(&benchmarks(workspace), SECTION, &body(&tables))?;
    screen.note("stored", "docs/benchmarks.md");
    Ok(ExitCode::SUCCESS)
}

/// Sees that the simulation yields what is stored: it does so on every machine. What the types of a connection occupy is
/// not measured here but taken from there.
pub(crate) fn check(workspace: &Workspace, program: &Path) -> Result<()> {
    let stored = fs::read_to_string(benchmarks(workspace)).context("cannot read docs/benchmarks.md")?;
    let stored = document::section(&stored, SECTION).context("in docs/benchmarks.md")?;
    let mut figures = stored_memory(stored)?;
    figures.extend(simulated(program)?);
    compare(stored, &body(&tables(&figures)?)).context(
        "docs/benchmarks.md is out of date: run `cargo xtask bench buffers` and commit what it stores",
    )
}

fn benchmarks(workspace: &Workspace) -> PathBuf {
    workspace.root().join("docs").join("benchmarks.md")
}

/// The section with these tables.
fn body(tables: &[Lines]) -> String {
    let mut text = format!("{HEAD}\n{HOW}");
    for table in tables {
        text += &format!("\n### {}\n\n{}", table.what, table.markdown());
    }
    text
}

/// The figures of [`memory`] from the table that was stored.
fn stored_memory(section: &str) -> Result<Vec<Figure>> {
    let figure = |(row, name): (&str, &str)| {
        let begin = format!("| {name} | ");
        let bytes = section.lines().find_map(|line| line.strip_prefix(&begin)?.strip_suffix(" |"));
        let bytes = bytes.and_then(|bytes| bytes.parse().ok());
        Ok(Figure::lower(
            row,
            bytes.with_context(|| format!("there is no line with the bytes of {name}"))?,
            "B",
        ))
    };
    MEMORY_ROWS.into_iter().map(figure).collect()
}

/// The first line in which the two differ is the error.
fn compare(stored: &str, measured: &str) -> Result<()> {
    let (mut stored, mut measured) = (stored.trim_end().lines(), measured.trim_end().lines());
    loop {
        match (stored.next(), measured.next()) {
            (None, None) => return Ok(()),
            (stored, measured) if stored == measured => {}
            (stored, measured) => bail!(
                "stored is `{}`, and now it is `{}`",
                stored.unwrap_or("(nothing more)"),
                measured.unwrap_or("(nothing more)")
            ),
        }
    }
}

/// The figures of the simulation.
fn simulated(program: &Path) -> Result<Vec<Figure>> {
    let said = process::answer(&mut Command::new(program)).context("measure-buffers fails")?;
    said.lines().map(measured).collect()
}

/// What each socket takes beside its buffers: what listens or dials, its connection, and what the stack keeps for it.
fn memory(types: &[(String, u64)]) -> Result<Vec<Figure>> {
    let bytes = |name: &str| {
        let found = types.iter().find(|(known, _)| known == name);
        found.map(|(_, bytes)| *bytes).with_context(|| format!("no type {name} was measured"))
    };
    let socket =
        bytes("sockets_2")?.checked_sub(bytes("sockets_1")?).context("sockets of less than nothing")?;
    let parts = [
        ("listener", bytes("listener")?),
        ("dialer", bytes("dialer")?),
        ("connection", bytes("connection")?),
        ("socket", socket),
    ];
    Ok(parts.map(|(name, bytes)| Figure::lower(format!("buffers/ram/{name}"), real(bytes), "B")).into())
}

/// A line of the simulation: `rate/to_peer/4096/10ms`, a tab, `329.9`.
fn measured(line: &str) -> Result<Figure> {
    let (row, value) = line.split_once('\t').with_context(|| format!("not a figure: {line}"))?;
    let value = value.parse().with_context(|| format!("not a number: {line}"))?;
    Ok(match row.split('/').next() {
        Some("rate") => Figure::higher(row, value, "KiB/s"),
        Some("buffers") => Figure::lower(row, value, "B"),
        Some("segments") => Figure::lower(row, value, "segments/frame"),
        Some("pieces") => Figure::lower(row, value, "pieces"),
        _ => bail!("a figure of an unknown kind: {line}"),
    })
}

/// The figures as people read them: a line for each size.
struct Lines {
    what: &'static str,
    heads: &'static [&'static str],
    lines: Vec<Vec<String>>,
}

fn tables(figures: &[Figure]) -> Result<Vec<Lines>> {
    let of = |row: String| {
        let figure = figures.iter().find(|figure| figure.row == row);
        figure.map(|figure| figure.value).with_context(|| format!("{row} was not measured"))
    };
    let mut used = 0;
    let mut table =
        |what, heads: &'static [&'static str], sizes: Vec<&str>, rows: &[&str]| -> Result<Lines> {
            let mut lines = Vec::new();
            for size in sizes {
                let mut line = vec![size.to_owned()];
                for row in rows {
                    line.push(of(row.replace("SIZE", size))?.to_string());
                }
                used += rows.len();
                lines.push(line);
            }
            Ok(Lines { what, heads, lines })
        };
    let mut rates = table(RATES, &RATE_HEADS, sizes(figures, "buffers/ram/buffers"), &RATE_ROWS)?;
    let beside = of("buffers/ram/listener".to_owned())?
        + of("buffers/ram/connection".to_owned())?
        + of("buffers/ram/socket".to_owned())?;
    for line in &mut rates.lines {
        let buffers: f64 = line[1].parse()?;
        line.insert(2, (buffers + beside).to_string());
    }
    let tables = vec![
        rates,
        table(SEGMENTS, &SEGMENT_HEADS, sizes(figures, "segments/message"), &SEGMENT_ROWS)?,
        table(PIECES, &["READ", "pieces"], sizes(figures, "pieces"), &["pieces/SIZE"])?,
        Lines {
            what: MEMORY,
            heads: &["", "bytes"],
            lines: MEMORY_ROWS
                .map(|(row, name)| Ok(vec![name.to_owned(), of(row.to_owned())?.to_string()]))
                .into_iter()
                .collect::<Result<_>>()?,
        },
    ];
    ensure!(
        used + MEMORY_ROWS.len() == figures.len(),
        "a figure was measured that has no place in the tables"
    );
    Ok(tables)
}

/// The sizes that `rows` have behind their beginning.
fn sizes<'a>(figures: &'a [Figure], rows: &str) -> Vec<&'a str> {
    let behind = |figure: &'a Figure| figure.row.strip_prefix(rows)?.strip_prefix('/');
    figures.iter().filter_map(behind).collect()
}

impl Lines {
    fn for_terminal(&self) -> String {
        let mut table = Table::new(self.heads.iter().map(|head| Column::right(head)));
        for line in &self.lines {
            table.row(line.iter().map(Cell::plain));
        }
        table.render()
    }

    fn markdown(&self) -> String {
        let mut text = format!("| {} |\n|{}\n", self.heads.join(" | "), "--:|".repeat(self.heads.len()));
        for line in &self.lines {
            text += &format!("| {} |\n", line.join(" | "));
        }
        text
    }
}

fn real(bytes: u64) -> f64 {
    bytes as f64
}

/// Of docs/benchmarks.md.
const SECTION: &str = "bench buffers";

const RATES: &str = "The rings: bytes of RAM, and KiB/s to the peer and from it, by the round trip";
const RATE_HEADS: [&str; 9] =
    ["RX, TX", "Buffers", "in all", "to: 1 ms", "10 ms", "50 ms", "from: 1 ms", "10 ms", "50 ms"];
const RATE_ROWS: [&str; 7] = [
    "buffers/ram/buffers/SIZE",
    "rate/to_peer/SIZE/1ms",
    "rate/to_peer/SIZE/10ms",
    "rate/to_peer/SIZE/50ms",
    "rate/from_peer/SIZE/1ms",
    "rate/from_peer/SIZE/10ms",
    "rate/from_peer/SIZE/50ms",
];

const SEGMENTS: &str = "The staging buffer: segments on the wire for each frame";
const SEGMENT_HEADS: [&str; 5] = ["STAGE", "message", "fed message", "file", "slow file"];
const SEGMENT_ROWS: [&str; 4] =
    ["segments/message/SIZE", "segments/fed_message/SIZE", "segments/file/SIZE", "segments/slow_file/SIZE"];

const PIECES: &str = "The read buffer: pieces of a file of 64 KiB";

const MEMORY: &str = "What a socket takes beside its buffers, on a Cortex-M3";
const MEMORY_ROWS: [(&str, &str); 4] = [
    ("buffers/ram/listener", "`Listener`"),
    ("buffers/ram/dialer", "`Dialer`"),
    ("buffers/ram/connection", "`Connection`"),
    ("buffers/ram/socket", "one more in `StackResources`"),
];

const HEAD: &str = "\
## What buffers are worth: `cargo xtask bench buffers`

Simulated: the same figures on every machine. [How to size buffers](guides/buffers.md) reads them.
";

const HOW: &str = "\
How it is measured:

- A device and its peer are two stacks of embassy-net with tej-embassy, MTU 1500, on tej-testkit's wire, which has a
  latency of half the round trip in each direction, carries any number of frames at a time, and loses none. Its clock is
  simulated, and a step of all tasks takes 20 µs: that is what bounds the highest rates, not the wire.
- The device has `Buffers<RX, TX, 2048, 1460, 255>`, in the other tables with rings of 4096. The peer's rings hold 64 KiB and
  bound nothing. Its acknowledgements are smoltcp's: at once for more than a segment, after 10 ms for less. Another
  system's may come sooner or later (Linux holds them back for up to 40 ms).
- A rate is that of a file of 1 MiB, from the arrival of its first byte to that of its last one. `to` depends on TX, `from` on RX,
  which are equal here. `in all` is what `Buffers`, a `Listener`, its `Connection` and the stack's own part of the socket
  take on a Cortex-M3; the network driver's queues are not in it.
- Segments are those with data in them, of 100 frames. `message` is a frame with a message of 32 bytes, by
  `send_message`; `fed message` the same by `feed_message`, so that it waits for those that follow; `file` a frame with a
  file of 512 bytes, written without a pause; `slow file` the same file in pieces of 64 bytes, 1 ms apart.
- Pieces are the `FileData` events that a file of 64 KiB comes in, at a round trip of 1 ms. READ = 0 is `next_with`, which
  lends from the ring.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_simulation_become_figures() {
        assert_eq!(
            measured("rate/to_peer/4096/10ms\t329.9").unwrap(),
            Figure::higher("rate/to_peer/4096/10ms", 329.9, "KiB/s")
        );
        assert_eq!(
            measured("buffers/ram/buffers/4096\t11956").unwrap(),
            Figure::lower("buffers/ram/buffers/4096", 11_956.0, "B")
        );
        assert_eq!(measured("pieces/64\t1040").unwrap(), Figure::lower("pieces/64", 1040.0, "pieces"));
        for wrong in ["pieces/64", "pieces/64\tmany", "speed/64\t1"] {
            assert!(measured(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_size_has_a_line_with_all_of_its_figures() {
        let mut figures = memory(&types()).unwrap();
        let rows = RATE_ROWS.iter().chain(&SEGMENT_ROWS).chain(&["pieces/SIZE"]);
        figures.extend(
            rows.enumerate()
                .map(|(index, row)| Figure::lower(row.replace("SIZE", "64"), real(1000 + index as u64), "")),
        );
        let texts: Vec<_> = tables(&figures).unwrap().iter().map(Lines::markdown).collect();
        assert_eq!(
            texts[0].lines().last(),
            Some("| 64 | 1000 | 1611 | 1001 | 1002 | 1003 | 1004 | 1005 | 1006 |")
        );
        assert_eq!(texts[1].lines().last(), Some("| 64 | 1007 | 1008 | 1009 | 1010 |"));
        assert_eq!(texts[2].lines().last(), Some("| 64 | 1011 |"));
        assert_eq!(texts[3].lines().last(), Some("| one more in `StackResources` | 500 |"));

        let lost = figures.remove(5);
        assert!(tables(&figures).is_err(), "{} is missing", lost.row);
        figures.extend([lost, Figure::lower("rate/to_peer/64/99ms", 1.0, "")]);
        assert!(tables(&figures).is_err(), "one has no place");
    }

    #[test]
    fn a_type_that_was_not_measured_is_missed() {
        assert!(memory(&types()[1..]).is_err());
    }

    #[test]
    fn the_bytes_of_a_socket_are_read_back_from_the_table() {
        let figures = memory(&types()).unwrap();
        let bytes = |name: &str| figures.iter().find(|figure| figure.row == name).unwrap().value.to_string();
        let table = Lines {
            what: MEMORY,
            heads: &["", "bytes"],
            lines: MEMORY_ROWS.map(|(row, name)| vec![name.to_owned(), bytes(row)]).into(),
        };
        assert_eq!(stored_memory(&table.markdown()).unwrap(), figures);
        assert!(stored_memory(&table.markdown().replace("500", "some")).is_err());
        assert!(stored_memory("").is_err());
    }

    #[test]
    fn the_first_line_that_differs_is_said() {
        let error = |stored, measured| compare(stored, measured).unwrap_err().to_string();
        assert!(compare("a\nb\n", "a\nb").is_ok());
        assert_eq!(error("a\nb\nc", "a\nx\ny"), "stored is `b`, and now it is `x`");
        assert_eq!(error("a\nb", "a"), "stored is `b`, and now it is `(nothing more)`");
        assert_eq!(error("a", "a\n\nb"), "stored is `(nothing more)`, and now it is ``");
    }

    #[test]
    fn the_guide_quotes_what_was_measured() {
        let stored = include_str!("../../../docs/benchmarks.md");
        let stored = document::section(stored, SECTION).unwrap();
        let cells: Vec<_> = stored
            .lines()
            .flat_map(|line| line.split(" | "))
            .map(|cell| cell.trim_matches(['|', ' ']))
            .collect();
        let guide = include_str!("../../../docs/guides/buffers.md");
        let words: Vec<_> = guide
            .lines()
            .filter(|line| !line.starts_with("throughput"))
            .flat_map(str::split_whitespace)
            .collect();
        let mut quoted = 0;
        for pair in words.windows(2) {
            let unit = pair[1].trim_end_matches(['.', ',', ':', ';']);
            let is_measured = ["KiB/s", "segments", "pieces"].contains(&unit);
            if is_measured && pair[0].ends_with(|last: char| last.is_ascii_digit()) {
                assert!(cells.contains(&pair[0]), "{} {unit} was not measured", pair[0]);
                quoted += 1;
            }
        }
        assert!(quoted > 10, "only {quoted} figures were found in the guide");
        let memory = stored_memory(stored).unwrap();
        let [listener, dialer, connection, socket] = [0, 1, 2, 3].map(|row| memory[row].value);
        let sentence = format!(
            "{listener} bytes for a `Listener` ({dialer} for a `Dialer`), {connection} for its `Connection` and {socket} for \
             one more socket in `StackResources<N>`."
        );
        assert!(words.join(" ").contains(&sentence), "the guide does not say: {sentence}");
    }

    fn types() -> [(String, u64); 5] {
        [("listener", 10), ("dialer", 20), ("connection", 101), ("sockets_1", 700), ("sockets_2", 1200)]
            .map(|(name, bytes)| (name.to_owned(), bytes))
    }
}
