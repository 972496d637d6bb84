//! Several sockets on one port, and clients of all kinds.

use std::cell::Cell;

use embassy_futures::join::{join, join_array};
use embassy_futures::select::{Either, select};
use embassy_net::Stack;
use embassy_net::tcp::ConnectError;
use embassy_time::{Duration, Instant, Timer};
use tej_embassy::{Backoff, Buffers, Config, Connection, Dialer, serve};
use tej_testkit::{
    End, Frame, THERE, bytes, connect, hostile_clients, leak, on_two_stacks, receive, send, send_cut,
};

// case 58
#[test]
fn more_clients_than_sockets_are_all_served_in_the_end() {
    const EACH: u32 = 20;
    on_two_stacks(async |here, there, _| {
        let at_once = Cell::new(0);
        let most = Cell::new(0);
        let server = serve(there, PORT, leak([const { Small::new() }; 2]), CONFIG, async |connection| {
            at_once.set(at_once.get() + 1);
            most.set(most.get().max(at_once.get()));
            echo(connection).await;
            at_once.set(at_once.get() - 1);
        });
        let refused = Cell::new(0);
        let client = async |n: u32| {
            let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(64));
            let buffers = leak(Small::new());
            let mut dialer = Dialer::new(here, (THERE, PORT), buffers, CONFIG, backoff.with_jitter(n.into()));
            for turn in 0..EACH {
                let frame = Frame::message(bytes(n * EACH + turn, 3000));
                let failed = |error, _| {
                    // A clean refusal, which costs the client no timeout.
                    assert_eq!(error, ConnectError::ConnectionReset);
                    refused.set(refused.get() + 1);
                };
                let mut connection = dialer.redial(failed).await;
                let (receiver, sender) = connection.split();
                send(sender, &frame).await.unwrap();
                assert!(receive(receiver).await.unwrap() == Some(frame));
                connection.close().await.unwrap();
            }
        };
        let clients = join_array([1, 2, 3, 4, 5].map(client));
        assert!(matches!(select(server, clients).await, Either::Second(_)));
        assert_eq!(most.get(), 2);
        assert!(refused.get() > 0, "five clients never met at two sockets");
    });
}

// case 57
#[test]
fn every_socket_is_free_again_after_peers_of_every_kind() {
    let silence = Duration::from_secs(600);
    let stream = Frame { message: b"hi".to_vec(), ..Frame::file("a", bytes(1, 30)) }.encode();
    on_two_stacks(async |here, there, _| {
        let server = serve(there, PORT, leak([const { Small::new() }; 2]), CONFIG, echo);
        let clients = async {
            // As many good clients as there are sockets: not one is lost.
            hostile_clients(here, PORT, 2, &stream, async || {
                join(is_served(here), is_served(here)).await;
            })
            .await;
            let start = Instant::now();
            let silent = join(
                send_cut(here, PORT, &stream[..40], End::Silent(silence)),
                send_cut(here, PORT, &stream[..40], End::Silent(silence)),
            );
            let next = async {
                Timer::after_secs(1).await;
                is_served(here).await;
            };
            assert!(matches!(select(silent, next).await, Either::Second(())));
            // No later than the idle timeout and the time to close.
            assert!(start.elapsed() < IDLE + CONFIG.close_timeout + Duration::from_secs(2));
        };
        assert!(matches!(select(server, clients).await, Either::Second(())));
    });
}

#[test]
fn a_server_that_is_dropped_resets_its_clients_and_frees_its_sockets() {
    on_two_stacks(async |here, there, _| {
        // More than the stack has sockets, if they were not freed.
        for _ in 0..5 {
            let server = serve(there, PORT, leak([const { Small::new() }; 3]), CONFIG, echo);
            let client = async {
                let mut socket = connect(here, PORT).await;
                Timer::after_millis(1).await;
                assert!(socket.may_send());
                socket.abort();
                let _ = socket.flush().await;
            };
            assert!(matches!(select(server, client).await, Either::Second(())));
        }
    });
}

#[test]
#[should_panic(expected = "port 0")]
fn port_0_is_a_mistake() {
    on_two_stacks(async |_, there, _| {
        serve(there, 0, leak([const { Small::new() }; 1]), CONFIG, echo).await;
    });
}

/// Answers each frame with itself, until the peer ends its stream or is at fault.
async fn echo(mut connection: Connection<'_, 'static>) {
    let (receiver, sender) = connection.split();
    while let Ok(Some(frame)) = receive(receiver).await {
        if send(sender, &frame).await.is_err() {
            break;
        }
    }
    let _ = connection.close().await;
}

async fn is_served(stack: Stack<'static>) {
    let frame = Frame::message("anybody there?");
    let backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
    let mut dialer = Dialer::new(stack, (THERE, PORT), leak(Small::new()), CONFIG, backoff);
    let mut connection = dialer.redial(|_, _| {}).await;
    let (receiver, sender) = connection.split();
    send(sender, &frame).await.unwrap();
    assert_eq!(receive(receiver).await.unwrap(), Some(frame));
    connection.close().await.unwrap();
}

type Small = Buffers<2048, 2048, 256, 256, 16>;
const PORT: u16 = 7077;
const IDLE: Duration = Duration::from_secs(60);
const CONFIG: Config = Config { idle_timeout: Some(IDLE), ..Config::DEFAULT };
