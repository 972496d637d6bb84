//! What the boards' whole firmware occupies: flash by crate, static RAM, and the stack at its deepest.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    bench,
    board::{AN385, Board},
    cargo,
    demo::{self, Session},
    exchange::Desktop,
    figure::{self, Figure},
    firmware::{self, Firmware},
    payload::Payload,
    screen::Screen,
    setup::Tools,
    tej, tool,
    workspace::Workspace,
};

/// What was measured of some boards.
pub(super) struct Measured {
    pub(super) figures: Vec<Figure>,
    /// Bytes of flash by crate, in the order of the programs.
    crates: BTreeMap<String, Vec<u64>>,
    /// As rows call the programs.
    programs: Vec<String>,
}

/// Builds each board's firmware, and what it has besides, has it exchange files with the desktop, and reads off what it
/// occupies.
pub(super) fn measure(
    workspace: &Workspace,
    tools: &Tools,
    boards: &[&'static Board],
    screen: &Screen,
) -> Result<Measured> {
    let programs: Vec<_> = boards.iter().flat_map(|board| Measurable::of(board)).collect();
    let names = programs.iter().map(|program| program.row.clone()).collect();
    let mut measured = Measured { figures: Vec::new(), crates: BTreeMap::new(), programs: names };
    if boards.is_empty() {
        return Ok(measured);
    }
    let tej = tej::build(workspace, screen)?;
    let desktop = Desktop { tej: &tej, screen };
    for (index, program) in programs.iter().enumerate() {
        let Measurable { row, board, .. } = program;
        let firmware = program.build(workspace, tools, screen)?;
        let peak = program.stack_peak(workspace, tools, &firmware, &desktop);
        let peak = peak.with_context(|| format!("the exchange with {row}"))?;
        #[expect(clippy::cast_precision_loss, reason = "a microcontroller's memory is far smaller")]
        let figure =
            |what: &str, bytes: u64| Figure::lower(format!("firmware/{row}/{what}"), bytes as f64, "B");
        let mut stack = figure("stack_peak", peak);
        if *board == &AN385 && !program.is_tls {
            stack = stack.held_to(real(board.stack), 2048.0);
        }
        let size = firmware.footprint;
        measured.figures.extend([figure("flash", size.flash), figure("static_ram", size.static_ram), stack]);
        for (name, bytes) in program.flash_by_crate(workspace, tools, screen)? {
            if bytes >= LARGE {
                measured.figures.push(figure(&format!("flash/{name}"), bytes));
            }
            let sizes = measured.crates.entry(name).or_insert_with(|| vec![0; programs.len()]);
            sizes[index] = bytes;
        }
    }
    if boards.contains(&&AN385) {
        let bench = bench::qemu::Bench::build(workspace, tools, screen)?;
        measured.figures.extend(bench.received(screen)?);
    }
    Ok(measured)
}

/// A program of a board's.
struct Measurable {
    /// What its rows are called.
    row: String,
    board: &'static Board,
    is_tls: bool,
}

impl Measurable {
    /// All that a board has.
    fn of(board: &'static Board) -> Vec<Self> {
        let main = Self { row: board.name.to_owned(), board, is_tls: false };
        let tls = board.tls.map(|_| Self { row: format!("{}-tls", board.name), board, is_tls: true });
        [main].into_iter().chain(tls).collect()
    }

    fn build(&self, workspace: &Workspace, tools: &Tools, screen: &Screen) -> Result<Firmware> {
        if self.is_tls {
            firmware::build_tls(workspace, self.board, tools, screen)
        } else {
            firmware::build(workspace, self.board, tools, screen)
        }
    }

    /// The most bytes of stack that the firmware has used, by its own account, once files have gone to where they go.
    fn stack_peak(
        &self,
        workspace: &Workspace,
        tools: &Tools,
        firmware: &Firmware,
        desktop: &Desktop<'_>,
    ) -> Result<u64> {
        let load = self.board.check;
        let outcomes = if self.is_tls {
            vec![demo::send_over_tls(workspace, tools, firmware, desktop, load.device)?.0]
        } else {
            let payloads = Payload::generate(&workspace.demo().join("files"), load.files)?;
            let session = Session::open(workspace, tools, firmware, desktop, load)?;
            session.run(desktop, &payloads, false)?.0
        };
        for outcome in &outcomes {
            ensure!(outcome.problems.is_empty(), "not everything arrived unchanged: {:?}", outcome.problems);
        }
        let peaks = outcomes.iter().filter_map(|outcome| outcome.stack).map(|stack| stack.peak);
        peaks.max().context("the device did not report its stack")
    }

    /// Bytes of code by the crate that it came from, by what cargo-bloat makes of the symbols' names.
    fn flash_by_crate(
        &self,
        workspace: &Workspace,
        tools: &Tools,
        screen: &Screen,
    ) -> Result<Vec<(String, u64)>> {
        let folder = workspace.root().join("examples").join(self.board.package);
        let mut command = tools.bare_metal()?.tool(workspace, tool::BLOAT, &folder, self.board.target);
        command.args(["--release", "--locked", "--crates", "-n", "0", "--message-format", "json"]);
        match self.board.tls.filter(|_| self.is_tls) {
            Some(name) => command.args(["--bin", name, "--features", "tls"]),
            None => command.args(["--bin", self.board.package]),
        };
        let work = screen.work("size", &format!("{} by crate", self.row));
        let mut said = String::new();
        let ended = cargo::follow(&mut command, &workspace.target().join("bloat.log"), |line| {
            said.push_str(line);
            said.push('\n');
        })?;
        if !ended.status.success() {
            return Err(ended.failure());
        }
        let crates = crates(&said).with_context(|| format!("what cargo-bloat said: {said}"))?;
        work.done(&format!("{} by crate", self.row));
        Ok(crates)
    }
}

/// What is stored of all boards.
pub(super) fn section(compiler: &str, measured: &Measured) -> String {
    let is_of_a_crate = |figure: &&Figure| figure.row.contains("/flash/");
    let figures: Vec<_> = measured.figures.iter().filter(|figure| !is_of_a_crate(figure)).cloned().collect();
    format!(
        "## What firmware occupies: `cargo xtask size`\n\nMeasured by {compiler}, with the profile of `examples/Cargo.toml`.\n\n{HOW}\n{}\n\
         ### Flash by crate, in bytes\n\nBy cargo-bloat {}, from the names of functions: what the compiler has inlined counts with the \
         caller, so the tasks, with all that is in them, are the executor's, and constants are nobody's.\n\n{}",
        figure::markdown(&figures),
        tool::BLOAT.version,
        measured.by_crate()
    )
}

impl Measured {
    /// The crates as a table, the largest first, with small ones in a row of their own.
    pub(super) fn by_crate(&self) -> String {
        let columns = self.programs.len();
        let mut text =
            format!("| crate | {} |\n|---|{}\n", self.programs.join(" | "), "--:|".repeat(columns));
        let (mut large, small): (Vec<_>, Vec<_>) =
            self.crates.iter().partition(|(_, sizes)| sizes.iter().any(|size| *size >= LARGE));
        large.sort_by_key(|(name, sizes)| (std::cmp::Reverse(sizes.iter().sum::<u64>()), *name));
        let mut row = |name: &str, sizes: &[u64]| {
            let cell = |size: &u64| if *size == 0 { "–".to_owned() } else { size.to_string() };
            text += &format!("| {name} | {} |\n", sizes.iter().map(cell).collect::<Vec<_>>().join(" | "));
        };
        for (name, sizes) in large {
            row(&format!("`{name}`"), sizes);
        }
        let rest: Vec<_> =
            (0..columns).map(|index| small.iter().map(|(_, sizes)| sizes[index]).sum()).collect();
        row(&format!("{} of less than {LARGE} each", small.len()), &rest);
        text
    }
}

#[expect(clippy::cast_precision_loss, reason = "a microcontroller's memory is far smaller")]
fn real(bytes: u64) -> f64 {
    bytes as f64
}

fn crates(said: &str) -> Result<Vec<(String, u64)>> {
    let answer = said.lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
    let answer = answer.context("no JSON")?;
    let crates = answer["crates"].as_array().context("no crates")?;
    let of = |entry: &Value| Some((entry["name"].as_str()?.to_owned(), entry["size"].as_u64()?));
    let crates: Option<Vec<_>> = crates.iter().map(of).collect();
    let crates = crates.context("a crate without name or size")?;
    ensure!(!crates.is_empty(), "no crates");
    Ok(crates)
}

const HOW: &str = "\
- `flash` is code, constants and the initial values of variables; `static_ram` variables, with all buffers; `stack_peak` the
  most that the firmware has used of its stack, which was painted at reset, while files went both ways in QEMU (`cargo xtask
  demo` shows the same). All boards run the same application; what they are and how large their buffers, `examples/` says.
- `an385-tls` sends a file over TLS and receives none: `cargo xtask demo --tls`.
- `qemu/down/instructions` are those of a device that receives, as in `cargo xtask bench qemu`.
";
/// Crates of less are not listed by themselves, in bytes.
const LARGE: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_read_off_whatever_else_is_said() {
        let said = "    Finished\n{\"text-section-size\":9,\"crates\":[{\"name\":\"smoltcp\",\"size\":7},{\"name\":\"std\",\"size\":2}]}\n";
        assert_eq!(crates(said).unwrap(), [("smoltcp".to_owned(), 7), ("std".to_owned(), 2)]);
        for wrong in ["", "{}", "{\"crates\":[]}", "{\"crates\":[{\"name\":\"a\"}]}"] {
            assert!(crates(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn small_crates_share_a_row_and_what_a_board_does_not_have_is_not_zero() {
        let rows =
            [("tiny", vec![3, 4]), ("core", vec![300, 500]), ("minute", vec![5, 0]), ("net", vec![0, 9000])];
        let measured = Measured {
            figures: Vec::new(),
            crates: rows.into_iter().map(|(name, sizes)| (name.to_owned(), sizes)).collect(),
            programs: vec!["an385".to_owned(), "an505".to_owned()],
        };
        assert_eq!(
            measured.by_crate(),
            "| crate | an385 | an505 |\n|---|--:|--:|\n| `net` | – | 9000 |\n| `core` | 300 | 500 |\n\
             | 2 of less than 256 each | 8 | 4 |\n"
        );
    }
}
