//! `cargo xtask bench`: how fast things are, beside others that do the same.

pub(crate) mod buffers;
pub(crate) mod core;
pub(crate) mod net;
pub(crate) mod qemu;

use std::{
    fs,
    process::{Command, ExitCode},
};

use anyhow::Result;

use crate::{process, workspace::Workspace};

/// Measure how fast things are, beside others that do the same, and keep the results in docs/benchmarks.md.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Buffers(buffers::Options),
    Core(core::Options),
    Net(net::Options),
    Qemu(qemu::Options),
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    match &options.what {
        What::Buffers(options) => buffers::run(workspace, options),
        What::Core(options) => core::run(workspace, options),
        What::Net(options) => net::run(workspace, options),
        What::Qemu(options) => qemu::run(workspace, options),
    }
}

/// What results were measured on and with, in a line.
fn machine(workspace: &Workspace) -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        text.lines().find_map(|line| {
            line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned())
        })
    });
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let compiler = process::answer(Command::new(rustc).arg("--version").current_dir(workspace.root()));
    format!(
        "{}, {}, {}",
        std::env::consts::ARCH,
        processor.as_deref().unwrap_or("unknown processor"),
        compiler.as_deref().unwrap_or("unknown compiler")
    )
}
