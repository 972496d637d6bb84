//! What strangers do to a `tej recv` that listens, and what becomes of the others meanwhile.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::future::pending;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Tej, frame_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tej_std::service::{Failed, Frame, Handler, Options, Peer};
use tej_std::{Admission, Config, Server, Status, connect};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Resident memory of a process, in KiB, without the pages of the program that it runs for the first time.
fn resident(tej: &mut Tej) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", tej.child().id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim_end_matches("kB").trim().parse().unwrap()
}

/// A frame that only announces: a message of `size` bytes.
fn announcement(size: u64) -> Vec<u8> {
    [&b"\x80\x01\0\0\0\0\0\0\0\0"[..], &size.to_be_bytes()].concat()
}

fn connected(addr: &str) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Whether the peer has closed, or reset, the connection without a word.
fn is_closed(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(0) => true,
        Ok(_) => panic!("it said something"),
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// A connection that is kept open, after a ping, however many attempts it takes.
fn let_in(addr: &str) -> TcpStream {
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        // It may be closed before it has anything to say.
        let _ = stream.write_all(b"\x82\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        match stream.read(&mut [0; 1]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return stream,
            _ => thread::sleep(Duration::from_millis(10)),
        }
    }
    panic!("nobody is let in");
}

/// What a good client gets done.
fn is_served(addr: &str) -> bool {
    Tej::run(&["send", addr, "-m", "good"]).status.success()
}

// case 19
#[test]
fn an_announcement_takes_no_memory() {
    for size in [1 << 30, 1 << 63, u64::MAX - 18] {
        let mut tej = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--json"]);
        let addr = tej.listening();
        assert!(is_served(&addr));
        tej.wait_for("frame_end");
        let before = resident(&mut tej);
        let mut stranger = connected(&addr);
        stranger.write_all(&announcement(size)).unwrap();
        while tej.wait_for("frame_start")["conn"] != 2 {}
        thread::sleep(Duration::from_millis(100));
        let after = resident(&mut tej);
        assert!(after < before + 64, "{size}: {before} KiB, then {after} KiB");
    }
}

// case 20
#[test]
fn a_thousand_announcements_leave_room_for_a_good_client() {
    let arguments = [
        "recv",
        "--listen",
        "127.0.0.1:0",
        "--json",
        "--max-per-address",
        "1000",
        "--max-connections",
        "1001",
    ];
    let mut tej = Tej::spawn(Tej::command(&arguments).stderr(Stdio::null()));
    let addr = tej.listening();
    let before = resident(&mut tej);
    let strangers: Vec<_> = (0..990)
        .map(|_| {
            let mut stranger = connected(&addr);
            stranger.write_all(&announcement(1 << 62)).unwrap();
            stranger
        })
        .collect();
    for _ in &strangers {
        tej.wait_for("frame_start");
    }
    let after = resident(&mut tej);
    assert!((after - before) / 990 < 64, "{before} KiB, then {after} KiB");
    for _ in 0..5 {
        assert!(is_served(&addr));
    }
    drop(strangers);
}

struct Echo;

impl Handler for Echo {
    async fn received(&mut self, peer: &Peer, frame: &mut Frame<'_>) -> Result<(), Failed> {
        let message = frame.message().await?;
        Ok(peer.send_message(Status::ZERO, message).await?)
    }
}

/// How long a message takes to a server and back, in microseconds: the median and the 99th percentile of 1,000.
async fn round_trips(addr: SocketAddr) -> (u128, u128) {
    let (mut receiver, mut sender) = connect(addr, &Config::default()).await.unwrap().split();
    let mut took = Vec::new();
    for number in 0..1000_u32 {
        let start = Instant::now();
        sender.send_message(Status::ZERO, &number.to_be_bytes()).await.unwrap();
        let echo = receiver.next_frame().await.unwrap().unwrap().message().await.unwrap();
        took.push(start.elapsed().as_micros());
        assert_eq!(echo, number.to_be_bytes());
        // So that all of it takes much longer than the strangers' pauses.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    took.sort_unstable();
    (took[500], took[990])
}

/// A stranger's connection to the server: silent, in the middle of an announcement, with a byte now and then, or with
/// pings as fast as they are taken.
async fn hostile(mut stream: tokio::net::TcpStream, number: usize) {
    let begun = announcement(1 << 20);
    let (bytes, pause) = match number % 4 {
        0 => return pending().await,
        1 => {
            stream.write_all(&begun).await.unwrap();
            return pending().await;
        }
        2 => {
            stream.write_all(&begun).await.unwrap();
            (b"x".to_vec(), Duration::from_millis(100))
        }
        _ => (b"\x82\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".repeat(10), Duration::from_millis(100)),
    };
    // Until the server has had enough of it.
    while stream.write_all(&bytes).await.is_ok() {
        tokio::time::sleep(pause).await;
    }
    pending::<()>().await;
}

/// Prints what the strangers cost a good client; the figures depend on the machine, and the strangers take their share of
/// it as well. What is asserted is so much that any machine can do it.
// case 20
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_client_is_answered_while_there_are_a_thousand_hostile_connections() {
    let outcome = timeout(Duration::from_secs(600), beside_a_thousand_hostile_connections()).await;
    outcome.expect("nobody is answered");
}

async fn beside_a_thousand_hostile_connections() {
    const HOSTILE: usize = 1000;
    let limit = getrlimit(Resource::Nofile);
    // Both ends of each are here.
    let wanted = Some(limit.maximum.unwrap_or(4096).min(4096)).max(limit.current);
    setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum: limit.maximum }).unwrap();
    // Without timeouts, so that the strangers stay however slow the machine is.
    let config = Config::default();
    let admission = Admission { per_address: HOSTILE + 10, ..Admission::default() };
    let server = Arc::new(Server::bind("127.0.0.1:0", config).await.unwrap().with_admission(admission));
    let addr = server.local_addr().unwrap();
    let serving = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.serve(|_| Echo, Options::default(), pending()).await }
    });
    let alone = round_trips(addr).await;
    let mut strangers = JoinSet::new();
    for number in 0..HOSTILE {
        let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
        strangers.spawn(hostile(stream, number));
    }
    while server.connections() < HOSTILE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let beside_them = round_trips(addr).await;
    assert!(server.connections() >= HOSTILE, "the strangers have gone: {}", server.connections());
    for (what, (median, high)) in [("alone", alone), ("beside 1,000 hostile connections", beside_them)] {
        println!("a message and its echo, {what}: median {median} µs, 99th percentile {high} µs");
        assert!(median < 1_000_000, "{what}: {median} µs");
    }
    strangers.shutdown().await;
    serving.abort();
}

// case 22
#[test]
fn silence_ends_a_connection_and_not_its_neighbour() {
    let mut tej = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--json", "--idle-timeout", "2"]);
    let addr = tej.listening();
    let silent = connected(&addr);
    let mut lively = connected(&addr);
    let ping = b"\x82\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    for _ in 0..30 {
        lively.write_all(ping).unwrap();
        thread::sleep(Duration::from_millis(100));
    }
    assert!(is_closed(&silent));
    let error = tej.wait_for("error");
    assert_eq!((error["conn"].as_u64(), error["kind"].as_str()), (Some(1), Some("timeout")), "{error}");
    lively.write_all(ping).unwrap();
    tej.wait_for("frame_end");
}

// case 21
#[test]
fn a_frame_that_never_ends_meets_its_deadline() {
    let mut tej = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--json", "--frame-timeout", "0.5"]);
    let mut stranger = connected(&tej.listening());
    stranger.write_all(&announcement(1000)).unwrap();
    for _ in 0..100 {
        if stranger.write_all(b"x").is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert!(is_closed(&stranger));
    let error = tej.wait_for("error");
    assert_eq!(error["kind"], "timeout", "{error}");
    assert!(error["detail"].as_str().unwrap().contains("--frame-timeout"), "{error}");
}

// case 23
#[test]
fn connections_over_the_cap_are_closed_and_the_user_is_told() {
    for (flag, name) in [("--max-connections", "as many connections"), ("--max-per-address", "its address")] {
        let arguments = ["recv", "--listen", "127.0.0.1:0", "--json", flag, "2"];
        let mut tej = Tej::spawn(Tej::command(&arguments).stderr(Stdio::piped()));
        let addr = tej.listening();
        let mut held = [connected(&addr), connected(&addr)];
        for held in &mut held {
            held.write_all(&announcement(1)).unwrap();
            tej.wait_for("frame_start");
        }
        for _ in 0..3 {
            assert!(is_closed(&connected(&addr)));
        }
        for held in &mut held {
            held.write_all(b"x").unwrap();
            tej.wait_for("frame_end");
        }
        drop(held);
        // There is room again, as soon as the server has seen them go.
        let _one = let_in(&addr);
        tej.wait_for("frame_end");
        tej.child().kill().unwrap();
        let mut text = String::new();
        tej.child().stderr.take().unwrap().read_to_string(&mut text).unwrap();
        let warnings: Vec<_> = text.lines().filter(|line| line.contains("refused")).collect();
        // Three were refused in a moment, and nobody can read so fast.
        assert_eq!(warnings.len(), 1, "{text}");
        assert!(warnings[0].contains(name) && warnings[0].contains(flag), "{text}");
    }
}

// case 24
#[test]
fn want_of_file_descriptors_is_waited_out() {
    let tej = env!("CARGO_BIN_EXE_tej");
    let script = format!("ulimit -n 32 && exec '{tej}' recv --listen 127.0.0.1:0 --json");
    let mut command = std::process::Command::new("sh");
    let mut tej = Tej::spawn(command.args(["-c", &script]).stdin(Stdio::null()).stderr(Stdio::piped()));
    let addr = tej.listening();
    // More than it can have; the kernel completes connections that nobody accepts.
    let mut strangers: Vec<_> = (0..64).map(|_| connected(&addr)).collect();
    strangers[0].write_all(&announcement(1)).unwrap();
    tej.wait_for("frame_start");
    thread::sleep(Duration::from_millis(300));
    let busy = cpu_ticks(&mut tej);
    thread::sleep(Duration::from_millis(1000));
    let spun = cpu_ticks(&mut tej) - busy;
    assert!(spun < 30, "it spins: {spun} hundredths of a second in one");
    // Those it has go on.
    strangers[0].write_all(b"x").unwrap();
    tej.wait_for("frame_end");
    drop(strangers);
    assert!(is_served(&addr));
    tej.child().kill().unwrap();
    let mut text = String::new();
    tej.child().stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.contains("cannot accept a connection: Too many open files"), "{text}");
}

/// Processor time, in hundredths of a second.
fn cpu_ticks(tej: &mut Tej) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", tej.child().id())).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // The 14th and 15th of proc(5), of which two stand before the bracket.
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

// case 28
#[test]
fn a_reset_in_mid_frame_ends_that_connection_alone() {
    let mut tej = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--json"]);
    let addr = tej.listening();
    let mut stranger = connected(&addr);
    stranger.write_all(&announcement(100)).unwrap();
    tej.wait_for("frame_start");
    drop(resetting(stranger));
    let error = tej.wait_for("error");
    assert_eq!((error["conn"].as_u64(), error["kind"].as_str()), (Some(1), Some("closed")), "{error}");
    assert!(is_served(&addr));
}

/// Has `stream` reset when it is dropped.
fn resetting(stream: TcpStream) -> TcpStream {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    stream
}

#[test]
fn frames_over_the_limits_are_refused_at_each_limit() {
    let stream = frame_with(0, &[(b"four", b"seven b")], b"message of 19 bytes");
    let len = u64::try_from(stream.len()).unwrap();
    for (flag, size, kind) in [
        ("--max-files", 1, "too_many_files"),
        ("--max-name", 4, "name_too_long"),
        ("--max-message", 19, "message_too_long"),
        ("--max-frame", len, "frame_too_long"),
    ] {
        for limit in [size - 1, size, size + 1] {
            let limit_text = limit.to_string();
            let mut tej =
                Tej::start(&["recv", "--listen", "127.0.0.1:0", "--json", "--once", flag, &limit_text]);
            connected(&tej.listening()).write_all(&stream).unwrap();
            let (events, status) = tej.finish();
            let fault = events.iter().find(|event| event["event"] == "error");
            assert_eq!(fault.map(|error| error["kind"].as_str().unwrap()), (limit < size).then_some(kind));
            assert_eq!(status.success(), limit >= size, "{flag} {limit}: {events:?}");
        }
    }
}

// case 38
#[test]
fn an_address_in_use_is_a_clear_exit() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for arguments in [&["recv", "--listen", &addr][..], &["send", "--listen", &addr, "-m", "x"]] {
        let output = Tej::run(arguments);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(&addr) && text.contains("in use"), "{text}");
    }
}

#[test]
fn nobody_is_served_where_none_may_be_is_a_usage_error() {
    for flag in ["--max-connections", "--max-per-address"] {
        let output = Tej::run(&["recv", "--listen", "127.0.0.1:0", flag, "0"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr).unwrap().contains("at least 1"));
    }
}
