//! `tej encode`.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::path::Path;

use tej_std::{SendError, Sender};
use tempfile::NamedTempFile;
use tokio::io::AsyncWrite;

use crate::Stop;
use crate::args::EncodeArgs;
use crate::outgoing::{NotSent, Outgoing, Refused, is_standard};
use crate::report::{Failure, Reporter};
use crate::send::config;

pub(crate) async fn run(args: EncodeArgs, reporter: &Reporter) -> Result<(), Stop> {
    if args.output.is_none() && io::stdout().is_terminal() {
        return Err(Stop::Usage(
            "a frame is not text: redirect the output, or give -o FILE (-o - to write to the terminal)"
                .into(),
        ));
    }
    let work = async {
        let outgoing = Outgoing::gather(args.frame, args.files, None, reporter).await?;
        match args.output.as_deref() {
            Some(path) if !is_standard(path) && outgoing.takes(path) => {
                return Err(Refused::Usage(format!(
                    "{} is both input and output; give another -o",
                    path.display()
                )));
            }
            Some(path) if !is_standard(path) => write_file(&outgoing, path, reporter).await?,
            _ => write(&outgoing, tokio::io::stdout(), "standard output", reporter).await?,
        }
        Ok(())
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        () = reporter.shutdown().requested() => Err(Failure::closed("interrupted").into()),
    };
    match outcome {
        Ok(()) => Ok(()),
        Err(Refused::Usage(message)) => Err(Stop::Usage(message)),
        Err(Refused::Failed(failure)) => {
            reporter.warn(&failure.detail).await;
            Err(Stop::Failed)
        }
    }
}

/// Writes to a temporary file that gets its name once it is complete.
async fn write_file(outgoing: &Outgoing, path: &Path, reporter: &Reporter) -> Result<(), Failure> {
    let shown = path.display().to_string();
    let failed = |error: io::Error| Failure::io(&shown, &error);
    let existing = std::fs::metadata(path);
    let dangling = existing.is_err() && path.is_symlink();
    if dangling || existing.as_ref().is_ok_and(|metadata| !metadata.is_file()) {
        // A device or a FIFO is written to, not replaced, and a link to nothing yet is followed.
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
        return write(outgoing, tokio::fs::File::from_std(file), &shown, reporter).await;
    }
    // A symbolic link stays one: what it points to is replaced.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = temporary_in(parent).map_err(|error| Failure::making(path, &error))?;
    let file = temporary.reopen().map_err(failed)?;
    write(outgoing, tokio::fs::File::from_std(file), &shown, reporter).await?;
    if let Ok(existing) = existing {
        temporary.as_file().set_permissions(existing.permissions()).map_err(failed)?;
    }
    temporary.persist(&target).map_err(|error| failed(error.error))?;
    Ok(())
}

fn temporary_in(dir: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tej-").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // What any new file gets; the umask takes its share.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(dir)
}

async fn write<W: AsyncWrite + Unpin>(
    outgoing: &Outgoing,
    output: W,
    shown: &str,
    reporter: &Reporter,
) -> Result<(), Failure> {
    let mut sender = Sender::new(output, &config(None));
    let sent = match outgoing.send(&mut sender, reporter).await {
        Ok(_) => sender.shutdown().await.map_err(NotSent::Connection),
        Err(error) => Err(error),
    };
    sent.map_err(|error| match error {
        NotSent::Source(failure) => failure,
        NotSent::Connection(SendError::Closed) => {
            Failure::new("io", format!("{shown}: nobody reads it any more"))
        }
        NotSent::Connection(error) => Failure::new("io", format!("{shown}: {error}")),
    })
}
