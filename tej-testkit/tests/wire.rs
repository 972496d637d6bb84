//! The faults that are asked for do happen, and happen again.

use embassy_futures::join::join;
use embassy_net::tcp::TcpSocket;
use embassy_time::{Duration, Instant, Timer, with_timeout};
use embedded_io_async::{Read, Write};
use tej_testkit::{Direction, Faults, THERE, bytes, connect, leak, on_seeded_stacks, on_two_stacks};

#[test]
fn frames_that_are_doubled_or_late_change_the_traffic_and_nothing_else() {
    let (plain, took) = transfer(1, Faults::NONE);
    let (doubled, _) = transfer(1, Faults { doubled: 1000, ..Faults::NONE });
    assert!(doubled > plain * 3 / 2, "{plain} frames became {doubled}");
    let (_, took_late) = transfer(1, Faults { late: 500, ..Faults::NONE });
    assert!(took_late > took + Duration::from_millis(5), "{took} became {took_late}");
}

#[test]
fn lost_and_corrupted_frames_cost_time() {
    let (_, took) = transfer(1, Faults::NONE);
    for faults in [Faults { lost: 100, ..Faults::NONE }, Faults { corrupted: 100, ..Faults::NONE }] {
        let (_, longer) = transfer(1, faults);
        assert!(longer > took + Duration::from_millis(500), "{took} became {longer} with {faults:?}");
    }
}

#[test]
fn a_round_trip_takes_as_long_as_both_directions_do() {
    let millis = Duration::from_millis;
    let round_trip = |there, back| {
        on_two_stacks(async |here, stack, wire| {
            wire.set_latency_of(Direction::There, millis(there));
            wire.set_latency_of(Direction::Back, millis(back));
            let mut listening = TcpSocket::new(stack, leak([0; 64]), leak([0; 64]));
            let mut socket = TcpSocket::new(here, leak([0; 64]), leak([0; 64]));
            join(listening.accept(7), socket.connect((THERE, 7))).await.1.unwrap();
            let start = Instant::now();
            let answer = async {
                listening.read(&mut [0]).await.unwrap();
                let arrived = start.elapsed();
                listening.write_all(b"!").await.unwrap();
                arrived
            };
            let ask = async {
                socket.write_all(b"?").await.unwrap();
                socket.read(&mut [0]).await.unwrap();
                start.elapsed()
            };
            join(answer, ask).await
        })
    };
    // Nothing here takes as long as this but the wire.
    let about = |expected: u64| millis(expected)..millis(expected + 1);
    for (there, back) in [(0, 0), (10, 10), (30, 5), (0, 40)] {
        let (arrived, answered) = round_trip(there, back);
        assert!(about(there).contains(&arrived), "{arrived} with {there} ms");
        assert!(about(there + back).contains(&answered), "{answered} with {there} and {back} ms");
    }
}

#[test]
fn a_latency_is_no_limit_to_what_is_on_the_way_and_changes_no_order() {
    let latency = Duration::from_millis(20);
    on_two_stacks(async |here, there, wire| {
        wire.set_latency(latency);
        let mut listening = TcpSocket::new(there, leak([0; 65_000]), leak([0; 64]));
        let mut socket = TcpSocket::new(here, leak([0; 64]), leak([0; 65_000]));
        socket.set_nagle_enabled(false);
        join(listening.accept(7), socket.connect((THERE, 7))).await.1.unwrap();
        let sent = bytes(1, 60_000);
        let before = (wire.carried_of(Direction::There), wire.carried());
        let start = Instant::now();
        socket.write_all(&sent).await.unwrap();
        let mut received = vec![0; sent.len()];
        listening.read_exact(&mut received).await.unwrap();
        // More frames than the stacks' own queues hold, in the time that one takes.
        assert!(start.elapsed() < latency + Duration::from_millis(10), "{}", start.elapsed());
        assert!(received == sent, "the order has changed");
        assert_eq!(wire.carried_of(Direction::There) - before.0, 60_000_u64.div_ceil(1460));
        // A frame that was sent later does not overtake those that are on the way.
        socket.write_all(b"1").await.unwrap();
        Timer::after_millis(1).await;
        wire.set_latency(Duration::MIN);
        let before_both = wire.carried_of(Direction::There);
        socket.write_all(b"2").await.unwrap();
        Timer::after_millis(1).await;
        assert_eq!(wire.carried_of(Direction::There), before_both, "one has overtaken the other");
        let mut received = [0; 2];
        listening.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"12");
        let segments = wire.carried_of(Direction::There) - before.0;
        assert!(wire.carried() - before.1 > segments + 1, "acknowledgements count, too");
    });
}

#[test]
fn nothing_gets_through_where_all_is_lost_corrupted_or_down() {
    on_two_stacks(async |here, there, wire| {
        let mut listening = TcpSocket::new(there, leak([0; 64]), leak([0; 64]));
        let mut tries = async |expected: bool| {
            let mut socket = TcpSocket::new(here, leak([0; 64]), leak([0; 64]));
            let accept = with_timeout(Duration::from_secs(30), listening.accept(7));
            let connect = with_timeout(Duration::from_secs(20), socket.connect((THERE, 7)));
            let connected = join(accept, connect).await.1.is_ok();
            assert_eq!(connected, expected);
            socket.abort();
            let _ = with_timeout(Duration::from_secs(1), socket.flush()).await;
            listening.abort();
            let _ = with_timeout(Duration::from_secs(1), listening.flush()).await;
        };
        tries(true).await;
        wire.set_faults(Faults { lost: 1000, ..Faults::NONE });
        tries(false).await;
        wire.set_faults(Faults { corrupted: 1000, ..Faults::NONE });
        let before = wire.carried();
        tries(false).await;
        assert!(wire.carried() > before, "corrupted frames do arrive");
        wire.set_faults(Faults::NONE);
        wire.set_link(false);
        join(here.wait_link_down(), there.wait_link_down()).await;
        tries(false).await;
        wire.set_link(true);
        join(here.wait_link_up(), there.wait_link_up()).await;
        tries(true).await;
        wire.set_faults_of(Direction::Back, Faults { lost: 1000, ..Faults::NONE });
        tries(false).await;
    });
}

#[test]
fn a_seed_is_a_run() {
    let faults = Faults { lost: 100, doubled: 100, late: 100, corrupted: 100 };
    let run = |seed| std::thread::spawn(move || transfer(seed, faults)).join().unwrap();
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

/// How many frames carry some bytes across, and how long that takes.
fn transfer(seed: u64, faults: Faults) -> (u64, Duration) {
    on_seeded_stacks(seed, async |here, there, wire| {
        wire.set_faults(faults);
        let start = Instant::now();
        let server = async {
            let mut socket = TcpSocket::new(there, leak([0; 2048]), leak([0; 2048]));
            socket.accept(7).await.unwrap();
            let mut received = Vec::new();
            let mut buffer = [0; 512];
            while received.len() < 20_000 {
                let n = socket.read(&mut buffer).await.unwrap();
                assert!(n > 0);
                received.extend_from_slice(&buffer[..n]);
            }
            assert!(received == bytes(1, 20_000));
            (wire.carried(), start.elapsed())
        };
        let client = async {
            let mut socket = connect(here, 7).await;
            socket.write_all(&bytes(1, 20_000)).await.unwrap();
            socket.flush().await.unwrap();
        };
        join(server, client).await.0
    })
}
