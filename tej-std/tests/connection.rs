//! The library over in-memory streams and a clock that the tests move.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tej_std::{
    Config, Connection, DecodeErrorKind, DiscardError, Event, Limits, MinRate, ReceiveError, Receiver,
    SendError, Sender, Server, Status, Timeouts, connect,
};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, ReadHalf, WriteHalf, duplex,
    split,
};
use tokio::time::{Instant, advance, sleep, timeout};

type Half = (Receiver<ReadHalf<DuplexStream>>, Sender<WriteHalf<DuplexStream>>);

fn over(stream: DuplexStream, config: &Config) -> Half {
    let (read, write) = split(stream);
    Connection::new(read, write, config).split()
}

fn patient(seconds: u64) -> Config {
    with(Timeouts { idle: Some(Duration::from_secs(seconds)), ..Timeouts::PATIENT })
}

fn with(timeouts: Timeouts) -> Config {
    Config { timeouts, ..Config::default() }
}

/// Receives to the end of the stream; the lengths of the files and the messages.
async fn drain<R: AsyncRead + Unpin>(
    receiver: &mut Receiver<R>,
) -> Result<(Vec<u64>, Vec<Vec<u8>>), ReceiveError> {
    let (mut files, mut messages) = (Vec::new(), Vec::new());
    while let Some(event) = receiver.next().await? {
        match event {
            Event::FileStart { .. } => files.push(0),
            Event::FileData(bytes) => *files.last_mut().unwrap() += bytes.len() as u64,
            Event::MessageStart { .. } => messages.push(Vec::new()),
            Event::MessageData(bytes) => messages.last_mut().unwrap().extend_from_slice(bytes),
            _ => {}
        }
    }
    Ok((files, messages))
}

/// Begins a frame after `wait`, ends it after `pause`, and then never ends itself.
async fn send_slowly<W: AsyncWrite + Unpin>(sender: &mut Sender<W>, wait: Duration, pause: Duration) {
    sleep(wait).await;
    sender.start_frame(Status::ZERO, 0).await.unwrap();
    sleep(pause).await;
    sender.finish_frame(b"slow").await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_before_a_line_is_silent_is_thrown_away_and_costs_the_peer_no_time() {
    let (ours, mut peer) = duplex(64);
    let (mut receiver, _sender) = over(ours, &patient(2));
    let begun = Instant::now();
    let line = async {
        for _ in 0..3 {
            sleep(Duration::from_millis(900)).await;
            peer.write_all(b"\x80rest").await.unwrap();
        }
        // One second of silence, and then as long as the timeout allows.
        sleep(Duration::from_millis(2900)).await;
        peer.write_all(MESSAGE).await.unwrap();
        drop(peer);
    };
    let receive = async {
        assert_eq!(receiver.discard_until_silent(Duration::from_secs(1)).await.unwrap(), 3 * 5);
        assert_eq!(begun.elapsed(), Duration::from_millis(3700));
        assert_eq!(drain(&mut receiver).await.unwrap(), (vec![], vec![b"hi".to_vec()]));
        let ended = receiver.discard_until_silent(Duration::from_secs(1)).await.unwrap_err();
        assert!(matches!(ended, DiscardError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof));
    };
    tokio::join!(line, receive);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_ahead_of_a_silence_is_thrown_away_too() {
    let (ours, mut peer) = duplex(64);
    let (mut receiver, _sender) = over(ours, &patient(60));
    peer.write_all(&[MESSAGE, b"left over"].concat()).await.unwrap();
    while receiver.next().await.unwrap() != Some(Event::FrameEnd) {}
    assert_eq!(receiver.discard_until_silent(Duration::from_secs(1)).await.unwrap(), 9);
    assert_eq!(receiver.discard_until_silent(Duration::from_secs(1)).await.unwrap(), 0);
    assert_eq!(receiver.offset(), MESSAGE.len() as u64);
    peer.write_all(MESSAGE).await.unwrap();
    drop(peer);
    assert_eq!(drain(&mut receiver).await.unwrap(), (vec![], vec![b"hi".to_vec()]));
}

#[tokio::test(start_paused = true)]
async fn no_silence_is_waited_for_inside_a_frame_or_after_a_fault() {
    for (wire, decoded) in [(&MESSAGE[..19], 19), (b"left over", 1)] {
        let (ours, mut peer) = duplex(64);
        let (mut receiver, _sender) = over(ours, &patient(1));
        peer.write_all(wire).await.unwrap();
        while receiver.next().await.is_ok() {}
        let refused = receiver.discard_until_silent(Duration::from_secs(1)).await.unwrap_err();
        assert!(matches!(refused, DiscardError::InsideFrame { offset } if offset == decoded), "{refused:?}");
    }
}

#[tokio::test]
async fn both_sides_push_first() {
    let (a, b) = duplex(4096);
    let size: u64 = 4 << 20;
    let side = |stream| async move {
        let (mut receiver, mut sender) = over(stream, &Config::default());
        let push = async {
            sender.start_frame(Status::ZERO, 1).await?;
            sender.send_file("zeros", size, &mut tokio::io::repeat(0)).await?;
            sender.finish_frame(b"done").await?;
            sender.shutdown().await
        };
        let (pushed, received) = tokio::join!(push, drain(&mut receiver));
        pushed.unwrap();
        received.unwrap()
    };
    let (a, b) = tokio::join!(side(a), side(b));
    assert_eq!(a, (vec![size], vec![b"done".to_vec()]));
    assert_eq!(a, b);
}

#[tokio::test]
async fn tcp_server_and_client_exchange_messages() {
    let server = Server::bind("127.0.0.1:0", Config::default()).await.unwrap();
    let addr = server.local_addr().unwrap();
    let serve = async {
        let (connection, _) = server.accept().await.unwrap();
        let (mut receiver, mut sender) = connection.split();
        let received = drain(&mut receiver).await.unwrap();
        // The peer has ended its direction; ours is still open.
        sender.send_message(Status::new(9).unwrap(), b"answer").await.unwrap();
        received
    };
    let ask = async {
        let (mut receiver, mut sender) = connect(addr, &Config::default()).await.unwrap().split();
        sender.send_message(Status::ZERO, b"question").await.unwrap();
        sender.send_ping().await.unwrap();
        sender.shutdown().await.unwrap();
        drain(&mut receiver).await.unwrap()
    };
    let (received, answered) = tokio::join!(serve, ask);
    assert_eq!(received.1, [b"question".to_vec(), vec![]]);
    assert_eq!(answered.1, [b"answer".to_vec()]);
}

#[tokio::test(start_paused = true)]
async fn silence_times_out_and_any_byte_is_life() {
    let (ours, mut peer) = duplex(64);
    let (mut receiver, _sender) = over(ours, &patient(10));
    let start = Instant::now();
    let trickle = async {
        for byte in [0x80, 1, 0] {
            sleep(Duration::from_secs(9)).await;
            peer.write_all(&[byte]).await.unwrap();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        event = receiver.next() => assert!(matches!(event, Err(ReceiveError::Timeout)), "{event:?}"),
        () = trickle => {}
    }
    assert_eq!(start.elapsed().as_secs(), 9 * 3 + 10);
}

#[tokio::test(start_paused = true)]
async fn pings_do_not_excuse_a_silent_peer() {
    let (ours, mut peer) = duplex(1 << 16);
    let (mut receiver, mut sender) = over(ours, &patient(10));
    let start = Instant::now();
    let ping = async {
        loop {
            sleep(Duration::from_secs(2)).await;
            sender.send_ping().await.unwrap();
        }
    };
    tokio::select! {
        event = receiver.next() => assert!(matches!(event, Err(ReceiveError::Timeout)), "{event:?}"),
        () = ping => {}
    }
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(peer.read(&mut [0; 18]).await.unwrap(), 18);
}

#[tokio::test(start_paused = true)]
async fn time_spent_on_sending_is_not_the_peers_silence() {
    let (ours, peer) = duplex(1 << 16);
    let (mut receiver, mut sender) = over(ours, &patient(10));
    let start = Instant::now();
    let send = send_slowly(&mut sender, Duration::from_secs(4), Duration::from_secs(60));
    tokio::select! {
        event = receiver.next() => assert!(matches!(event, Err(ReceiveError::Timeout)), "{event:?}"),
        () = send => {}
    }
    assert_eq!(start.elapsed().as_secs(), 60 + 10);
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_times_out_the_writer() {
    let (ours, mut peer) = duplex(64);
    let (mut receiver, mut sender) = over(ours, &patient(10));
    let start = Instant::now();
    let push = async {
        sender.start_frame(Status::ZERO, 1).await?;
        sender.send_file("zeros", 1 << 20, &mut tokio::io::repeat(0)).await
    };
    let life = async {
        // A byte from the peer is life, too.
        sleep(Duration::from_secs(6)).await;
        peer.write_all(&[0x80]).await.unwrap();
        let _ = receiver.next().await;
    };
    let (pushed, ()) = tokio::join!(push, async {
        let _ = timeout(Duration::from_secs(15), life).await;
    });
    assert!(matches!(pushed, Err(SendError::Timeout)), "{pushed:?}");
    assert_eq!(start.elapsed().as_secs(), 16);
    assert!(matches!(sender.send_ping().await, Err(SendError::Interrupted | SendError::Encode(_))));
}

/// What ends the connection, and after how many milliseconds, when a frame with a message of `total` bytes comes by
/// `piece` bytes every `every` seconds.
async fn trickled(timeouts: Timeouts, total: u64, piece: usize, every: u64) -> (Option<ReceiveError>, u128) {
    let (ours, mut peer) = duplex(1 << 20);
    let (mut receiver, _sender) = over(ours, &with(timeouts));
    let start = Instant::now();
    let trickle = async {
        let head = [&b"\x80\x01\0\0\0\0\0\0\0\0"[..], &total.to_be_bytes()].concat();
        peer.write_all(&head).await.unwrap();
        let message = vec![7; usize::try_from(total).unwrap()];
        for piece in message.chunks(piece) {
            sleep(Duration::from_secs(every)).await;
            if peer.write_all(piece).await.is_err() {
                break;
            }
        }
        drop(peer);
        std::future::pending::<()>().await;
    };
    let error = tokio::select! {
        received = drain(&mut receiver) => received.err(),
        () = trickle => unreachable!("it waits for ever"),
    };
    (error, start.elapsed().as_millis())
}

// case 21
#[tokio::test(start_paused = true)]
async fn a_byte_per_second_ends_at_the_frame_deadline() {
    for (limit, seconds) in [(58, 58), (59, 59), (61, 60)] {
        let timeouts = Timeouts { frame: Some(Duration::from_secs(limit)), ..Timeouts::PATIENT };
        let (error, waited) = trickled(timeouts, 60, 1, 1).await;
        assert_eq!(matches!(error, Some(ReceiveError::FrameTimeout)), limit < 60, "{limit}: {error:?}");
        assert!(error.is_none() || limit < 60, "{error:?}");
        assert!((0..10).contains(&(waited - seconds * 1000)), "{limit}: {waited} ms");
    }
}

// case 21
#[tokio::test(start_paused = true)]
async fn a_peer_below_the_minimum_rate_is_ended_and_one_above_it_is_not() {
    let rate = |bytes_per_second| Timeouts {
        min_rate: Some(MinRate { bytes_per_second, grace: Duration::from_secs(5) }),
        ..Timeouts::PATIENT
    };
    // A hundred bytes every second.
    for (bytes_per_second, ends) in [(99, false), (100, false), (110, true), (u64::MAX, true)] {
        let (error, waited) = trickled(rate(bytes_per_second), 100_000, 100, 1).await;
        assert_eq!(matches!(error, Some(ReceiveError::TooSlow)), ends, "{bytes_per_second}: {error:?}");
        if bytes_per_second == u64::MAX {
            assert!((5_000..5_010).contains(&waited), "{waited} ms");
        }
    }
    // A thousand bytes every 12 seconds: after the first, ten seconds beyond the grace may be waited.
    for (grace, ends_after) in [(11, Some(11)), (13, Some(23)), (15, None)] {
        let min_rate = Some(MinRate { bytes_per_second: 100, grace: Duration::from_secs(grace) });
        let (error, waited) = trickled(Timeouts { min_rate, ..Timeouts::PATIENT }, 2_000, 1_000, 12).await;
        assert_eq!(matches!(error, Some(ReceiveError::TooSlow)), ends_after.is_some(), "{grace}: {error:?}");
        let expected = ends_after.unwrap_or(24) * 1000;
        assert!((expected..expected + 10).contains(&waited), "{grace}: {waited} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn neither_silence_between_frames_nor_our_own_time_counts_against_a_frame() {
    let timeouts = Timeouts {
        frame: Some(Duration::from_secs(10)),
        min_rate: Some(MinRate { bytes_per_second: 1, grace: Duration::from_secs(10) }),
        ..Timeouts::PATIENT
    };
    let (ours, mut peer) = duplex(64);
    let (mut receiver, _sender) = over(ours, &with(timeouts));
    let frame = b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02hi";
    let feed = async {
        for _ in 0..3 {
            sleep(Duration::from_secs(1000)).await;
            let (head, rest) = frame.split_at(12);
            peer.write_all(head).await.unwrap();
            sleep(Duration::from_secs(9)).await;
            peer.write_all(rest).await.unwrap();
        }
        drop(peer);
    };
    let receive = async {
        let mut frames = 0;
        while let Some(event) = receiver.next().await.unwrap() {
            frames += u32::from(event == Event::FrameEnd);
            sleep(Duration::from_secs(100)).await;
        }
        frames
    };
    assert_eq!(tokio::join!(feed, receive).1, 3);
}

/// What ends a wait for the peer, and after how many seconds, when one of `given_up` seconds came before it and a minute
/// was spent on something else before each.
async fn two_waits(receiver: &mut Receiver<ReadHalf<DuplexStream>>, given_up: u64) -> (ReceiveError, u64) {
    advance(Duration::from_secs(60)).await;
    assert!(timeout(Duration::from_secs(given_up), drain(receiver)).await.is_err());
    advance(Duration::from_secs(60)).await;
    let start = Instant::now();
    let error = drain(receiver).await.unwrap_err();
    (error, start.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn only_waits_for_the_peer_are_its_silence_and_all_of_them_are() {
    let (ours, _peer) = duplex(64);
    let (mut receiver, _sender) = over(ours, &patient(10));
    let (error, waited) = two_waits(&mut receiver, 4).await;
    assert!(matches!(error, ReceiveError::Timeout), "{error}");
    assert_eq!(waited, 6);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_gives_up_each_wait_soon_still_notices_silence() {
    let (ours, _peer) = duplex(64);
    let (mut receiver, _sender) = over(ours, &patient(10));
    let start = Instant::now();
    let error = loop {
        if let Ok(event) = timeout(Duration::from_secs(1), receiver.next()).await {
            break event.unwrap_err();
        }
    };
    assert!(matches!(error, ReceiveError::Timeout), "{error}");
    assert!((10..12).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn only_waits_count_against_a_frame_and_none_while_we_send() {
    for timeouts in [
        Timeouts { frame: Some(Duration::from_secs(10)), ..Timeouts::PATIENT },
        Timeouts {
            min_rate: Some(MinRate { bytes_per_second: 1, grace: Duration::from_secs(10) }),
            ..Timeouts::PATIENT
        },
    ] {
        let (ours, mut peer) = duplex(1 << 16);
        let (mut receiver, _sender) = over(ours, &with(timeouts));
        peer.write_all(b"\x80").await.unwrap();
        let (_, waited) = two_waits(&mut receiver, 4).await;
        assert_eq!(waited, 6);

        let (ours, mut peer) = duplex(1 << 16);
        let (mut receiver, mut sender) = over(ours, &with(timeouts));
        peer.write_all(b"\x80").await.unwrap();
        let start = Instant::now();
        let send = send_slowly(&mut sender, Duration::from_secs(4), Duration::from_secs(60));
        tokio::select! {
            received = drain(&mut receiver) => drop(received.unwrap_err()),
            () = send => {}
        }
        assert_eq!(start.elapsed().as_secs(), 60 + 10);
    }
}

// case 21
#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_frame_holds_after_a_wait_for_it() {
    let timeouts = Timeouts {
        idle: Some(Duration::from_secs(3600)),
        frame: Some(Duration::from_secs(5)),
        ..Timeouts::PATIENT
    };
    let (ours, mut peer) = duplex(64);
    let (mut receiver, _sender) = over(ours, &with(timeouts));
    let start = Instant::now();
    let feed = async {
        sleep(Duration::from_secs(100)).await;
        peer.write_all(b"\x80\x01").await.unwrap();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        event = receiver.next() => assert!(matches!(event, Err(ReceiveError::FrameTimeout)), "{event:?}"),
        () = feed => {}
    }
    assert!((105_000..105_010).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

// case 25
#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_times_out_the_writer_however_much_it_sends() {
    let (ours, mut peer) = duplex(64);
    let timeouts = Timeouts { write: Some(Duration::from_secs(10)), ..Timeouts::PATIENT };
    let (mut receiver, mut sender) = over(ours, &with(timeouts));
    let start = Instant::now();
    let chatter = async {
        loop {
            sleep(Duration::from_secs(1)).await;
            peer.write_all(b"\x82\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").await.unwrap();
        }
    };
    tokio::select! {
        sent = sender.send_message(Status::ZERO, &[0; 100_000]) => {
            assert!(matches!(sent, Err(SendError::Timeout)), "{sent:?}");
        }
        received = drain(&mut receiver) => panic!("{received:?}"),
        () = chatter => {}
    }
    assert!((10_000..10_010).contains(&start.elapsed().as_millis()));
}

#[tokio::test]
async fn a_dropped_next_loses_nothing() {
    let (ours, mut peer) = duplex(64);
    let (mut receiver, _sender) = over(ours, &Config::default());
    let frame = b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02hi";
    let mut events = 0;
    for byte in frame {
        // Polled once and dropped, before and after every byte.
        for _ in 0..2 {
            while let Ok(event) = timeout(Duration::ZERO, receiver.next()).await {
                event.unwrap().unwrap();
                events += 1;
            }
        }
        peer.write_all(&[*byte]).await.unwrap();
    }
    drop(peer);
    while receiver.next().await.unwrap().is_some() {
        events += 1;
    }
    // Its start, the message's start, two bytes of it, its end.
    assert_eq!(events, 5);
}

#[tokio::test]
async fn a_dropped_send_poisons_the_sender() {
    let (ours, _peer) = duplex(8);
    let (_receiver, mut sender) = over(ours, &Config::default());
    assert!(timeout(Duration::ZERO, sender.send_message(Status::ZERO, b"Hello")).await.is_err());
    assert!(matches!(sender.push().await, Err(SendError::Interrupted)));
}

#[tokio::test]
async fn a_source_that_ends_early_is_its_own_error() {
    let (ours, _peer) = duplex(1 << 16);
    let (_receiver, mut sender) = over(ours, &Config::default());
    sender.start_frame(Status::ZERO, 1).await.unwrap();
    let sent = sender.send_file("short", 10, &mut &b"12345"[..]).await;
    assert!(matches!(sent, Err(SendError::Source(_))), "{sent:?}");
    assert!(sender.finish_frame(b"").await.is_err());
    assert!(sender.shutdown().await.is_err());
}

#[tokio::test]
async fn limits_and_truncation_are_typed() {
    let config = Config { limits: Limits { message: 3, ..Limits::DEFAULT }, ..Config::default() };
    for (size, ok) in [(2, true), (3, true), (4, false)] {
        let mut frame = b"\x80\x01\0\0\0\0\0\0\0\0".to_vec();
        frame.extend(u64::to_be_bytes(size));
        frame.extend(vec![b'x'; usize::try_from(size).unwrap()]);
        match drain(&mut Receiver::new(&frame[..], &config)).await {
            Ok(_) => assert!(ok),
            Err(ReceiveError::Decode(error)) => {
                assert!(!ok);
                assert_eq!((error.kind, error.offset), (DecodeErrorKind::MessageTooLong, 10));
            }
            Err(error) => panic!("{error}"),
        }
        let cut = drain(&mut Receiver::new(&frame[..17], &config)).await;
        let Err(ReceiveError::Decode(error)) = cut else { panic!("{cut:?}") };
        assert_eq!((error.kind, error.offset), (DecodeErrorKind::Truncated, 17));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_sender_no_longer_excuses_the_peer() {
    let (ours, _peer) = duplex(1 << 16);
    let (mut receiver, mut sender) = over(ours, &patient(10));
    sender.start_frame(Status::ZERO, 1).await.unwrap();
    advance(Duration::from_secs(100)).await;
    drop(sender);
    let start = Instant::now();
    assert!(matches!(receiver.next().await, Err(ReceiveError::Timeout)));
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_send_that_failed_or_was_dropped_no_longer_excuses_the_peer() {
    async fn silent_for(receiver: &mut Receiver<ReadHalf<DuplexStream>>) -> u64 {
        let start = Instant::now();
        assert!(matches!(receiver.next().await, Err(ReceiveError::Timeout)));
        start.elapsed().as_secs()
    }
    // A source that never yields, given up.
    let (ours, _peer) = duplex(1 << 16);
    let (mut receiver, mut sender) = over(ours, &patient(10));
    sender.start_frame(Status::ZERO, 1).await.unwrap();
    let (mut never, _keep) = duplex(1);
    assert!(timeout(Duration::from_secs(5), sender.send_file("never", 1, &mut never)).await.is_err());
    assert_eq!(silent_for(&mut receiver).await, 10);

    // A peer that takes nothing.
    let (ours, _peer) = duplex(8);
    let (mut receiver, mut sender) = over(ours, &patient(10));
    assert!(matches!(sender.send_message(Status::ZERO, &[0; 100_000]).await, Err(SendError::Timeout)));
    assert_eq!(silent_for(&mut receiver).await, 10);

    // A mistake, and a shutdown.
    let (ours, _peer) = duplex(1 << 16);
    let (mut receiver, mut sender) = over(ours, &patient(10));
    sender.start_frame(Status::ZERO, 0).await.unwrap();
    assert!(matches!(sender.start_frame(Status::ZERO, 0).await, Err(SendError::Encode(_))));
    sender.start_message(0).await.unwrap();
    sender.shutdown().await.unwrap();
    assert_eq!(silent_for(&mut receiver).await, 10);
}

#[tokio::test(start_paused = true)]
async fn silence_before_a_send_still_counts_after_it() {
    let (ours, _peer) = duplex(1 << 16);
    let (mut receiver, mut sender) = over(ours, &patient(10));
    let start = Instant::now();
    let send = send_slowly(&mut sender, Duration::from_millis(9_900), Duration::from_millis(200));
    tokio::select! {
        event = receiver.next() => assert!(matches!(event, Err(ReceiveError::Timeout)), "{event:?}"),
        () = send => {}
    }
    let waited = start.elapsed().as_millis();
    assert!((10_200..10_250).contains(&waited), "{waited} ms");
}

#[tokio::test]
async fn an_idle_timeout_may_be_as_good_as_never() {
    let (ours, mut peer) = duplex(64);
    let config = with(Timeouts { idle: Some(Duration::MAX), ..Timeouts::PATIENT });
    let (mut receiver, _sender) = over(ours, &config);
    assert!(timeout(Duration::from_millis(1), receiver.next()).await.is_err());
    peer.write_all(&[0]).await.unwrap();
    assert!(matches!(receiver.next().await, Err(ReceiveError::Decode(_))));
}

#[tokio::test]
async fn the_receive_buffer_grows_only_with_what_comes() {
    let frame = {
        let mut frame = b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0".to_vec();
        frame.resize(18 + (1 << 20), 7);
        frame
    };
    let mut receiver = Receiver::new(&frame[..], &Config { receive_buffer: 40_000, ..Config::default() });
    let mut chunks = Vec::new();
    while let Some(event) = receiver.next().await.unwrap() {
        if let Event::MessageData(bytes) = event {
            assert!(bytes.iter().all(|&byte| byte == 7));
            chunks.push(bytes.len());
        }
    }
    assert_eq!(chunks.iter().sum::<usize>(), 1 << 20);
    assert!(chunks[0] < 5000, "{chunks:?}");
    assert_eq!(chunks.iter().max(), Some(&40_000));
}

#[tokio::test]
async fn names_up_to_the_limit_arrive_whole_however_they_are_cut() {
    for (len, ok) in [(0_u32, true), (1, true), (299, true), (300, true), (301, false)] {
        let (ours, mut peer) = duplex(7);
        let (mut receiver, _sender) = over(ours, &Config { name_limit: 300, ..Config::default() });
        let mut frame = b"\x80\x01\0\0\0\0\0\0\0\x01".to_vec();
        let name: Vec<u8> = (0..len).map(|n| n.to_le_bytes()[0]).collect();
        frame.extend(u16::try_from(len).unwrap().to_be_bytes());
        frame.extend(&name);
        frame.extend([0; 16]);
        let receive = async {
            let mut names = Vec::new();
            loop {
                match receiver.next().await {
                    Ok(Some(Event::FileStart { name, .. })) => names.push(name.to_vec()),
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok(names),
                    Err(ReceiveError::Decode(error)) => return Err((error.kind, error.offset)),
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let send = async {
            // Refused before all of it is sent.
            let _ = peer.write_all(&frame).await;
            drop(peer);
        };
        tokio::select! {
            received = receive => {
                let expected = if ok { Ok(vec![name.clone()]) } else { Err((DecodeErrorKind::NameTooLong, 10)) };
                assert_eq!(received, expected);
            }
            () = async { send.await; std::future::pending().await } => {}
        }
    }
}

/// Takes from one byte to a few of whatever it is given.
#[derive(Default)]
struct Grudging {
    taken: Vec<u8>,
    writes: usize,
}

impl AsyncWrite for Grudging {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes += 1;
        let n = bytes.len().min(1 + self.writes % 7);
        self.taken.extend_from_slice(&bytes[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

// case 26
#[tokio::test]
async fn short_writes_lose_nothing() {
    for send_buffer in [1, 10, 64 * 1024] {
        let config = Config { send_buffer, ..Config::default() };
        let mut grudging = Grudging::default();
        let mut sender = Sender::new(&mut grudging, &config);
        let content: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        sender.start_frame(Status::ZERO, 1).await.unwrap();
        sender.send_file("n", 10_000, &mut &content[..]).await.unwrap();
        sender.finish_frame(&content).await.unwrap();
        sender.send_ping().await.unwrap();
        drop(sender);
        assert!(grudging.writes > 20_000 / 7, "{} writes", grudging.writes);
        let mut receiver = Receiver::new(&grudging.taken[..], &Config::default());
        let (files, messages) = drain(&mut receiver).await.unwrap();
        assert_eq!((files, messages), (vec![10_000], vec![content, vec![]]));
    }
}

/// Counts what it is given.
struct Count(u64);

impl AsyncWrite for Count {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0 += bytes.len() as u64;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Yields `head`, then whatever the buffer holds: no time is spent on gigabytes of zeros.
struct Endless(&'static [u8]);

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            let n = buf.initialize_unfilled().len();
            buf.advance(n);
        } else {
            let (now, later) = self.0.split_at(self.0.len().min(buf.remaining()));
            buf.put_slice(now);
            self.0 = later;
        }
        Poll::Ready(Ok(()))
    }
}

// case 27
#[tokio::test]
async fn files_may_have_more_than_4_gib() {
    const SIZE: u64 = (4 << 30) + 5;
    let mut count = Count(0);
    let config = Config { send_buffer: 1 << 20, receive_buffer: 1 << 20, ..Config::default() };
    let mut sender = Sender::new(&mut count, &config);
    sender.start_frame(Status::ZERO, 1).await.unwrap();
    sender.send_file("large", SIZE, &mut Endless(b"")).await.unwrap();
    sender.finish_frame(b"").await.unwrap();
    assert_eq!(sender.frame_len(), SIZE + 33);
    drop(sender);
    assert_eq!(count.0, SIZE + 33);

    let head = b"\x80\x01\0\0\0\0\0\0\0\x01\0\x05large\0\0\0\x01\0\0\0\x05";
    let limits = Limits { file: SIZE, frame: u64::MAX, ..Limits::DEFAULT };
    let mut receiver = Receiver::new(Endless(head), &Config { limits, ..config });
    let mut received = 0;
    loop {
        match receiver.next().await.unwrap().unwrap() {
            Event::FileStart { size, .. } => assert_eq!(size, SIZE),
            Event::FileData(bytes) => received += bytes.len() as u64,
            Event::FileEnd => break,
            _ => {}
        }
    }
    assert_eq!((received, receiver.offset()), (SIZE, SIZE + 25));
}

/// Nothing ever comes; counts how often it is asked.
struct Never(Arc<AtomicUsize>);

impl AsyncRead for Never {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_waits_beside_a_send_is_left_alone() {
    let polls = Arc::new(AtomicUsize::new(0));
    let (ours, _peer) = duplex(1 << 16);
    let (_, write) = split(ours);
    let (mut receiver, mut sender) = Connection::new(Never(Arc::clone(&polls)), write, &patient(10)).split();
    let start = Instant::now();
    let send = send_slowly(&mut sender, Duration::from_millis(9_998), Duration::from_secs(60));
    tokio::select! {
        event = receiver.next() => assert!(matches!(event, Err(ReceiveError::Timeout)), "{event:?}"),
        () = send => {}
    }
    // What was left of its time when the sending began.
    assert!((70_000..70_010).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    // The timers of the sending side are in the same task.
    assert!(polls.load(Ordering::Relaxed) < 10, "{polls:?}");
}

/// A frame without files.
const MESSAGE: &[u8] = b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02hi";
