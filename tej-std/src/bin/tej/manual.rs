//! `tej completions` and `tej man`: what the command line's definition is good for beside parsing.

use clap::CommandFactory;

use crate::Stop;
use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::report::{Failure, Reporter, print_raw};

pub(crate) async fn completions(args: &CompletionsArgs, reporter: &Reporter) -> Result<(), Stop> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tej", &mut script);
    reporter.settle(NO_CONNECTION, print_raw(&script).map(drop)).await
}

pub(crate) async fn pages(args: &ManArgs, reporter: &Reporter) -> Result<(), Stop> {
    let written = std::fs::create_dir_all(&args.dir)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.dir))
        .map_err(|error| Failure::io(&args.dir.display().to_string(), &error));
    reporter.settle(NO_CONNECTION, written).await
}

/// Stands where there is no connection.
const NO_CONNECTION: u64 = 0;
