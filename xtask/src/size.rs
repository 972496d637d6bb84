//! `cargo xtask size`: what tej-core and whole firmware cost on a device, in flash and in RAM.
//!
//! The programs are in `measure/footprint`: small firmware, each of which does one thing with tej-core. What it costs is
//! the size of the whole linked image less that of an empty one, so every helper and `memcpy` counts. The firmware is the
//! boards'; [`boards`] measures it.

mod boards;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, ObjectSymbol};

use crate::{
    board::{BOARDS, Board},
    calls,
    cargo::{self, BareMetal},
    document,
    figure::{self, Figure},
    firmware,
    screen::Screen,
    setup::{self, CORTEX_M0, CORTEX_M3, CORTEX_M4, CORTEX_M33, Consent, Need, RISCV32},
    tool,
    workspace::Workspace,
};

/// Measure what tej-core costs on microcontrollers, flash for what a firmware does with it and RAM for each of its types, and
/// what the whole firmware of the emulated boards does.
///
/// Builds small programs for each target and reads their ELF files. `size/TARGET/…` is the flash of a whole program, code
/// and constants, less that of an empty one with the same start code and driver. `ram/TARGET/…` is what a type occupies,
/// without the storage for names and buffers, which is of the caller's choice. `firmware/BOARD/…` is the flash of a board's
/// firmware, in all and by crate, its variables, and the stack at its deepest while files go both ways in the emulator. A run
/// for everything replaces the tables in docs/benchmarks.md.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask size                                all targets and boards, into docs/benchmarks.md
  cargo xtask size --target thumbv7m-none-eabi    tej-core on one of them, while working on it; nothing is stored
  cargo xtask size --board an385                  one board's firmware; nothing is stored
  cargo xtask size --json > size.jsonl            one object per figure
  cargo xtask size --check                        fail when a target is missed

What is large in a program: `llvm-nm -CS --size-sort target/firmware/TARGET/release/decoder`.
The exit code is 0 when everything could be measured, whether the targets are met or not, unless --check is given.")]
pub(crate) struct Options {
    /// One JSON object per figure on standard output, and nothing else there.
    #[arg(long)]
    json: bool,

    /// Exit with 1 when a figure misses what it is held to.
    #[arg(long)]
    check: bool,

    /// Only tej-core on this target; can be repeated. Nothing is stored.
    #[arg(long, value_name = "TARGET", value_parser = TARGETS)]
    target: Vec<String>,

    /// Only this board's firmware; can be repeated. Nothing is stored.
    #[arg(long, value_name = "BOARD", value_parser = Board::parser())]
    board: Vec<&'static Board>,

    #[command(flatten)]
    consent: Consent,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let screen = if options.json { Screen::beside_results() } else { Screen::new(false) };
    screen.headline("Footprint");
    let everything = options.target.is_empty() && options.board.is_empty();
    let targets = TARGETS
        .into_iter()
        .filter(|target| everything || options.target.iter().any(|wanted| wanted == target));
    let targets: Vec<_> = targets.collect();
    let boards: Vec<_> =
        BOARDS.into_iter().filter(|board| everything || options.board.contains(board)).collect();
    let mut needs: Vec<_> = targets.iter().copied().map(Need::Target).collect();
    needs.extend(boards.iter().flat_map(|board| board.needs()));
    if !boards.is_empty() {
        needs.push(Need::Tool(tool::BLOAT));
    }
    let tools = setup::prepare(workspace, &needs, &options.consent, &screen)?;
    let bare_metal = tools.bare_metal()?;
    let (mut figures, mut made_of) = (Vec::new(), String::new());
    for target in &targets {
        let programs = Programs::build(workspace, bare_metal, target, &screen)?;
        figures.extend(programs.figures().with_context(|| format!("in the programs for {target}"))?);
        if *target == CORTEX_M3 {
            made_of = programs.made_of()?;
        }
    }
    let _lock = workspace.lock_demo()?;
    let of_boards = boards::measure(workspace, &tools, &boards, &screen)?;
    figure::print(&[&figures[..], &of_boards.figures].concat(), options.json)?;
    if everything {
        let path = workspace.root().join("docs").join("benchmarks.md");
        let how = format!(
            "## What tej-core costs on a device: `cargo xtask size`\n\nMeasured by {}, with {}; the machine makes no difference. `ram/` is a type's size \
             without the storage of names and buffers: `decoder` has constant limits, `decoder_reference` a reference to \
             some. `size/` is the flash of a program, all helpers included, less that of `empty`, which has the same start code and driver and is \
             listed as it is:",
            bare_metal.describe(),
            profile(workspace)?.iter().map(|setting| format!("`{setting}`")).collect::<Vec<_>>().join(", ")
        );
        let programs = figures.iter().filter(|figure| figure.row.starts_with("size/"));
        let programs = programs.filter_map(|figure| figure.row.rsplit('/').next()).collect();
        let rows = described(&folder(workspace), &programs)?;
        document::store(
            &path,
            "size",
            &format!("{how}\n\n{rows}\n{}\n{made_of}", figure::markdown(&figures)),
        )?;
        document::store(&path, "size firmware", &boards::section(&bare_metal.describe(), &of_boards))?;
        screen.note("stored", "docs/benchmarks.md");
    }
    figures.extend(of_boards.figures);
    let held: Vec<_> = figures.iter().filter_map(Figure::passes).collect();
    let missed = held.iter().filter(|passes| !**passes).count();
    screen.note("result", &format!("{missed} of {} figures miss what they are held to", held.len()));
    Ok(if options.check && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Fails when a figure of `target` misses what it is held to.
pub(crate) fn check(
    workspace: &Workspace,
    bare_metal: &BareMetal,
    target: &str,
    screen: &Screen,
) -> Result<()> {
    let figures = Programs::build(workspace, bare_metal, target, screen)?.figures()?;
    let held: Vec<_> = figures.into_iter().filter(|figure| figure.passes().is_some()).collect();
    ensure!(!held.is_empty(), "nothing is demanded of {target}");
    print!("{}", figure::table(&held));
    let missed: Vec<_> = held.iter().filter(|figure| figure.passes() == Some(false)).collect();
    ensure!(
        missed.is_empty(),
        "too large: {}. `cargo xtask size --target {target}` shows all figures",
        missed.iter().map(|figure| figure.row.as_str()).collect::<Vec<_>>().join(", ")
    );
    Ok(())
}

/// What a connection of tej-embassy occupies on `target` beside its buffers: types and their bytes.
pub(crate) fn connections(
    workspace: &Workspace,
    bare_metal: &BareMetal,
    target: &str,
    screen: &Screen,
) -> Result<Vec<(String, u64)>> {
    let mut command = bare_metal.cargo(workspace, &folder(workspace), "build", target);
    command.args(["--release", "--locked", "--features", "connections", "--bin", "ram_connections"]);
    let work = screen.work("build", &format!("the types for {target} (some minutes the first time)"));
    let built = cargo::build(command, &workspace.target().join("size.log"), &work)?;
    work.done(&format!("the types for {target}"));
    let file = built.program()?;
    let elf = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Program::read(&elf).with_context(|| format!("in {}", file.display()))?.types)
}

/// The programs for one target, built.
struct Programs<'a> {
    target: &'a str,
    files: Vec<PathBuf>,
}

impl<'a> Programs<'a> {
    fn build(
        workspace: &Workspace,
        bare_metal: &BareMetal,
        target: &'a str,
        screen: &Screen,
    ) -> Result<Self> {
        let mut command = bare_metal.cargo(workspace, &folder(workspace), "build", target);
        command.args(["--release", "--locked", "--bins"]);
        let work =
            screen.work("build", &format!("programs for {target} (`core` comes first: a minute or two)"));
        let built = cargo::build(command, &workspace.target().join("size.log"), &work)?;
        work.done(&format!("programs for {target}"));
        Ok(Self { target, files: built.executables })
    }

    fn figures(&self) -> Result<Vec<Figure>> {
        let empty = self.read(EMPTY)?;
        let mut figures = Vec::new();
        for row in self.rows()? {
            let program = self.read(&row)?;
            ensure!(
                program.device == empty.device,
                "{row} has a driver of {} bytes, and {EMPTY} one of {}: they cannot be compared",
                program.device,
                empty.device
            );
            let cost = program.flash.checked_sub(empty.flash).context("it is smaller than nothing")?;
            figures.push(self.figure("size", &row, cost));
        }
        // As it is, so that who counts the driver as well can add it.
        figures.push(self.figure("size", EMPTY, empty.flash));
        let ram = self.read(RAM)?;
        ensure!(!ram.types.is_empty(), "{RAM} has no symbols {RAM_SYMBOLS}…");
        figures.extend(ram.types.iter().map(|(name, size)| self.figure("ram", name, *size)));
        for (kind, of, row, ..) in HELD {
            let row = format!("{kind}/{}/{row}", self.target);
            ensure!(
                !applies(of, self.target) || figures.iter().any(|figure| figure.row == row),
                "something is demanded of {row}, which is not measured"
            );
        }
        Ok(figures)
    }

    /// What stands between the programs with an aim and that aim: their functions.
    fn made_of(&self) -> Result<String> {
        let empty = self.read(EMPTY)?;
        let mut text = format!(
            "### What they are made of, on {}\n\nFunctions of {LARGE} bytes and more, in bytes, with what the \
             compiler has inlined there; those of `empty` are left out, and `main` is the program's own work with what it is \
             told.\n\n| program | functions |\n|---|---|\n",
            self.target
        );
        for (_, _, row, ..) in HELD.iter().filter(|(kind, ..)| *kind == "size") {
            let functions = self.read(row)?.functions;
            let large = functions
                .iter()
                .filter(|function| function.1 >= LARGE && !empty.functions.contains(function));
            let large: Vec<_> = large.map(|(name, size)| format!("`{name}` {size}")).collect();
            ensure!(!large.is_empty(), "{row} has no functions");
            text += &format!("| `{row}` | {} |\n", large.join(", "));
        }
        Ok(text)
    }

    /// The programs that have a row, simple ones first.
    fn rows(&self) -> Result<Vec<String>> {
        let mut rows = Vec::new();
        for file in &self.files {
            let name = file.file_name().and_then(|name| name.to_str()).context("a program without a name")?;
            if ![EMPTY, RAM].contains(&name) {
                rows.push(name.to_owned());
            }
        }
        rows.sort_by_key(|row| order(row));
        Ok(rows)
    }

    fn read(&self, name: &str) -> Result<Program> {
        let file = self.files.iter().find(|file| file.ends_with(name));
        let file = file.with_context(|| format!("no program {name} was built"))?;
        let elf = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        Program::read(&elf).with_context(|| format!("in {}", file.display()))
    }

    fn figure(&self, kind: &str, row: &str, bytes: u64) -> Figure {
        #[expect(clippy::cast_precision_loss, reason = "a microcontroller's memory is far smaller")]
        let figure = Figure::lower(format!("{kind}/{}/{row}", self.target), bytes as f64, "B");
        let held = HELD.iter().find(|(its_kind, of, its_row, ..)| {
            *its_kind == kind && applies(of, self.target) && *its_row == row
        });
        match held {
            Some((.., must, aim)) => figure.held_to(*must, *aim),
            None => figure,
        }
    }
}

/// What is read off a program.
struct Program {
    flash: u64,
    /// What of it is the driver.
    device: u64,
    /// Names and sizes of the types that it has variables for.
    types: Vec<(String, u64)>,
    /// Names and sizes of its functions, the largest first.
    functions: Vec<(String, u64)>,
}

impl Program {
    fn read(elf: &[u8]) -> Result<Self> {
        let file = object::File::parse(elf).context("no ELF file")?;
        let device = file.section_by_name(".device").context("no section .device")?.size();
        let mut types: Vec<_> = file
            .symbols()
            .filter_map(|symbol| {
                let name = symbol.name().ok()?.strip_prefix(RAM_SYMBOLS)?;
                Some((name.to_owned(), symbol.size()))
            })
            .collect();
        types.sort();
        let mut functions: Vec<_> = file
            .symbols()
            .filter(|symbol| symbol.kind() == object::SymbolKind::Text && symbol.size() > 0)
            .filter_map(|symbol| Some((calls::readable(symbol.name().ok()?), symbol.size())))
            .collect();
        functions.sort_by_key(|(name, size)| (std::cmp::Reverse(*size), name.clone()));
        Ok(Self { flash: firmware::flash(&file), device, types, functions })
    }
}

/// The settings of the programs' profile, as their manifest has them: `opt-level = "s"`.
pub(crate) fn profile(workspace: &Workspace) -> Result<Vec<String>> {
    let path = folder(workspace).join("Cargo.toml");
    let manifest = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = manifest.lines().skip_while(|line| *line != "[profile.release]").skip(1);
    let settings: Vec<_> = lines.take_while(|line| !line.is_empty()).map(str::to_owned).collect();
    ensure!(!settings.is_empty(), "{} has no [profile.release]", path.display());
    Ok(settings)
}

/// What each of `programs` does, in its own words.
fn described(folder: &Path, programs: &BTreeSet<&str>) -> Result<String> {
    let mut programs: Vec<_> = programs.iter().collect();
    programs.sort_by_key(|program| order(program));
    let mut list = String::new();
    for program in programs {
        let path = folder.join("src").join("bin").join(program).with_extension("rs");
        let source = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let text: Vec<_> = source.lines().map_while(|line| line.strip_prefix("//! ")).collect();
        ensure!(!text.is_empty(), "{} does not say what it does", path.display());
        list += &format!("- `{program}`: {}\n", text.join(" "));
    }
    Ok(list)
}

/// The crate with the programs.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root().join("measure").join("footprint")
}

/// What programs are sorted by.
fn order(name: &str) -> (usize, String) {
    (FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len()), name.to_owned())
}

fn applies(of: &str, target: &str) -> bool {
    of == EVERY || of == target
}

const TARGETS: [&str; 5] = [CORTEX_M0, CORTEX_M3, CORTEX_M4, CORTEX_M33, RISCV32];
/// What the others are compared with.
const EMPTY: &str = "empty";
/// Smaller functions are not listed, in bytes.
const LARGE: u64 = 16;
/// The program with a variable for each type, and the beginning of those variables' names.
const RAM: &str = "ram";
const RAM_SYMBOLS: &str = "ram/";
/// The rows that come before the others.
const FIRST: [&str; 5] = ["decoder", "encoder", "both", "both_blocking", "both_async"];
/// What figures are held to, by their kind, target and row: the most that passes, and the aim.
const HELD: [(&str, &str, &str, f64, f64); 4] = [
    ("size", CORTEX_M3, "decoder", 1250.0, 800.0),
    ("size", CORTEX_M3, "both", 1600.0, 1200.0),
    ("ram", EVERY, "decoder", 48.0, 32.0),
    ("ram", EVERY, "decoder_reference", 48.0, 32.0),
];
const EVERY: &str = "*";

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(names: &[&str], target: &'static str) -> Programs<'static> {
        Programs { target, files: names.iter().map(|name| Path::new("/target").join(name)).collect() }
    }

    #[test]
    fn every_program_but_two_has_a_row() {
        let programs = programs(&["ram", "both", "zebra", "decoder", "empty", "ant"], CORTEX_M3);
        assert_eq!(programs.rows().unwrap(), ["decoder", "both", "ant", "zebra"]);
    }

    #[test]
    fn figures_are_held_on_their_targets() {
        let held = |target, kind, row, bytes| programs(&[], target).figure(kind, row, bytes).passes();
        assert_eq!(held(CORTEX_M3, "size", "decoder", 1250), Some(true));
        assert_eq!(held(CORTEX_M3, "size", "decoder", 1251), Some(false));
        assert_eq!(held(CORTEX_M0, "size", "decoder", 1251), None);
        assert_eq!(held(CORTEX_M3, "size", "both", 1601), Some(false));
        assert!(TARGETS.iter().all(|target| held(target, "ram", "decoder", 49) == Some(false)));
        assert_eq!(held(CORTEX_M3, "ram", "encoder", 4096), None);
    }

    #[test]
    fn what_is_not_measured_is_not_passed_over() {
        assert!(programs(&["empty"], CORTEX_M3).figures().is_err());
        assert!(Program::read(b"#!/bin/sh\n").is_err());
    }
}
