//! Programs that come as crates: each in one version, installed under target/, so that nothing of the user's changes.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{cargo, process, screen::Screen, workspace::Workspace};

/// A subcommand of cargo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tool {
    /// The crate, and the program in it.
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
    /// What it is for, for those who are asked whether to install it.
    pub(crate) reason: &'static str,
}

/// Builds the fuzz targets.
pub(crate) const FUZZ: Tool = Tool {
    package: "cargo-fuzz",
    version: "0.13.2",
    reason: "builds the fuzz targets with what libFuzzer needs to see which code an input reaches",
};

/// Counts what tests run.
pub(crate) const COVERAGE: Tool = Tool {
    package: "cargo-llvm-cov",
    version: "0.9.1",
    reason: "compiles the tests so that they count what they run, and collects the counts",
};

/// Changes code to see whether a test fails.
pub(crate) const MUTANTS: Tool = Tool {
    package: "cargo-mutants",
    version: "27.1.0",
    reason: "changes the code in many small ways, and runs the tests on each",
};

/// Tells how much of a program came from which crate.
pub(crate) const BLOAT: Tool = Tool {
    package: "cargo-bloat",
    version: "0.12.1",
    reason: "tells how much of a program's flash came from which crate",
};

impl Tool {
    /// Whether this very version is installed.
    pub(crate) fn is_installed(self, workspace: &Workspace) -> bool {
        let list = process::answer(
            workspace.cargo().args(["install", "--list", "--quiet", "--root"]).arg(workspace.tools()),
        );
        let wanted = format!("{} v{}:", self.package, self.version);
        list.is_some_and(|list| list.lines().any(|line| line == wanted))
    }

    pub(crate) fn install(self, workspace: &Workspace, screen: &Screen) -> Result<()> {
        let mut command = workspace.cargo();
        command.args(["install", "--locked", self.package, "--version", self.version, "--root"]);
        command.arg(workspace.tools()).arg("--target-dir").arg(workspace.tools().join("build"));
        let work = screen.work("set-up", &self.to_string());
        cargo::run(&mut command, &workspace.target().join("setup-tool.log"), &work)?;
        work.done(&self.to_string());
        Ok(())
    }

    /// Runs it as cargo would; the arguments are those that follow the subcommand.
    pub(crate) fn command(self, workspace: &Workspace) -> Command {
        let mut command = Command::new(self.program(workspace));
        command.current_dir(workspace.root()).arg(self.package.trim_start_matches("cargo-"));
        command
    }

    fn program(self, workspace: &Workspace) -> PathBuf {
        workspace.tools().join("bin").join(self.package)
    }
}

impl std::fmt::Display for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cargo install {} {}", self.package, self.version)
    }
}
