//! The `tej` command: files and messages from one machine to another, device or desktop.

mod args;
mod decode;
mod encode;
mod intake;
mod interrupt;
mod outgoing;
mod ping;
mod recv;
mod report;
mod send;
mod text;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::report::Reporter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let reporter = Arc::new(Reporter::new(cli.command.json()));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tej: cannot start: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let outcome = runtime.block_on(run(cli.command, &reporter));
    // Standard input may still be waiting for a line on a thread of its own: do not wait for it.
    runtime.shutdown_background();
    reporter.finish();
    match outcome {
        Ok(()) if reporter.has_failed() => ExitCode::from(FAILED),
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Failed) => ExitCode::from(FAILED),
        Err(Stop::Usage(message)) => {
            eprintln!("tej: {message}");
            ExitCode::from(USAGE)
        }
    }
}

async fn run(command: Command, reporter: &Arc<Reporter>) -> Result<(), Stop> {
    let work = async {
        match command {
            Command::Send(args) => send::run(args, reporter).await,
            Command::Recv(args) => recv::run(args, reporter).await,
            Command::Ping(args) => ping::run(args, reporter).await,
            Command::Encode(args) => encode::run(args, reporter).await,
            Command::Decode(args) => decode::run(args, reporter).await,
        }
    };
    tokio::select! {
        outcome = work => outcome,
        // Dropping the work drops the temporary files it holds.
        () = reporter.output_closed() => Err(Stop::Failed),
    }
}

/// Why a command ended without being done.
#[derive(Debug)]
enum Stop {
    /// Something failed, and was reported.
    Failed,
    /// The command line asks for something that cannot be; holds what to do about it.
    Usage(String),
}

const FAILED: u8 = 1;
/// What clap exits with, too.
const USAGE: u8 = 2;
