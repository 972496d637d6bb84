//! Bugs that are planted in copies of tej-core, for the solver to find.

use anyhow::{Result, bail, ensure};

use super::{Outcome, Question, build};
use crate::{planted::Bug, screen::Screen, setup::Tools, workspace::Workspace};

/// Lets the solver look for each bug. The answer is a section for docs/verification.md.
///
/// # Errors
/// When one is not found, or found to be something else.
pub(super) fn find_all(workspace: &Workspace, tools: &Tools, screen: &Screen) -> Result<String> {
    let mut text = String::from(
        "## Bugs planted for the symbolic execution\n\n`cargo xtask prove --plant` plants each in a copy of tej-core, and \
         fails unless it is found. The bytes are the\nsolver's, and were run on the processor with the same outcome.\n\n\
         | bug | found as | input | given |\n|---|---|---|---|\n",
    );
    for (bug, what) in BUGS.iter().zip(FOUND_AS) {
        let copy = workspace.target().join("prove").join("planted");
        bug.plant(workspace, &copy, &["proof/decoder/src"], FILES)?;
        screen.note("planted", bug.what);
        let library = build(workspace, &copy.join("proof").join("decoder"), screen)?;
        let question = Question { states: vec![bug.finder], bytes: None, pieces: Some(2) };
        let Outcome::Found(found) = question.ask(workspace, tools, &library, screen)? else {
            bail!("the solver did not find the bug that was planted in {}: {}", bug.file, bug.what);
        };
        print!("{}", found.shown());
        ensure!(found.what == what, "the solver found a {}, where a {what} was planted", found.what);
        let behind = if found.prefix.is_empty() {
            String::new()
        } else {
            format!(" behind `{}` and {} bytes of payload", found.prefix, found.moved)
        };
        text += &format!("| {} | {what} | `{}`{behind} | {} |\n", bug.what, found.input, found.way());
    }
    Ok(text)
}

const BUGS: [Bug; 5] = [
    Bug {
        finder: "start",
        what: "the first piece of a message length that a read cuts is forgotten where 8 bytes follow it",
        file: "decoder.rs",
        right: "State::MessageLen if self.filled == 0 => {",
        wrong: "State::MessageLen if self.filled < 8 => {",
    },
    Bug {
        finder: "start",
        what: "a panic at one number in 2⁶⁴",
        file: "decoder.rs",
        right: "let number = core::mem::take(&mut self.value);",
        wrong: "let number = core::mem::take(&mut self.value);\n        assert!(number != 0x1234_5678_9abc_def0);",
    },
    Bug {
        finder: "record",
        what: "a file of one byte more than the limit passes, if its record lies in one piece",
        file: "decoder.rs",
        right: "&& size <= self.limits.borrow().file\n",
        wrong: "&& size <= self.limits.borrow().file.saturating_add(1)\n",
    },
    Bug {
        finder: "name",
        what: "the last byte of a name that a read cuts is one less",
        file: "decoder.rs",
        right: "*place = byte;",
        wrong: "*place = byte.wrapping_sub(u8::from(self.value.wrapping_add(1) == u64::from(u16::from_be_bytes(self.short))));",
    },
    Bug {
        finder: "file data",
        what: "a piece of 4 GiB or more is counted in 32 bits",
        file: "decoder.rs",
        right: "self.offset = self.offset.wrapping_add(chunk.len() as u64);",
        wrong: "self.offset = self.offset.wrapping_add(chunk.len() as u64 & 0xffff_ffff);",
    },
];
/// As what each is found.
const FOUND_AS: [&str; 5] = ["difference", "panic", "difference", "difference", "difference"];
/// What the proof is made of, beside its source.
const FILES: &[&str] = &["proof/decoder/Cargo.toml", "proof/decoder/Cargo.lock"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{planted, prove::STATES};

    #[test]
    fn every_bug_still_has_its_place() {
        planted::check_places(&BUGS);
    }

    #[test]
    fn every_bug_has_a_state_that_finds_it() {
        assert!(BUGS.iter().all(|bug| STATES.contains(&bug.finder)));
    }
}
