//! What docs/guides/states.md says of a connection's states, where no other test shows it; and that the tests that it names
//! are there.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embassy_futures::join::join;
use embassy_net::tcp::{ConnectError, State, TcpSocket};
use embassy_net::{ConfigV4, Stack};
use embassy_time::{Duration, Instant, Timer};
use tej_core::io::{ReadError, WriteError};
use tej_embassy::{Backoff, Buffers, CloseError, Config, Connection, Dialer, Error, Listener};
use tej_testkit::{Direction, Frame, THERE, leak, on_two_stacks, receive, send};

#[test]
fn a_listener_that_was_never_asked_refuses_and_one_whose_accept_was_dropped_does_not() {
    on_two_stacks(async |here, there, _| {
        let mut listener = listener(there);
        assert_eq!(listener.port(), PORT);
        let mut dialer = dialer(here);
        assert_eq!(dialer.connect().await.err(), Some(ConnectError::ConnectionReset));
        assert!(poll_fn(|cx| Poll::Ready(pin!(listener.accept()).poll(cx).is_pending())).await);
        let mut connection = dialer.connect().await.expect("the socket goes on listening");
        send(connection.split().1, &Frame::message("early")).await.unwrap();
        // It was there before it was accepted.
        let mut accepted = listener.accept().await;
        assert_eq!(receive(accepted.split().0).await.unwrap(), Some(Frame::message("early")));
    });
}

#[test]
fn a_close_long_after_both_ends_succeeds_however_the_end_was_read() {
    for is_lent in [false, true] {
        on_two_stacks(async |here, there, _| {
            let server = async {
                let mut listener = listener(there);
                let mut connection = listener.accept().await;
                connection.close_write().await.unwrap();
                assert_eq!(read_all(&mut connection, is_lent).await, Ok(18 + 4));
                // The socket has forgotten the connection by now.
                Timer::after_secs(60).await;
                assert_eq!(connection.close().await, Ok(()));
            };
            let client = async {
                let mut dialer = dialer(here);
                let mut connection = dialer.redial(|_, _| {}).await;
                send(connection.split().1, &Frame::message("last")).await.unwrap();
                assert_eq!(connection.close().await, Ok(()));
            };
            join(server, client).await;
        });
    }
}

#[test]
fn a_reset_behind_frames_that_were_read_is_no_orderly_close() {
    for is_lent in [false, true] {
        on_two_stacks(async |here, there, _| {
            let server = async {
                let mut listener = listener(there);
                let mut connection = listener.accept().await;
                let reset = ReadError::Io(Error::ConnectionReset);
                assert_eq!(read_all(&mut connection, is_lent).await, Err(reset));
                assert_eq!(connection.close().await, Err(CloseError::ConnectionReset));
            };
            let client = async {
                let mut dialer = dialer(here);
                let mut connection = dialer.redial(|_, _| {}).await;
                send(connection.split().1, &Frame::message("last")).await.unwrap();
                Timer::after_secs(1).await;
                drop(connection);
                Timer::after_secs(1).await;
            };
            join(server, client).await;
        });
    }
}

#[test]
fn a_handshake_that_the_client_resets_leaves_the_socket_listening() {
    on_two_stacks(async |here, there, wire| {
        let server = async {
            // Far longer than the test: it is not the timeout that frees the socket.
            let config = Config { connect_timeout: Duration::from_secs(3600), ..Config::DEFAULT };
            let mut listener = Listener::new(there, PORT, leak(Small::new()), config);
            let mut connection = listener.accept().await;
            assert_eq!(receive(connection.split().0).await.unwrap(), Some(Frame::message("next")));
            connection.close().await.unwrap();
        };
        let client = async {
            wire.set_latency_of(Direction::Back, Duration::from_millis(50));
            let mut socket = TcpSocket::new(here, leak([0; 64]), leak([0; 64]));
            let connecting =
                poll_fn(|cx| Poll::Ready(pin!(socket.connect((THERE, PORT))).poll(cx).is_pending()));
            assert!(connecting.await);
            // The SYN is there, and its answer on the way back.
            Timer::after_millis(70).await;
            assert_eq!(socket.state(), State::SynSent);
            socket.abort();
            socket.flush().await.unwrap();
            wire.set_latency_of(Direction::Back, Duration::MIN);
            let mut dialer = dialer(here);
            let mut connection = dialer.connect().await.expect("the socket listens again");
            send(connection.split().1, &Frame::message("next")).await.unwrap();
            connection.close().await.unwrap();
            assert!(Instant::now().as_secs() < 60);
        };
        join(server, client).await;
    });
}

#[test]
fn a_device_that_loses_its_address_loses_its_connections_and_cannot_dial() {
    on_two_stacks(async |here, there, _| {
        let mut listener = listener(there);
        let mut dialer = dialer(here);
        let (mut accepted, dialled) = join(listener.accept(), dialer.connect()).await;
        let mut connection = dialled.unwrap();
        let config = there.config_v4().unwrap();
        there.set_config_v4(ConfigV4::None);
        let received = receive(accepted.split().0).await;
        assert_eq!(received, Err(ReadError::Io(Error::ConnectionReset)));
        let sent = send(accepted.split().1, &Frame::message("gone")).await;
        assert_eq!(sent, Err(WriteError::Io(Error::ConnectionReset)));
        assert_eq!(accepted.close().await, Err(CloseError::Write(WriteError::Interrupted)));
        // Nothing told the peer; its own timeouts do.
        let start = Instant::now();
        assert_eq!(receive(connection.split().0).await, Err(ReadError::Io(Error::ConnectionReset)));
        let lost = Config::DEFAULT.lost_timeout.unwrap();
        assert!(start.elapsed() > lost / 2, "{}", start.elapsed());
        drop(connection);

        let mut homeless = Dialer::new(
            there,
            (tej_testkit::HERE, PORT),
            leak(Small::new()),
            Config::DEFAULT,
            Backoff::DEFAULT,
        );
        assert_eq!(homeless.connect().await.err(), Some(ConnectError::NoRoute));
        there.set_config_v4(ConfigV4::Static(config));
        assert_eq!(homeless.connect().await.err(), Some(ConnectError::ConnectionReset));
        assert!(join(listener.accept(), dialer.connect()).await.1.is_ok());
    });
}

#[test]
fn what_came_before_a_reset_is_still_read() {
    on_two_stacks(async |here, there, _| {
        let mut listener = listener(there);
        let mut dialer = dialer(here);
        let (mut accepted, dialled) = join(listener.accept(), dialer.connect()).await;
        let mut connection = dialled.unwrap();
        let (_, sender) = connection.split();
        send(sender, &Frame::message("last words")).await.unwrap();
        sender.flush().await.unwrap();
        drop(connection);
        Timer::after_millis(10).await;
        let (receiver, _) = accepted.split();
        assert_eq!(receive(receiver).await.unwrap(), Some(Frame::message("last words")));
        assert_eq!(receive(receiver).await, Err(ReadError::Io(Error::ConnectionReset)));
    });
}

#[test]
fn a_listener_that_is_dropped_with_its_connection_is_a_reset_to_the_peer_that_writes() {
    on_two_stacks(async |here, there, _| {
        let mut dialer = dialer(here);
        let mut listener = listener(there);
        let (accepted, dialled) = join(listener.accept(), dialer.connect()).await;
        let mut connection = dialled.unwrap();
        drop(accepted);
        drop(listener);
        let (receiver, sender) = connection.split();
        send(sender, &Frame::message("?")).await.unwrap();
        let start = Instant::now();
        assert_eq!(receive(receiver).await, Err(ReadError::Io(Error::ConnectionReset)));
        assert!(start.elapsed() < Duration::from_secs(1), "{}", start.elapsed());
    });
}

#[test]
fn the_guide_names_tests_that_there_are() {
    let guide = include_str!("../../docs/guides/states.md");
    let tests: Vec<_> = [
        include_str!("faults.rs"),
        include_str!("serve.rs"),
        include_str!("states.rs"),
        include_str!("two_stacks.rs"),
    ]
    .iter()
    .flat_map(|text| text.lines())
    .filter_map(|line| line.strip_prefix("fn ")?.split_once("() {"))
    .map(|(name, _)| name)
    .collect();
    let tables = guide
        .split("\n\n")
        .filter(|block| block.lines().next().is_some_and(|head| head.ends_with("| shown by |")));
    let mut named = 0;
    for row in tables.flat_map(|table| table.lines().skip(2)) {
        let cell = row.strip_suffix(" |").and_then(|row| row.rsplit(" |").next()).unwrap_or_default();
        for name in cell.split('`').skip(1).step_by(2) {
            let found = tests.iter().filter(|test| match name.strip_suffix('…') {
                Some(begin) => test.starts_with(begin),
                None => **test == name,
            });
            assert_eq!(found.count(), 1, "{name}, of: {row}");
            named += 1;
        }
    }
    assert!(named > 40, "only {named} tests were found in the guide");
}

type Small = Buffers<2048, 2048, 256, 256, 16>;
const PORT: u16 = 7077;

/// Reads to the end of the peer's direction, by `next_with` or by `next`; how many bytes that were.
async fn read_all(connection: &mut Connection<'_, '_>, is_lent: bool) -> Result<u64, ReadError<Error>> {
    let (receiver, _) = connection.split();
    if is_lent {
        while receiver.next_with(|_| ()).await?.is_some() {}
    } else {
        while receiver.next().await?.is_some() {}
    }
    Ok(receiver.offset())
}

fn listener(stack: Stack<'static>) -> Listener<'static> {
    Listener::new(stack, PORT, leak(Small::new()), Config::DEFAULT)
}

fn dialer(stack: Stack<'static>) -> Dialer<'static> {
    Dialer::new(stack, (THERE, PORT), leak(Small::new()), Config::DEFAULT, Backoff::DEFAULT)
}
