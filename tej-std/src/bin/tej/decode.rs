//! `tej decode`.

use std::time::Duration;

use tej_std::{ReceiveError, Receiver};
use tokio::io::AsyncRead;

use crate::Stop;
use crate::args::DecodeArgs;
use crate::explain;
use crate::intake::Intake;
use crate::outgoing::is_standard;
use crate::report::{Failure, Peer, Reporter};
use crate::send::config;

pub(crate) async fn run(args: DecodeArgs, reporter: &Reporter) -> Result<(), Stop> {
    let (input, shown): (Box<dyn AsyncRead + Send + Unpin>, _) = match args.input.as_deref() {
        Some(path) if !is_standard(path) => {
            let shown = path.display().to_string();
            match tokio::fs::File::open(path).await {
                Ok(_) if path.is_dir() => {
                    let failure = Failure::new("io", format!("{shown} is a directory, not a file"));
                    return reporter.settle_alone(Err(failure)).await;
                }
                Ok(file) => (Box::new(file), shown),
                Err(error) => return reporter.settle_alone(Err(Failure::io(&shown, &error))).await,
            }
        }
        _ => (Box::new(tokio::io::stdin()), "standard input".to_owned()),
    };
    if args.explain {
        return reporter.settle(CONN, explain::run(input, &shown, reporter).await).await;
    }
    let mut receiver = Receiver::new(input, &config(None));
    let outcome = tokio::select! {
        outcome = frames(&mut receiver, &shown, reporter) => outcome,
        () = reporter.shutdown().requested() => Err(Failure::closed("interrupted")),
    };
    reporter.settle(CONN, outcome).await
}

async fn frames(
    receiver: &mut Receiver<Box<dyn AsyncRead + Send + Unpin>>,
    shown: &str,
    reporter: &Reporter,
) -> Result<(), Failure> {
    let mut intake = Intake::all(CONN, reporter);
    loop {
        match receiver.next().await {
            Ok(None) => return Ok(()),
            Ok(Some(event)) => {
                if intake.take(event).await.is_some() {
                    reporter.frame_end(CONN).await;
                }
            }
            Err(ReceiveError::Io(error)) => return Err(Failure::io(shown, &error)),
            Err(error) => return Err(Failure::receive(&error, Peer::Sends, Duration::ZERO)),
        }
    }
}

/// The one stream there is.
const CONN: u64 = 1;
