//! `tej decode`.

use std::time::Duration;

use tej_std::Receiver;
use tokio::io::AsyncRead;

use crate::Stop;
use crate::args::DecodeArgs;
use crate::explain;
use crate::intake::Intake;
use crate::outgoing::is_standard;
use crate::report::{Failure, Reporter};
use crate::send::config;

pub(crate) async fn run(args: DecodeArgs, reporter: &Reporter) -> Result<(), Stop> {
    let input: Box<dyn AsyncRead + Send + Unpin> = match args.input.as_deref() {
        Some(path) if !is_standard(path) => match tokio::fs::File::open(path).await {
            Ok(file) => Box::new(file),
            Err(error) => {
                let failure = Failure::io(&path.to_string_lossy(), &error);
                return reporter.settle(CONN, Err(failure)).await;
            }
        },
        _ => Box::new(tokio::io::stdin()),
    };
    if args.explain {
        return reporter.settle(CONN, explain::run(input, reporter).await).await;
    }
    let mut receiver = Receiver::new(input, &config(None));
    let outcome = tokio::select! {
        outcome = frames(&mut receiver, reporter) => outcome,
        () = reporter.shutdown().requested() => Err(Failure::closed("interrupted")),
    };
    reporter.settle(CONN, outcome).await
}

async fn frames(
    receiver: &mut Receiver<Box<dyn AsyncRead + Send + Unpin>>,
    reporter: &Reporter,
) -> Result<(), Failure> {
    let mut intake = Intake::new(CONN, reporter, None, true);
    loop {
        match receiver.next().await {
            Ok(None) => return Ok(()),
            Ok(Some(event)) => {
                if intake.take(event).await.is_some() {
                    reporter.frame_end(CONN).await;
                }
            }
            Err(error) => return Err(Failure::receive(&error, Duration::ZERO)),
        }
    }
}

/// The one stream there is.
const CONN: u64 = 1;
