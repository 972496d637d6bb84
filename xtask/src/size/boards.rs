//! What the boards' whole firmware occupies: flash by crate, static RAM, and the stack at its deepest.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    bench,
    board::{AN385, Board},
    cargo,
    demo::Session,
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
    /// Bytes of flash by crate, in the order of the boards.
    crates: BTreeMap<String, Vec<u64>>,
    boards: Vec<&'static Board>,
}

/// Builds each board's firmware, has it exchange files with the desktop, and reads off what it occupies.
pub(super) fn measure(
    workspace: &Workspace,
    tools: &Tools,
    boards: &[&'static Board],
    screen: &Screen,
) -> Result<Measured> {
    let mut measured = Measured { figures: Vec::new(), crates: BTreeMap::new(), boards: boards.to_vec() };
    if boards.is_empty() {
        return Ok(measured);
    }
    let tej = tej::build(workspace, screen)?;
    let desktop = Desktop { tej: &tej, screen };
    for (index, board) in boards.iter().enumerate() {
        let firmware = firmware::build(workspace, board, tools, screen)?;
        let peak = stack_peak(workspace, tools, &firmware, &desktop)
            .with_context(|| format!("the exchange with {}", board.name))?;
        let size = firmware.footprint;
        let figure = |row: &str, bytes: u64| {
            #[expect(clippy::cast_precision_loss, reason = "a microcontroller's memory is far smaller")]
            Figure::lower(format!("firmware/{}/{row}", board.name), bytes as f64, "B")
        };
        let stack = figure("stack_peak", peak);
        #[expect(clippy::cast_precision_loss, reason = "some KiB")]
        let stack = if *board == &AN385 { stack.held_to(board.stack as f64, 2048.0) } else { stack };
        measured.figures.extend([figure("flash", size.flash), figure("static_ram", size.static_ram), stack]);
        for (name, bytes) in flash_by_crate(workspace, tools, board, screen)? {
            if bytes >= LARGE {
                measured.figures.push(figure(&format!("flash/{name}"), bytes));
            }
            let row = measured.crates.entry(name).or_insert_with(|| vec![0; boards.len()]);
            row[index] = bytes;
        }
    }
    if boards.contains(&&AN385) {
        let bench = bench::qemu::Bench::build(workspace, tools, screen)?;
        measured.figures.extend(bench.received(screen)?);
    }
    Ok(measured)
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
        let names: Vec<_> = self.boards.iter().map(|board| board.name).collect();
        let mut text =
            format!("| crate | {} |\n|---|{}\n", names.join(" | "), "--:|".repeat(self.boards.len()));
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
            (0..self.boards.len()).map(|index| small.iter().map(|(_, sizes)| sizes[index]).sum()).collect();
        row(&format!("{} of less than {LARGE} each", small.len()), &rest);
        text
    }
}

/// The most bytes of stack that the firmware has used, by its own account, once files have gone both ways.
fn stack_peak(
    workspace: &Workspace,
    tools: &Tools,
    firmware: &Firmware,
    desktop: &Desktop<'_>,
) -> Result<u64> {
    let load = firmware.board.check;
    let payloads = Payload::generate(&workspace.demo().join("files"), load.files)?;
    let session = Session::open(workspace, tools, firmware, desktop, load)?;
    let (outcomes, _device) = session.run(desktop, &payloads, false)?;
    for outcome in &outcomes {
        ensure!(outcome.problems.is_empty(), "not everything arrived unchanged: {:?}", outcome.problems);
    }
    let peaks = outcomes.iter().filter_map(|outcome| outcome.stack).map(|stack| stack.peak);
    peaks.max().context("the device did not report its stack")
}

/// Bytes of code by the crate that it came from, by what cargo-bloat makes of the symbols' names.
fn flash_by_crate(
    workspace: &Workspace,
    tools: &Tools,
    board: &Board,
    screen: &Screen,
) -> Result<Vec<(String, u64)>> {
    let folder = workspace.root().join("examples").join(board.package);
    let mut command = tools.bare_metal()?.tool(workspace, tool::BLOAT, &folder, board.target);
    command.args(["--release", "--locked", "--bin", board.package]);
    command.args(["--crates", "-n", "0", "--message-format", "json"]);
    let work = screen.work("size", &format!("{} by crate", board.package));
    let mut said = String::new();
    let ended = cargo::follow(&mut command, &workspace.target().join("bloat.log"), |line| {
        said.push_str(line);
        said.push('\n');
    })?;
    if !ended.status.success() {
        return Err(ended.failure());
    }
    let crates = crates(&said).with_context(|| format!("what cargo-bloat said: {said}"))?;
    work.done(&format!("{} by crate", board.package));
    Ok(crates)
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
- `qemu/down/instructions` are those of a device that receives, as in `cargo xtask bench qemu`.
";
/// Crates of less are not listed by themselves, in bytes.
const LARGE: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::AN505;

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
            boards: vec![&AN385, &AN505],
        };
        assert_eq!(
            measured.by_crate(),
            "| crate | an385 | an505 |\n|---|--:|--:|\n| `net` | – | 9000 |\n| `core` | 300 | 500 |\n\
             | 2 of less than 256 each | 8 | 4 |\n"
        );
    }
}
