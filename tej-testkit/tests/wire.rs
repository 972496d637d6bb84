//! The faults that are asked for do happen, and happen again.

use embassy_futures::join::join;
use embassy_net::tcp::TcpSocket;
use embassy_time::{Duration, Instant, with_timeout};
use embedded_io_async::Write;
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
