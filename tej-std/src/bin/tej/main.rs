//! The `tej` command: files and messages from one machine to another, device or desktop.

mod args;
mod bars;
mod decode;
mod encode;
mod explain;
mod identity;
mod intake;
mod manual;
mod outgoing;
mod ping;
mod recv;
mod report;
mod send;
mod shutdown;
mod text;
mod transport;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::report::Reporter;
use crate::shutdown::Shutdown;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if cli.command.has_one_connection() {
        // A second thread would have no work, and be woken for each segment that comes while the first one is busy.
        builder.worker_threads(1);
    }
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    // On a thread that also waits for events: another one would have to be woken for each of them.
    let outcome = runtime.block_on(runtime.spawn(run(cli.command)));
    // Standard input may still be waiting for a line on a thread of its own: do not wait for it.
    runtime.shutdown_background();
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(Stop::Failed)) => ExitCode::from(FAILED),
        Ok(Err(Stop::Usage(message))) => {
            complain(&message);
            ExitCode::from(USAGE)
        }
        Err(error) => {
            complain(&format!("internal error: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

async fn run(command: Command) -> Result<(), Stop> {
    let shutdown = Shutdown::new();
    // Before anything is printed: who reads that we listen may send a signal.
    if let Err(error) = shutdown.on_signals() {
        return Err(Stop::Usage(format!("cannot handle signals: {error}")));
    }
    let reporter = Reporter::start(command.json(), command.progress(), shutdown);
    let outcome = match command {
        Command::Send(args) => send::run(args, &reporter).await,
        Command::Recv(args) => recv::run(args, &reporter).await,
        Command::Ping(args) => ping::run(args, &reporter).await,
        Command::Identity(args) => identity::run(args, &reporter).await,
        Command::Encode(args) => encode::run(args, &reporter).await,
        Command::Decode(args) => decode::run(args, &reporter).await,
        Command::Completions(args) => manual::completions(&args, &reporter).await,
        Command::Man(args) => manual::pages(&args, &reporter).await,
    };
    reporter.finish().await;
    if outcome.is_ok() && reporter.has_failed() { Err(Stop::Failed) } else { outcome }
}

/// Why a command ended without being done.
#[derive(Debug)]
enum Stop {
    /// Something failed, and was reported.
    Failed,
    /// The command line asks for something that cannot be; holds what to do about it.
    Usage(String),
}

/// A line on standard error, which may be closed.
fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "tej: {}", text::printable(message));
}

const FAILED: u8 = 1;
/// What clap exits with, too.
const USAGE: u8 = 2;
