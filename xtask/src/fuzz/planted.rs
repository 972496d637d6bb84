//! Bugs that are planted in copies of tej-core: a target that does not find its own proves nothing.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{
    Place, build,
    libfuzzer::{Outcome, Session},
    run_all, write_seeds,
};
use crate::{
    planted::Bug,
    screen::{self, Screen},
    table::thousands,
    workspace::Workspace,
};

const BUGS: [Bug; 4] = [
    Bug {
        finder: "decode",
        what: "a field that a read cuts in two loses the highest bit of each of its bytes",
        file: "decoder.rs",
        right: "self.value = self.value << 8 | u64::from(byte);",
        wrong: "self.value = self.value << 8 | u64::from(byte & 0x7f);",
    },
    Bug {
        finder: "round_trip",
        what: "the announced length of a name of 256 bytes and more is off by one where it is even",
        file: "encoder.rs",
        right: "name_len: name_len.to_be_bytes()",
        wrong: "name_len: (name_len | u16::from(name_len > 255)).to_be_bytes()",
    },
    Bug {
        finder: "encoder",
        what: "a file that is refused because it would make the frame too long counts as sent",
        file: "encoder.rs",
        right: "self.announce(2 + 8 + u64::from(name_len), size)?;\n        self.files_left = files_left;",
        wrong: "self.files_left = files_left;\n        self.announce(2 + 8 + u64::from(name_len), size)?;",
    },
    Bug {
        finder: "keep_alive",
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
    let bugs: Vec<_> = BUGS.iter().filter(|bug| targets.contains(&bug.finder)).collect();
    let mut sessions = Vec::new();
    for bug in &bugs {
        let copy = place.0.join("planted").join(bug.finder);
        bug.plant(workspace, &copy, FOLDERS, FILES)?;
        screen.note("planted", &format!("for {}: {}", bug.finder, bug.what));
        let mut programs = build(workspace, &copy.join("fuzz"), &copy.join("bin"), &[bug.finder], screen)?;
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

/// What the fuzz targets are made of, beside tej-core.
const FOLDERS: &[&str] = &["fuzz/src", "fuzz/fuzz_targets", "fuzz/examples"];
const FILES: &[&str] = &["fuzz/Cargo.toml", "fuzz/Cargo.lock", "docs/vectors.txt"];
/// Some seconds are enough on any machine that is not busy with something else.
const TIME: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fuzz::TARGETS, planted};

    #[test]
    fn every_bug_still_has_its_place() {
        planted::check_places(&BUGS);
    }

    #[test]
    fn every_target_has_a_bug_to_find() {
        assert_eq!(BUGS.map(|bug| bug.finder), TARGETS);
    }
}
