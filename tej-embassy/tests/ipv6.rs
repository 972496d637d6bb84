//! The adapter over IPv6, alone and beside IPv4.

use embassy_futures::join::{join, join3};
use embassy_net::{IpAddress, Stack};
use embassy_time::Duration;
use tej_embassy::{Backoff, Buffers, Config, Connection, Dialer, Listener};
use tej_testkit::{
    Faults, Frame, HERE, HERE_V6, THERE, THERE_V6, bytes, leak, on_seeded_stacks, on_two_stacks, receive,
    send,
};

#[test]
fn files_and_messages_go_both_ways_over_ipv6() {
    let there = Frame { message: b"with it".to_vec(), ..Frame::file("up.bin", bytes(1, 1 << 20)) };
    let back = Frame { message: bytes(2, 5000), ..Frame::file("down.bin", bytes(3, 1 << 20)) };
    on_two_stacks(async |here, other, _| {
        let server = async {
            let mut listener = Listener::new(other, PORT, leak(Small::new()), CONFIG);
            let mut connection = listener.accept().await;
            let peer = connection.remote_endpoint().unwrap();
            assert_eq!(peer.addr, IpAddress::from(HERE_V6));
            let (receiver, sender) = connection.split();
            assert!(receive(receiver).await.unwrap().as_ref() == Some(&there));
            send(sender, &back).await.unwrap();
            assert_eq!(receive(receiver).await, Ok(None));
            assert_eq!(connection.close().await, Ok(()));
        };
        let client = async {
            let mut dialer = dialer(here, THERE_V6);
            let mut connection = dialer.redial(|_, _| {}).await;
            let (receiver, sender) = connection.split();
            send(sender, &there).await.unwrap();
            assert!(receive(receiver).await.unwrap().as_ref() == Some(&back));
            assert_eq!(connection.close().await, Ok(()));
        };
        join(server, client).await;
    });
}

#[test]
fn nothing_is_lost_over_ipv6_on_a_bad_wire() {
    let frame = Frame { message: bytes(5, 300), ..Frame::file("a", bytes(4, 60_000)) };
    for seed in 0..4 {
        on_seeded_stacks(seed, async |here, there, wire| {
            wire.set_faults(Faults { lost: 100, doubled: 50, late: 50, corrupted: 50 });
            join(echo_one(there, IpAddress::from(HERE_V6)), exchange(here, THERE_V6, &frame)).await;
        });
    }
}

#[test]
fn one_port_serves_ipv4_and_ipv6_at_once() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut first = Listener::new(there, PORT, leak(Small::new()), CONFIG);
            let mut second = Listener::new(there, PORT, leak(Small::new()), CONFIG);
            let (one, other) = join(first.accept(), second.accept()).await;
            let mut peers = [&one, &other].map(|connection| connection.remote_endpoint().unwrap().addr);
            peers.sort();
            assert_eq!(peers, [IpAddress::from(HERE), IpAddress::from(HERE_V6)]);
            join(echo(one), echo(other)).await;
        };
        let frame = Frame::file("both", bytes(6, 20_000));
        join3(server, exchange(here, THERE, &frame), exchange(here, THERE_V6, &frame)).await;
    });
}

/// Sends `frame` and gets it back.
async fn exchange(stack: Stack<'static>, address: impl Into<IpAddress>, frame: &Frame) {
    let mut dialer = dialer(stack, address);
    let mut connection = dialer.redial(|_, _| {}).await;
    let (receiver, sender) = connection.split();
    send(sender, frame).await.unwrap();
    assert!(receive(receiver).await.unwrap().as_ref() == Some(frame));
    // An end that is lost may cost the close its result, but not what was exchanged.
    let _ = connection.close().await;
}

async fn echo_one(stack: Stack<'static>, client: IpAddress) {
    let mut listener = Listener::new(stack, PORT, leak(Small::new()), CONFIG);
    let connection = listener.accept().await;
    assert_eq!(connection.remote_endpoint().unwrap().addr, client);
    echo(connection).await;
}

/// Answers each frame with itself, until the peer ends its stream.
async fn echo(mut connection: Connection<'_, 'static>) {
    let (receiver, sender) = connection.split();
    while let Some(frame) = receive(receiver).await.unwrap() {
        send(sender, &frame).await.unwrap();
    }
    let _ = connection.close().await;
}

fn dialer(stack: Stack<'static>, address: impl Into<IpAddress>) -> Dialer<'static> {
    let backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
    Dialer::new(stack, (address.into(), PORT), leak(Small::new()), CONFIG, backoff)
}

type Small = Buffers<4096, 4096, 512, 512, 64>;
const PORT: u16 = 7077;
/// Retransmissions that are lost as well pause twice as long each time, which is no silence.
const PATIENCE: Duration = Duration::from_secs(1200);
const CONFIG: Config = Config {
    idle_timeout: Some(PATIENCE),
    lost_timeout: Some(PATIENCE),
    close_timeout: PATIENCE,
    ..Config::DEFAULT
};
