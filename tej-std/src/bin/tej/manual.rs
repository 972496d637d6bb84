//! `tej completions` and `tej man`: what the command line's definition is good for beside parsing.

use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::Stop;
use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::report::{Failure, Reporter};

pub(crate) async fn completions(args: &CompletionsArgs, reporter: &Reporter) -> Result<(), Stop> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tej", &mut script);
    print(script, reporter).await
}

pub(crate) async fn pages(args: &ManArgs, reporter: &Reporter) -> Result<(), Stop> {
    let mut tej = Cli::command().disable_help_subcommand(true);
    // It gives the commands their full names.
    tej.build();
    let Some(dir) = &args.dir else {
        return match page(&Man::new(tej)) {
            Ok(page) => print(page, reporter).await,
            Err(error) => reporter.settle_alone(Err(Failure::io("tej.1", &error))).await,
        };
    };
    let written = write(&tej, dir).map_err(|error| Failure::io(&dir.display().to_string(), &error));
    reporter.settle_alone(written).await
}

async fn print(text: Vec<u8>, reporter: &Reporter) -> Result<(), Stop> {
    let printed = reporter.text(text).await;
    reporter.settle_alone(if printed { Ok(()) } else { Err(Failure::closed("interrupted")) }).await
}

fn write(tej: &Command, dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for command in std::iter::once(tej).chain(tej.get_subcommands()) {
        let man = Man::new(command.clone());
        std::fs::write(dir.join(man.get_filename()), page(&man)?)?;
    }
    Ok(())
}

fn page(man: &Man) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render(&mut page)?;
    // What follows the help is examples, and has no name there.
    let page = String::from_utf8(page).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(page.replace("\n.SH EXTRA\n", "\n.SH EXAMPLES\n").into_bytes())
}
