//! `tej ping`.

use std::time::{Duration, Instant};

use tej_std::Connection;
use tej_std::tls::Connector;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use crate::Stop;
use crate::args::PingArgs;
use crate::report::{Failure, Reporter};
use crate::send::{check_address, config};
use crate::transport::{Link, connect};

pub(crate) async fn run(args: PingArgs, reporter: &Reporter) -> Result<(), Stop> {
    check_address(&args.peer)?;
    let connector = args.tls.connector()?;
    let outcome = tokio::select! {
        outcome = ping(&args, connector.as_ref(), reporter) => outcome,
        () = reporter.shutdown().requested() => Err(Failure::closed("interrupted")),
    };
    reporter.settle(1, outcome).await
}

async fn ping(args: &PingArgs, connector: Option<&Connector>, reporter: &Reporter) -> Result<(), Failure> {
    let start = Instant::now();
    // Between two pings the peer owes us nothing.
    let patience = args.timeout.saturating_add(args.interval);
    let link = connect(&args.peer, args.timeout, &config(Some(patience)), connector).await?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    reporter.say(&format!("connected to {} in {milliseconds:.1} ms", args.peer)).await;
    match link {
        Link::Tcp(connection) => exchange(connection, args, patience, reporter).await,
        Link::Tls(connection) => exchange(connection, args, patience, reporter).await,
    }
}

async fn exchange<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    connection: Connection<R, W>,
    args: &PingArgs,
    patience: Duration,
    reporter: &Reporter,
) -> Result<(), Failure> {
    let (mut receiver, mut sender) = connection.split();
    let send = async {
        for number in 1..=args.count {
            if number > 1 {
                sleep(args.interval).await;
            }
            sender.send_ping().await.map_err(|error| Failure::send(&error, patience))?;
            reporter.say(&format!("ping {number} of {} written", args.count)).await;
        }
        sender.shutdown().await.map_err(|error| Failure::send(&error, patience))
    };
    let drain = async {
        while receiver.next().await.map_err(|error| Failure::receive(&error, patience))?.is_some() {}
        Ok(())
    };
    tokio::try_join!(send, drain)?;
    reporter.say("the peer closed the connection in order").await;
    Ok(())
}
