//! Bugs that are planted in copies of tej-core: a target that does not find its own proves nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    Place, build,
    libfuzzer::{Outcome, Session},
    run_all, write_seeds,
};
use crate::{
    screen::{self, Screen},
    table::thousands,
    workspace::Workspace,
};

/// A change to one place of tej-core's source.
struct Bug {
    target: &'static str,
    what: &'static str,
    /// In `tej-core/src`.
    file: &'static str,
    /// Stands there once.
    right: &'static str,
    wrong: &'static str,
}

const BUGS: [Bug; 4] = [
    Bug {
        target: "decode",
        what: "a field that a read cuts in two loses the highest bit of each of its bytes",
        file: "decoder.rs",
        right: "self.value = self.value << 8 | u64::from(byte);",
        wrong: "self.value = self.value << 8 | u64::from(byte & 0x7f);",
    },
    Bug {
        target: "round_trip",
        what: "the announced length of a name of 256 bytes and more is off by one where it is even",
        file: "encoder.rs",
        right: "name_len: name_len.to_be_bytes()",
        wrong: "name_len: (name_len | u16::from(name_len > 255)).to_be_bytes()",
    },
    Bug {
        target: "encoder",
        what: "a file that is refused because it would make the frame too long counts as sent",
        file: "encoder.rs",
        right: "self.announce(2 + 8 + u64::from(name_len), size)?;\n        self.files_left = files_left;",
        wrong: "self.files_left = files_left;\n        self.announce(2 + 8 + u64::from(name_len), size)?;",
    },
    Bug {
        target: "keep_alive",
        what: "the deadline of a silent peer wraps at the end of time",
        file: "keep_alive.rs",
        right: "self.last_received.saturating_add(timeout)",
        wrong: "self.last_received.wrapping_add(timeout)",
    },
];

/// Lets each of the targets look for its bug. The answer is a section for docs/verification.md.
///
/// # Errors
/// When one does not find it.
pub(super) fn find_all(workspace: &Workspace, targets: &[&'static str], screen: &Screen) -> Result<String> {
    let place = Place::of(workspace);
    write_seeds(workspace, &place, screen)?;
    let bugs: Vec<_> = BUGS.iter().filter(|bug| targets.contains(&bug.target)).collect();
    let mut sessions = Vec::new();
    for bug in &bugs {
        let copy = place.0.join("planted").join(bug.target);
        bug.plant(workspace, &copy)?;
        screen.note("planted", &format!("for {}: {}", bug.target, bug.what));
        let mut programs = build(workspace, &copy.join("fuzz"), &copy.join("bin"), &[bug.target], screen)?;
        let (target, program) = programs.pop().context("the build left no program")?;
        sessions.push(Session {
            target,
            program,
            corpus: copy.join("corpus"),
            seeds: vec![place.seeds(target)],
            artifacts: copy.join("artifacts"),
            log: copy.join("fuzz.log"),
            time: TIME,
        });
    }
    let mut text = String::from(
        "## Planted bugs\n\n`cargo xtask fuzz --plant` builds each target with a bug in a copy of tej-core, and fails \
         unless the target\nfinds it.\n\n| target | bug | found after | executions |\n|---|---|--:|--:|\n",
    );
    let outcomes = run_all(&sessions, super::processors(), screen)?;
    for (bug, (target, outcome)) in bugs.iter().zip(outcomes) {
        let Outcome::Failed { stats, said, .. } = outcome else {
            bail!("{target} did not find the bug that was planted for it in {}: {}", bug.file, bug.what);
        };
        ensure!(
            said.contains("panicked"),
            "{target} found something else than the bug that was planted for it: {said}"
        );
        let (time, runs) = (screen::seconds(stats.time), thousands(stats.runs));
        screen.note("found", &format!("by {target}, after {time} and {runs} executions"));
        text += &format!("| `{target}` | {} | {time} | {runs} |\n", bug.what);
    }
    Ok(text)
}

impl Bug {
    /// Copies what the fuzz targets are made of, and spoils it.
    fn plant(&self, workspace: &Workspace, copy: &Path) -> Result<()> {
        if copy.exists() {
            fs::remove_dir_all(copy).with_context(|| format!("cannot replace {}", copy.display()))?;
        }
        for folder in
            ["fuzz/src", "fuzz/fuzz_targets", "fuzz/examples", "tej-core/src", "tej-core/tests/common"]
        {
            copy_folder(&workspace.root().join(folder), &copy.join(folder))?;
        }
        for file in [
            "fuzz/Cargo.toml",
            "fuzz/Cargo.lock",
            "tej-core/Cargo.toml",
            "tej-core/README.md",
            "docs/vectors.txt",
        ] {
            let text = read(&workspace.root().join(file))?;
            write(&copy.join(file), &text)?;
        }
        write(&copy.join("Cargo.toml"), &alone(&read(&workspace.root().join("Cargo.toml"))?)?)?;
        let path = copy.join("tej-core").join("src").join(self.file);
        write(&path, &self.spoilt(&read(&path)?)?)
    }

    fn spoilt(&self, source: &str) -> Result<String> {
        let Self { target, file, right, wrong, .. } = self;
        let places = source.matches(right).count();
        ensure!(
            places == 1,
            "the bug for {target} can no longer be planted: {file} has {places} places like this, not one. \
             Choose another bug in xtask/src/fuzz/planted.rs.\n{right}"
        );
        Ok(source.replace(right, wrong))
    }
}

/// The workspace's manifest with tej-core as its only member: it has the versions and lints of the crate.
fn alone(manifest: &str) -> Result<String> {
    let mut members = 0;
    let lines = manifest.lines().map(|line| {
        if line.starts_with("members = [") && line.ends_with(']') {
            members += 1;
            "members = [\"tej-core\"]\n".to_owned()
        } else {
            format!("{line}\n")
        }
    });
    let text = lines.collect();
    ensure!(members == 1, "the workspace's manifest has no list of members in one line");
    Ok(text)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    for entry in from.read_dir().with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&from, &to)?;
        } else {
            write(&to, &read(&from)?)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &PathBuf, text: &str) -> Result<()> {
    path.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, text))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Some seconds are enough on any machine that is not busy with something else.
const TIME: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::TARGETS;

    #[test]
    fn every_bug_still_has_its_place() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tej-core/src");
        for bug in &BUGS {
            let text = read(&source.join(bug.file)).unwrap();
            let spoilt = bug.spoilt(&text).unwrap();
            assert!(spoilt.contains(bug.wrong) && !spoilt.contains(bug.right), "{}", bug.what);
        }
    }

    #[test]
    fn every_target_has_a_bug_to_find() {
        assert_eq!(BUGS.map(|bug| bug.target), TARGETS);
    }

    #[test]
    fn a_place_must_be_unmistakable() {
        let bug = Bug { right: "a + b", wrong: "a - b", ..BUGS[0] };
        assert_eq!(bug.spoilt("x = a + b;").unwrap(), "x = a - b;");
        assert!(bug.spoilt("x = a * b;").is_err());
        assert!(bug.spoilt("x = a + b; y = a + b;").is_err());
    }

    #[test]
    fn tej_core_is_alone() {
        let text = alone("[workspace]\nmembers = [\"tej-core\", \"xtask\"]\nexclude = [\"x\"]\n").unwrap();
        assert_eq!(text, "[workspace]\nmembers = [\"tej-core\"]\nexclude = [\"x\"]\n");
        assert!(alone("[workspace]\nmembers = [\n").is_err());
    }
}
