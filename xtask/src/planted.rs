//! Bugs that are planted in copies of tej-core: what does not find one that is there proves nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;

/// A change to one place of tej-core's source.
pub(crate) struct Bug {
    /// What is to find it.
    pub(crate) finder: &'static str,
    pub(crate) what: &'static str,
    /// In `tej-core/src`.
    pub(crate) file: &'static str,
    /// Stands there once.
    pub(crate) right: &'static str,
    pub(crate) wrong: &'static str,
}

impl Bug {
    /// Copies tej-core, and what else of the workspace finds bugs in it, and spoils it.
    pub(crate) fn plant(
        &self,
        workspace: &Workspace,
        copy: &Path,
        folders: &[&str],
        files: &[&str],
    ) -> Result<()> {
        if copy.exists() {
            fs::remove_dir_all(copy).with_context(|| format!("cannot replace {}", copy.display()))?;
        }
        // The manifest names some of the tests.
        for folder in folders.iter().chain(&["tej-core/src", "tej-core/tests"]) {
            copy_folder(&workspace.root().join(folder), &copy.join(folder))?;
        }
        for file in files.iter().chain(&["tej-core/Cargo.toml", "tej-core/README.md"]) {
            let text = read(&workspace.root().join(file))?;
            write(&copy.join(file), &text)?;
        }
        write(&copy.join("Cargo.toml"), &alone(&read(&workspace.root().join("Cargo.toml"))?)?)?;
        let path = copy.join("tej-core").join("src").join(self.file);
        write(&path, &self.spoilt(&read(&path)?)?)
    }

    fn spoilt(&self, source: &str) -> Result<String> {
        let Self { finder, file, right, wrong, .. } = self;
        let places = source.matches(right).count();
        ensure!(
            places == 1,
            "the bug for {finder} can no longer be planted: {file} has {places} places like this, not one. \
             Choose another bug, where the list of them is in xtask/src.\n{right}"
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

/// Fails unless each bug can still be planted.
#[cfg(test)]
pub(crate) fn check_places(bugs: &[Bug]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tej-core/src");
    for bug in bugs {
        let text = read(&source.join(bug.file)).unwrap();
        let spoilt = bug.spoilt(&text).unwrap();
        assert!(spoilt.contains(bug.wrong) && spoilt != text, "{}", bug.what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_must_be_unmistakable() {
        let bug = Bug { finder: "x", what: "x", file: "x", right: "a + b", wrong: "a - b" };
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
