//! `tej decode`.

use std::path::Path;
use std::time::Duration;

use tej_std::{Config, Limits, Receiver};
use tokio::io::AsyncRead;

use crate::Stop;
use crate::args::DecodeArgs;
use crate::intake::Intake;
use crate::report::{Failure, Reporter};

pub(crate) async fn run(args: DecodeArgs, reporter: &Reporter) -> Result<(), Stop> {
    let input: Box<dyn AsyncRead + Unpin> = match args.input.as_deref() {
        None => Box::new(tokio::io::stdin()),
        Some(path) if path == Path::new("-") => Box::new(tokio::io::stdin()),
        Some(path) => match tokio::fs::File::open(path).await {
            Ok(file) => Box::new(file),
            Err(error) => {
                reporter.error(CONN, &Failure::io(&path.to_string_lossy(), &error)).await;
                return Err(Stop::Failed);
            }
        },
    };
    let config = Config {
        limits: Limits::UNLIMITED,
        name_limit: u16::MAX,
        receive_buffer: BUFFER,
        ..Config::default()
    };
    let mut receiver = Receiver::new(input, &config);
    let outcome = tokio::select! {
        outcome = frames(&mut receiver, reporter) => outcome,
        () = reporter.shutdown().requested() => Err(Failure::closed("interrupted")),
    };
    match outcome {
        Ok(()) => Ok(()),
        Err(failure) => {
            reporter.error(CONN, &failure).await;
            Err(Stop::Failed)
        }
    }
}

async fn frames(
    receiver: &mut Receiver<Box<dyn AsyncRead + Unpin>>,
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
const BUFFER: usize = 256 * 1024;
