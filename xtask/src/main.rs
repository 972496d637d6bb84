//! Developer tasks: `cargo xtask demo`, `cargo xtask test`, and what measures and proves.
//!
//! This package is the only place that knows how to set a machine up, how to build firmware on it and how to
//! boot that firmware in QEMU. It talks to the project's programs the way a stranger would, through their command
//! lines and the wire, and shares no code with them: what it computes about frames, digests and generated files
//! is an independent second opinion.

mod allocator;
mod bench;
mod board;
mod calls;
mod cargo;
mod cases;
mod churn;
mod coverage;
mod demo;
mod document;
mod exchange;
mod figure;
mod firmware;
mod frame;
mod fuzz;
mod hostile;
mod log;
mod mutants;
mod no_panic;
mod pattern;
mod payload;
mod planted;
mod process;
mod prove;
mod qemu;
mod relay;
mod screen;
mod setup;
mod size;
mod table;
mod tej;
mod test;
mod tool;
mod versions;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{screen::Screen, workspace::Workspace};

/// Developer tasks of the tej workspace.
///
/// A fresh clone on a fresh machine needs nothing but cargo: each command works out what else it needs, says what it
/// would install and why, asks, and goes on.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Demo(demo::Options),
    Test(test::Options),
    Bench(bench::Options),
    Size(size::Options),
    Fuzz(fuzz::Options),
    Coverage(coverage::Options),
    Mutants(mutants::Options),
    Prove(prove::Options),
    Cases(cases::Options),
    Setup(setup::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ready = process::end_children_on_signals().and_then(|()| Workspace::locate());
    let outcome = ready.and_then(|workspace| match arguments.task {
        Task::Demo(options) => demo::run(&workspace, &options),
        Task::Test(options) => test::run(&workspace, &options),
        Task::Bench(options) => bench::run(&workspace, &options),
        Task::Size(options) => size::run(&workspace, &options),
        Task::Fuzz(options) => fuzz::run(&workspace, &options),
        Task::Coverage(options) => coverage::run(&workspace, &options),
        Task::Mutants(options) => mutants::run(&workspace, &options),
        Task::Prove(options) => prove::run(&workspace, &options),
        Task::Cases(options) => cases::run(&workspace, &options),
        Task::Setup(options) => setup::run(&workspace, &options),
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            Screen::failure(&error);
            ExitCode::FAILURE
        }
    }
}
