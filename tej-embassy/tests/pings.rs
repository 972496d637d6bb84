//! Pings, between two stacks.

use std::future::pending;

use embassy_futures::join::join;
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Instant, Timer, with_timeout};
use tej_core::io::{ReadError, WriteError};
use tej_core::{EncodeError, Status};
use tej_embassy::{Backoff, Buffers, Config, Connection, Dialer, Error, Listener, with_pings};
use tej_testkit::{Direction, Frame, THERE, bytes, leak, on_two_stacks, receive, send};

#[test]
fn pings_keep_a_connection_alive_and_stop_when_there_is_something_to_send() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = Listener::new(there, PORT, leak(Small::new()), CONFIG);
            let mut connection = listener.accept().await;
            let (receiver, _) = connection.split();
            let start = Instant::now();
            for n in 1..=10 {
                assert_eq!(receive(receiver).await.unwrap(), Some(PING));
                let late = start.elapsed() - PING_INTERVAL * n;
                assert!(late < Duration::from_millis(100), "ping {n} came {late} late");
            }
            assert_eq!(receive(receiver).await.unwrap(), Some(Frame::message("at last")));
            // Whoever is silent then is given up.
            assert_eq!(receive(receiver).await, Err(ReadError::Io(Error::IdleTimeout)));
        };
        let client = async {
            let mut dialer = dialer(here);
            let mut connection = dialer.connect().await.unwrap();
            let (_, sender) = connection.split();
            let next = async {
                Timer::after(PING_INTERVAL * 10 + PING_INTERVAL / 2).await;
                "at last"
            };
            let message = with_pings(sender, PING_INTERVAL, next).await.unwrap();
            send(sender, &Frame::message(message)).await.unwrap();
            pending::<()>().await;
        };
        assert!(matches!(select(server, client).await, Either::First(())));
    });
}

#[test]
fn what_is_waited_for_goes_on_while_a_ping_cannot_be_written() {
    on_two_stacks(async |here, there, wire| {
        let server = async {
            let mut listener = Listener::new(there, PORT, leak(Small::new()), CONFIG);
            let mut connection = listener.accept().await;
            let (receiver, sender) = connection.split();
            // Fills both sides' rings, and reads only when all of its own has been received.
            let frame = Frame::message(bytes(1, 100_000));
            send(sender, &frame).await.unwrap();
            Timer::after_secs(1).await;
            while receive(receiver).await.unwrap() == Some(PING) {}
            connection.close().await.unwrap();
        };
        let client = async {
            let mut dialer = dialer(here);
            let mut connection = dialer.connect().await.unwrap();
            let (receiver, sender) = connection.split();
            wire.stall(Direction::There, Duration::from_millis(200));
            let interval = Duration::from_micros(50);
            let received = with_pings(sender, interval, receive(receiver)).await.unwrap().unwrap();
            assert!(received == Some(Frame::message(bytes(1, 100_000))));
            send(sender, &Frame::message("done")).await.unwrap();
            connection.close().await.unwrap();
        };
        join(server, client).await;
    });
}

// case 61
#[test]
fn a_wait_with_pings_that_is_dropped_interrupts_the_sender_only_inside_a_ping() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = Listener::new(there, PORT, leak(Small::new()), CONFIG);
            let _never_reads = listener.accept().await;
            pending::<()>().await;
        };
        let client = async {
            let mut dialer = dialer(here);
            let mut connection = dialer.connect().await.unwrap();
            let (_, sender) = connection.split();
            let interval = Duration::from_millis(1);
            let a_while = Duration::from_millis(20);
            // Every ping finds room in the rings.
            assert!(with_timeout(a_while, with_pings(sender, interval, pending::<()>())).await.is_err());
            assert!(!sender.is_interrupted());
            // And now one waits for ever.
            assert!(with_timeout(a_while * 50, with_pings(sender, interval, pending::<()>())).await.is_err());
            assert!(sender.is_interrupted());
        };
        assert!(matches!(select(server, client).await, Either::Second(())));
    });
}

#[test]
fn a_ping_that_cannot_be_sent_is_an_error() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = Listener::new(there, PORT, leak(Small::new()), CONFIG);
            drop(listener.accept().await);
            pending::<()>().await;
        };
        let client = async {
            let mut dialer = dialer(here);
            let mut connection: Connection<'_, '_> = dialer.connect().await.unwrap();
            let (_, sender) = connection.split();
            sender.start_frame(Status::ZERO, 0).await.unwrap();
            assert_eq!(
                with_pings(sender, PING_INTERVAL, pending::<()>()).await,
                Err(WriteError::Encode(EncodeError::OutOfOrder))
            );
            sender.start_message(0).await.unwrap();
            assert_eq!(
                with_pings(sender, PING_INTERVAL, pending::<()>()).await,
                Err(WriteError::Io(Error::ConnectionReset))
            );
        };
        assert!(matches!(select(server, client).await, Either::Second(())));
    });
}

fn dialer(stack: embassy_net::Stack<'static>) -> Dialer<'static> {
    let config = Config { idle_timeout: None, ..CONFIG };
    Dialer::new(stack, (THERE, PORT), leak(Small::new()), config, Backoff::DEFAULT)
}

type Small = Buffers<1024, 1024, 256, 64, 16>;
const PORT: u16 = 7077;
const PING_INTERVAL: Duration = Duration::from_secs(20);
const CONFIG: Config = Config { idle_timeout: Some(Duration::from_secs(45)), ..Config::DEFAULT };
const PING: Frame = Frame { status: 2, files: vec![], message: vec![] };
