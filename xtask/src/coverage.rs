//! `cargo xtask coverage`: the lines of tej-core that its tests do not reach.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};

use crate::{
    cargo, document, process,
    screen::Screen,
    setup::{self, Consent, Need},
    table::{Cell, Column, Table, thousands},
    tool,
    workspace::Workspace,
};

/// Count the lines of tej-core that its own tests run, and fail unless that is all of them.
///
/// Runs the unit and integration tests of tej-core with all its features but `defmt`, which needs a logger to link. Those
/// of other crates do not count: what leans on tej-core does not test it. Prints for each file which lines were not
/// reached, and stores the same in docs/verification.md.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask coverage              which lines are not tested?
  cargo xtask coverage --no-record  the same, while working on something")]
pub(crate) struct Options {
    /// Leave docs/verification.md as it is.
    #[arg(long)]
    no_record: bool,

    #[command(flatten)]
    consent: Consent,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let screen = Screen::new(false);
    screen.headline("Coverage");
    let tools = setup::prepare(workspace, NEEDS, &options.consent, &screen)?;
    let files = measure(workspace, tools.llvm()?, &screen)?;
    print!("{}", table(&files));
    for file in files.iter().filter(|file| !file.missed.is_empty()) {
        screen.note("missed", &format!("{CRATE}/src/{}: {}", file.name, ranges(&file.missed)));
    }
    if !options.no_record {
        document::store(&workspace.verification(), "coverage", &markdown(workspace, tools.llvm()?, &files))?;
        screen.note("stored", "in docs/verification.md");
    }
    let missed: usize = files.iter().map(|file| file.missed.len()).sum();
    ensure!(missed == 0, "{missed} lines are not reached: test them, or remove what nothing can reach");
    Ok(ExitCode::SUCCESS)
}

/// The programs of LLVM that read what a test run counted.
pub(crate) struct Llvm {
    cov: PathBuf,
    profdata: PathBuf,
}

impl Llvm {
    /// Those that rustup installs beside the compiler, else the newest of the system's that can read its counts.
    pub(crate) fn find(workspace: &Workspace) -> Option<Self> {
        let beside = cargo::beside_the_compiler(workspace);
        let beside = |name: &str| beside.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
        if let (Some(cov), Some(profdata)) = (beside("llvm-cov"), beside("llvm-profdata")) {
            return Some(Self { cov, profdata });
        }
        (OLDEST_LLVM..NO_LLVM_YET).rev().find_map(|version| {
            let cov = process::find_in_path(&format!("llvm-cov-{version}"))?;
            let profdata = process::find_in_path(&format!("llvm-profdata-{version}"))?;
            Some(Self { cov, profdata })
        })
    }

    /// "LLVM 19.1.7"
    pub(crate) fn describe(&self) -> String {
        let text = process::answer(Command::new(&self.cov).arg("--version")).unwrap_or_default();
        let (_, version) = text.split_once("LLVM version ").unwrap_or(("", "?"));
        format!("LLVM {}", version.split_whitespace().next().unwrap_or("?"))
    }
}

/// Debian's package of the first that reads what today's compilers write.
pub(crate) const LLVM_PACKAGE: &str = "llvm-19";
const OLDEST_LLVM: u32 = 19;
const NO_LLVM_YET: u32 = 40;

const NEEDS: &[Need] = &[Need::Llvm, Need::Tool(tool::COVERAGE)];

/// A source file, and which of its lines with code no test ran.
#[derive(Debug, Default, PartialEq, Eq)]
struct File {
    /// In `tej-core/src`.
    name: String,
    lines: usize,
    missed: Vec<u32>,
}

fn measure(workspace: &Workspace, llvm: &Llvm, screen: &Screen) -> Result<Vec<File>> {
    let report = workspace.target().join("coverage.lcov");
    let mut command = tool::COVERAGE.command(workspace);
    command.args(["--locked", "--package", CRATE, "--features"]);
    command.arg(workspace.package(CRATE)?.linkable_features().join(","));
    command.arg("--lcov").arg("--output-path").arg(&report);
    command.env("CARGO_TARGET_DIR", workspace.target());
    command.env("LLVM_COV", &llvm.cov).env("LLVM_PROFDATA", &llvm.profdata);
    let work = screen.work("test", "tej-core, counting");
    cargo::run(&mut command, &workspace.target().join("coverage.log"), &work)?;
    work.done("tej-core, counting");
    let text = fs::read_to_string(&report).with_context(|| format!("cannot read {}", report.display()))?;
    let source = workspace.root().join(CRATE).join("src");
    let files = read(&text, &source)?;
    for name in with_code(&source)? {
        ensure!(files.iter().any(|file| file.name == name), "no line of {name} was counted: is it compiled?");
    }
    Ok(files)
}

/// The files that have functions.
fn with_code(source: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in source.read_dir().with_context(|| format!("cannot list {}", source.display()))? {
        let path = entry?.path();
        let inner = if path.is_dir() { with_code(&path)? } else { Vec::new() };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        names.extend(inner.iter().map(|inner| format!("{name}/{inner}")));
        if path.extension().is_some_and(|extension| extension == "rs") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let has_functions = text
                .lines()
                .map(str::trim_start)
                .filter(|line| !line.starts_with("//"))
                .any(|line| line.contains("fn ") && line.ends_with('{'));
            names.extend(has_functions.then_some(name));
        }
    }
    Ok(names)
}

/// Reads an LCOV report, of which a line `DA:12,3` says that line 12 was run three times.
fn read(report: &str, source: &Path) -> Result<Vec<File>> {
    let mut files = BTreeMap::new();
    let mut current: Option<String> = None;
    for line in report.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let name = Path::new(path).strip_prefix(source).ok();
            current = name.map(|name| name.to_string_lossy().into_owned());
        } else if let (Some(name), Some(data)) = (&current, line.strip_prefix("DA:")) {
            let numbers = data.split_once(',').and_then(|(line, count)| {
                // A checksum may follow.
                let count: u64 = count.split(',').next()?.parse().ok()?;
                Some((line.parse::<u32>().ok()?, count))
            });
            let (number, count) = numbers.with_context(|| format!("not a line of LCOV: {line}"))?;
            let file =
                files.entry(name.clone()).or_insert_with(|| File { name: name.clone(), ..File::default() });
            file.lines += 1;
            file.missed.extend((count == 0).then_some(number));
        }
    }
    Ok(files.into_values().collect())
}

fn table(files: &[File]) -> String {
    let mut table = Table::new([Column::left("File"), Column::right("Lines"), Column::right("Missed")]);
    for file in files {
        let missed = thousands(file.missed.len() as u64);
        table.row([
            Cell::plain(file.name.clone()),
            Cell::plain(thousands(file.lines as u64)),
            if file.missed.is_empty() { Cell::good(missed) } else { Cell::bad(missed) },
        ]);
    }
    table.render()
}

fn markdown(workspace: &Workspace, llvm: &Llvm, files: &[File]) -> String {
    let lines: usize = files.iter().map(|file| file.lines).sum();
    let missed: usize = files.iter().map(|file| file.missed.len()).sum();
    let mut text = format!(
        "## Line coverage\n\n`cargo xtask coverage`: tej-core's own tests reach {} of its {} lines of code, with {}, {} {} \
         and {}.\n\n| file | lines | missed | which |\n|---|--:|--:|---|\n",
        thousands((lines - missed) as u64),
        thousands(lines as u64),
        cargo::compiler(workspace),
        tool::COVERAGE.package,
        tool::COVERAGE.version,
        llvm.describe(),
    );
    for File { name, lines, missed } in files {
        text += &format!("| `{name}` | {lines} | {} | {} |\n", missed.len(), ranges(missed));
    }
    text
}

/// `[1, 2, 3, 5]` as `1-3, 5`.
fn ranges(lines: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &line in lines {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == line => *last = line,
            _ => ranges.push((line, line)),
        }
    }
    let shown = |(first, last): &(u32, u32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    ranges.iter().map(shown).collect::<Vec<_>>().join(", ")
}

const CRATE: &str = "tej-core";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_lines_count() {
        let report = "SF:/w/tej-core/src/a.rs\nFN:1,x\nDA:1,5\nDA:2,0\nDA:3,0,abc\nDA:9,0\nLF:4\nend_of_record\n\
                      SF:/elsewhere/b.rs\nDA:1,0\nend_of_record\nSF:/w/tej-core/src/io/c.rs\nDA:7,1\nend_of_record\n";
        let files = read(report, Path::new("/w/tej-core/src")).unwrap();
        assert_eq!(
            files,
            [
                File { name: "a.rs".into(), lines: 4, missed: vec![2, 3, 9] },
                File { name: "io/c.rs".into(), lines: 1, missed: vec![] },
            ]
        );
        assert_eq!(ranges(&files[0].missed), "2-3, 9");
        assert!(read("SF:/w/a.rs\nDA:x\n", Path::new("/w")).is_err());
    }

    #[test]
    fn files_with_functions_are_known() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tej-core/src");
        let names = with_code(&source).unwrap();
        assert!(names.contains(&"decoder.rs".to_owned()), "{names:?}");
        assert!(!names.contains(&"lib.rs".to_owned()), "{names:?}");
    }
}
