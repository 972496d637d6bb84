//! `cargo xtask cases`: which test shows that a hostile case is survived.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};

use crate::{document, screen::Screen, workspace::Workspace};

/// Write the table of hostile cases and the tests that show that each is survived into docs/hostile-cases.md.
///
/// A test says which cases it shows in a comment above its attributes: `// case 21`, `// cases 39 and 40`; so does a step of
/// `cargo xtask test`. A case without a test is an error, and so is a comment that no test follows.
#[derive(clap::Args)]
pub(crate) struct Options {}

pub(crate) fn run(workspace: &Workspace, _: &Options) -> Result<ExitCode> {
    let screen = Screen::new(false);
    screen.headline("Hostile cases");
    let tests = tests(workspace)?;
    document::store(&path(workspace), SECTION, &markdown(&tests)?)?;
    screen.note("stored", "in docs/hostile-cases.md");
    Ok(ExitCode::SUCCESS)
}

/// Fails where a case has no test, or the table is not what the command would write.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let path = path(workspace);
    let before = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let table = markdown(&tests(workspace)?)?;
    ensure!(
        before.contains(table.trim_end()),
        "{} is not up to date: run `cargo xtask cases`",
        path.display()
    );
    Ok(())
}

/// A test: the file that it is in and its name.
type Test = (String, String);

/// The tests of each case.
fn tests(workspace: &Workspace) -> Result<BTreeMap<u32, Vec<Test>>> {
    let mut cases: BTreeMap<u32, Vec<Test>> = BTreeMap::new();
    for place in PLACES {
        for path in sources(&workspace.root().join(place))? {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let name = path.strip_prefix(workspace.root()).unwrap_or(&path).display().to_string();
            for (case, test) in tests_in(&text).with_context(|| format!("in {name}"))? {
                cases.entry(case).or_default().push((name.clone(), test));
            }
        }
    }
    Ok(cases)
}

fn sources(place: &Path) -> Result<Vec<PathBuf>> {
    if place.is_file() {
        return Ok(vec![place.to_path_buf()]);
    }
    let mut found = Vec::new();
    let entries = fs::read_dir(place).with_context(|| format!("cannot read {}", place.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The cases that the tests of a source show, with the tests' names.
fn tests_in(text: &str) -> Result<Vec<(u32, String)>> {
    let mut found = Vec::new();
    let mut cases: Vec<u32> = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        let comment = line.strip_prefix("// case ").or_else(|| line.strip_prefix("// cases "));
        if let Some(comment) = comment {
            let numbers = comment.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty());
            cases.extend(numbers.map(str::parse::<u32>).collect::<Result<Vec<_>, _>>()?);
        } else if line.starts_with("#[") {
            is_test |= line.contains("test");
        } else if let Some((_, name)) =
            line.split_once("fn ").filter(|(_, rest)| is_test || rest.contains(STEP))
        {
            let name = name.split('(').next().unwrap_or_default();
            found.extend(cases.drain(..).map(|case| (case, name.to_owned())));
            is_test = false;
        } else if !line.starts_with("//") {
            ensure!(cases.is_empty(), "a comment speaks of case {cases:?}, and no test follows");
            is_test = false;
        }
    }
    ensure!(cases.is_empty(), "a comment speaks of case {cases:?}, and no test follows");
    Ok(found)
}

fn markdown(tests: &BTreeMap<u32, Vec<Test>>) -> Result<String> {
    let mut text = String::from("| case | what happens | shown by |\n|--:|---|---|\n");
    let known = |case: &u32| CASES.iter().any(|(number, _)| number == case);
    let unknown: Vec<_> = tests.keys().filter(|case| !known(case)).collect();
    ensure!(unknown.is_empty(), "there are no cases {unknown:?}");
    let missing: Vec<_> =
        CASES.iter().map(|(case, _)| *case).filter(|case| !tests.contains_key(case)).collect();
    ensure!(missing.is_empty(), "no test shows cases {missing:?}");
    for (case, what) in CASES {
        let shown: Vec<_> =
            tests[&case].iter().map(|(file, test)| format!("[`{test}`](../{file})")).collect();
        text += &format!("| {case} | {what} | {} |\n", shown.join(", "));
    }
    Ok(text)
}

fn path(workspace: &Workspace) -> PathBuf {
    workspace.root().join("docs").join("hostile-cases.md")
}

const SECTION: &str = "cases";
/// Where tests are.
const PLACES: [&str; 6] = [
    "tej-std/src",
    "tej-std/tests",
    "tej-embassy/tests",
    "tej-files/tests",
    "examples/apps/tests",
    "xtask/src/test.rs",
];
/// What every step of `cargo xtask test` takes, and no other function.
const STEP: &str = "(bench: &Bench<'_>) ";

/// The cases and what they are.
const CASES: [(u32, &str); 45] = [
    (19, "a frame of 18 bytes announces a message of a GiB, or of 2⁶³ bytes"),
    (20, "a thousand of them at once"),
    (21, "a byte every second, for ever"),
    (22, "silence"),
    (23, "more connections than there may be, in all or from one address"),
    (24, "no file descriptor is left to accept with"),
    (25, "a peer stops reading"),
    (26, "the operating system writes less than it was given"),
    (27, "a file of more than 4 GiB"),
    (28, "a reset in the middle of a frame"),
    (29, "a peer ends its direction and waits for replies"),
    (30, "a future is dropped while it waits"),
    (31, "a handler panics"),
    (32, "a handler is slow"),
    (33, "the server is to shut down"),
    (34, "a flood of pings"),
    (35, "many tasks send to one peer"),
    (36, "both sides push 64 MiB before they read"),
    (37, "TLS: a handshake that stalls, a peer without TLS, an end without close_notify"),
    (38, "the address is in use"),
    (39, "a name leads out of the directory, or is none"),
    (40, "a name means something else on another system"),
    (41, "a symbolic link is planted, or swapped in while a file comes"),
    (42, "a name comes twice: in a frame, from two clients, or differing in case or form only"),
    (43, "a name is taken"),
    (44, "a name begins with a dot"),
    (45, "a name has control characters, escapes or marks of direction"),
    (46, "a name is longer than the file system takes"),
    (47, "the name is that of a directory, a FIFO or a device"),
    (48, "the disk is full or failing, or a rename or fsync fails"),
    (49, "the process is killed between any two writes"),
    (50, "the peer is gone in the middle of a file"),
    (51, "a quota is used up, or the disk nearly full"),
    (52, "the directory is removed, or may not be written to"),
    (53, "a file is refused, and the next frame is a good one"),
    (54, "a device: a file of more than its RAM, and of more than 4 GiB"),
    (55, "a device: a fifth of the frames is lost, or corrupted"),
    (56, "a device: the window stays closed"),
    (57, "a device: a silent peer holds a socket"),
    (58, "a device: more clients than sockets"),
    (59, "a device: a reset, or the link down and up, in the middle of a frame"),
    (60, "a device: 100,000 connections in turn"),
    (61, "a device: a future is dropped while it waits"),
    (62, "a device: flash that is busy, or fails in the middle of a file"),
    (63, "a device: there is no allocator"),
];

/// All that are to be shown; the codec's own, 1 to 18, are mapped in `tej-core/tests/decoder.rs`.
#[cfg(test)]
const RANGE: std::ops::RangeInclusive<u32> = 19..=63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_a_description() {
        assert!(CASES.iter().map(|(case, _)| *case).eq(RANGE));
    }

    #[test]
    fn comments_lead_to_tests() {
        let text = "
// case 21
#[tokio::test(start_paused = true)]
async fn one() {}

fn helper() {}
    // cases 39, 40 and 44
    #[cfg(unix)]
    #[test]
    fn two() {

/// A step.
// case 60
fn churn(bench: &Bench<'_>) -> Result<()> {
";
        let found = tests_in(text).unwrap();
        let expected = [(21, "one"), (39, "two"), (40, "two"), (44, "two"), (60, "churn")];
        assert_eq!(found, expected.map(|(case, name)| (case, name.to_owned())));
        assert!(tests_in("// case 3\nfn no_test() {}").is_err());
        assert!(tests_in("// case 3\n").is_err());
    }

    #[test]
    fn a_case_without_a_test_is_an_error() {
        let all = |missing: u32| -> BTreeMap<_, _> {
            let test = || vec![("f.rs".to_owned(), "t".to_owned())];
            CASES
                .iter()
                .map(|(case, _)| *case)
                .filter(|case| *case != missing)
                .map(|case| (case, test()))
                .collect()
        };
        assert!(markdown(&all(0)).unwrap().contains("| 53 | a file is refused"));
        let error = markdown(&all(33)).unwrap_err().to_string();
        assert!(error.contains("[33]"), "{error}");
        let mut more = all(0);
        more.insert(99, Vec::new());
        assert!(markdown(&more).is_err());
    }
}
