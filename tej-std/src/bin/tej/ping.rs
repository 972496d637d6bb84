//! `tej ping`.

use std::time::Instant;

use tokio::time::sleep;

use crate::Stop;
use crate::args::{PingArgs, ReceiveArgs};
use crate::interrupt::interrupted;
use crate::report::{Failure, Reporter};
use crate::send::{check_address, connect};

pub(crate) async fn run(args: PingArgs, reporter: &Reporter) -> Result<(), Stop> {
    check_address(&args.peer)?;
    let outcome = tokio::select! {
        outcome = ping(&args, reporter) => outcome,
        () = interrupted() => Err(Failure::closed("interrupted")),
    };
    outcome.map_err(|failure| {
        reporter.error(1, &failure);
        Stop::Failed
    })
}

async fn ping(args: &PingArgs, reporter: &Reporter) -> Result<(), Failure> {
    let start = Instant::now();
    let receive = ReceiveArgs { timeout: args.timeout, dir: None, digest: false };
    let connection = connect(&args.peer, &receive).await?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    reporter.say(&format!("connected to {} in {milliseconds:.1} ms", args.peer));
    let (mut receiver, mut sender) = connection.split();
    let send = async {
        for number in 1..=args.count {
            if number > 1 {
                sleep(args.interval).await;
            }
            sender.send_ping().await.map_err(|error| Failure::send(&error, args.timeout))?;
            reporter.say(&format!("ping {number} of {} written", args.count));
        }
        sender.shutdown().await.map_err(|error| Failure::send(&error, args.timeout))
    };
    let drain = async {
        while receiver.next().await.map_err(|error| Failure::receive(&error, args.timeout))?.is_some() {}
        Ok(())
    };
    tokio::try_join!(send, drain)?;
    reporter.say("the peer read to the end and closed");
    Ok(())
}
