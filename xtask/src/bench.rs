//! `cargo xtask bench`: how fast things are, beside others that do the same.

mod core;

use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::Workspace;

/// Measure how fast things are, beside others that do the same, and keep the results in docs/benchmarks.md.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Core(core::Options),
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    match &options.what {
        What::Core(options) => core::run(workspace, options),
    }
}
