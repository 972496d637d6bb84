//! `tej ping`.

use std::time::{Duration, Instant};

use tej_std::Connection;
use tej_std::tls::Connector;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use crate::Stop;
use crate::args::PingArgs;
use crate::report::{Failure, Peer, Reporter};
use crate::send::{check_address, config};
use crate::transport::{Link, await_silence, connect};

pub(crate) async fn run(args: PingArgs, reporter: &Reporter) -> Result<(), Stop> {
    check_address(&args.peer)?;
    let connector = args.tls.connector()?;
    args.tls.warn(reporter).await;
    let link = tokio::select! {
        link = connected(&args, connector.as_ref(), reporter) => link,
        () = reporter.shutdown().requested() => Err(Failure::closed("interrupted").unconnected()),
    };
    let link = match link {
        Ok(link) => link,
        Err(failure) => return reporter.settle(CONN, Err(failure)).await,
    };
    let outcome = tokio::select! {
        outcome = ping(&args, link, reporter) => outcome.map_err(|failure| args.line.advise(failure)),
        () = reporter.shutdown().requested() => Err(Failure::closed("interrupted")),
    };
    reporter.settle(CONN, outcome).await
}

async fn connected(
    args: &PingArgs,
    connector: Option<&Connector>,
    reporter: &Reporter,
) -> Result<Link, Failure> {
    let start = Instant::now();
    let link = connect(&args.peer, args.timeout, &config(Some(patience(args))), connector).await?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    reporter.say(&format!("connected to {} in {milliseconds:.1} ms", args.peer)).await;
    Ok(link)
}

/// Between two pings the peer owes us nothing.
fn patience(args: &PingArgs) -> Duration {
    args.timeout.saturating_add(args.interval)
}

async fn ping(args: &PingArgs, link: Link, reporter: &Reporter) -> Result<(), Failure> {
    let patience = patience(args);
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
    if let Some(gap) = args.line.line_gap {
        await_silence(&mut receiver, gap, args.timeout, reporter).await?;
    }
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
        while receiver
            .next()
            .await
            .map_err(|error| Failure::receive(&error, Peer::Receives, patience))?
            .is_some()
        {}
        Ok(())
    };
    tokio::try_join!(send, drain)?;
    reporter.say("the peer closed the connection in order").await;
    Ok(())
}

/// The one connection there is.
const CONN: u64 = 1;
