//! Payload that goes past the program's memory arrives as what is copied does, over every transport.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use tej_std::{
    Config, Connection, DecodeErrorKind, Event, Limits, MinRate, ReceiveError, Receiver, SendError, Sender,
    Splice, Status, Timeouts,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// Both ends of a TCP connection.
async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (ours.unwrap(), theirs.unwrap().0)
}

fn sender_over(stream: TcpStream, config: &Config) -> Sender {
    Connection::from_tcp(stream, config).unwrap().split().1
}

fn receiver_over(stream: TcpStream, config: &Config) -> Receiver {
    Connection::from_tcp(stream, config).unwrap().split().0
}

fn config() -> Config {
    Config { limits: Limits::UNLIMITED, ..Config::default() }
}

/// A file of bytes that do not repeat for long.
fn source(size: u64) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content(size)).unwrap();
    // Where a file's position is does not matter to who sends it.
    file.seek(std::io::SeekFrom::Start(size / 2)).unwrap();
    file
}

fn content(size: u64) -> Vec<u8> {
    let mut state = size + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..size).map(|_| next()).collect()
}

fn read(mut file: &File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

/// What was received of a stream.
#[derive(Debug, Default)]
struct Received {
    files: Vec<Vec<u8>>,
    messages: Vec<Vec<u8>>,
    /// Bytes that went past memory.
    bypassed: u64,
}

/// Receives all files by splicing where that is possible.
async fn receive<R: AsyncRead + Unpin>(receiver: &mut Receiver<R>) -> Result<Received, ReceiveError> {
    let mut received = Received::default();
    let mut splice = Splice::new();
    let mut file: Option<File> = None;
    loop {
        if let Some(file) = &file {
            let n = receiver.splice_payload(&mut splice).await?;
            if n > 0 {
                received.bypassed += n;
                splice.write_to(file).unwrap();
                continue;
            }
        }
        match receiver.next().await? {
            Some(Event::FileStart { .. }) => file = Some(tempfile::tempfile().unwrap()),
            Some(Event::FileData(bytes)) => file.as_ref().unwrap().write_all(bytes).unwrap(),
            Some(Event::FileEnd) => received.files.push(read(&file.take().unwrap())),
            Some(Event::MessageStart { .. }) => received.messages.push(Vec::new()),
            Some(Event::MessageData(bytes)) => received.messages.last_mut().unwrap().extend_from_slice(bytes),
            Some(_) => {}
            None => return Ok(received),
        }
    }
}

/// Receives and discards everything; the length of what went past memory, and of what did not.
async fn discard<R: AsyncRead + Unpin>(receiver: &mut Receiver<R>) -> Result<(u64, u64), ReceiveError> {
    let mut splice = Splice::new();
    let (mut bypassed, mut seen) = (0, 0);
    loop {
        let n = receiver.discard_payload(&mut splice).await?;
        if n > 0 {
            bypassed += n;
            continue;
        }
        match receiver.next().await? {
            Some(Event::FileData(bytes) | Event::MessageData(bytes)) => seen += bytes.len() as u64,
            Some(_) => {}
            None => return Ok((bypassed, seen)),
        }
    }
}

/// Sends a frame of the files, and ends the stream.
async fn send<W: AsyncWrite + Unpin>(sender: &mut Sender<W>, sizes: &[u64]) -> Result<(), SendError> {
    sender.start_frame(Status::ZERO, sizes.len().try_into().unwrap()).await?;
    for &size in sizes {
        sender.send_std_file("name", size, &source(size)).await?;
    }
    sender.finish_frame(b"done").await?;
    sender.shutdown().await
}

/// Sends the files over the two ends of a transport, and holds what arrives to what was sent.
async fn exchange<R, W>(mut sender: Sender<W>, mut receiver: Receiver<R>, sizes: &[u64]) -> Received
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (sent, received) = tokio::join!(send(&mut sender, sizes), receive(&mut receiver));
    sent.unwrap();
    let received = received.unwrap();
    assert_eq!(received.files.len(), sizes.len());
    for (file, &size) in received.files.iter().zip(sizes) {
        assert!(*file == content(size), "a file of {size} bytes differs");
    }
    assert_eq!(received.messages, [b"done"]);
    received
}

/// Around what is copied, the stage, the pages, the pipe and what is moved at once; files of all kinds behind each other.
const SIZES: [u64; 24] = [
    0, 1, 4095, 4096, 4097, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 98_303, 98_304, 131_072, 262_145,
    1_048_575, 1_048_576, 1_048_577, 1_081_343, 1_081_344, 2_097_153, 0, 5_000_000, 1,
];

#[tokio::test]
async fn files_of_all_sizes_arrive_over_tcp() {
    for &size in &SIZES {
        let (ours, theirs) = tcp().await;
        exchange(sender_over(ours, &config()), receiver_over(theirs, &config()), &[size]).await;
    }
}

#[tokio::test]
async fn files_behind_one_another_arrive_over_tcp() {
    let (ours, theirs) = tcp().await;
    let received = exchange(sender_over(ours, &config()), receiver_over(theirs, &config()), &SIZES).await;
    if cfg!(target_os = "linux") {
        let total: u64 = SIZES.iter().sum();
        assert!(received.bypassed > total / 2, "{} of {total} bytes bypassed memory", received.bypassed);
    }
}

#[tokio::test]
async fn what_cannot_be_bypassed_is_copied() {
    let (write, read) = tokio::io::duplex(100_000);
    let received = exchange(Sender::new(write, &config()), Receiver::new(read, &config()), &SIZES).await;
    assert_eq!(received.bypassed, 0);
    // A transport that is not known to be a socket's half, though it is one.
    let (ours, theirs) = tcp().await;
    let (write, read) = (ours.into_split().1, theirs.into_split().0);
    assert_eq!(
        exchange(Sender::new(write, &config()), Receiver::new(read, &config()), &SIZES).await.bypassed,
        0
    );
}

// case 26
#[tokio::test]
async fn short_writes_and_reads_lose_nothing() {
    let (ours, theirs) = tcp().await;
    rustix::net::sockopt::set_socket_send_buffer_size(&ours, 1).unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&theirs, 1).unwrap();
    exchange(sender_over(ours, &config()), receiver_over(theirs, &config()), &[100_001, 300_000, 0, 32_768])
        .await;
}

// case 27
#[tokio::test]
async fn more_than_4_gib_arrive() {
    let (ours, theirs) = tcp().await;
    let size = (4 << 30) + 3_000_001;
    let file = tempfile::tempfile().unwrap();
    file.set_len(size).unwrap();
    file.write_all_at(b"the end", size - 7).unwrap();
    let mut sender = sender_over(ours, &config());
    let mut receiver = receiver_over(theirs, &config());
    let send = async {
        sender.start_frame(Status::ZERO, 1).await?;
        sender.send_std_file("sparse", size, &file).await?;
        sender.finish_frame(b"").await?;
        sender.shutdown().await
    };
    let receive = async {
        let mut splice = Splice::new();
        let (mut received, mut last) = (0, Vec::new());
        loop {
            let n = if received < 4 << 30 { receiver.discard_payload(&mut splice).await? } else { 0 };
            received += n;
            if n == 0 {
                match receiver.next().await? {
                    Some(Event::FileData(bytes)) => {
                        received += bytes.len() as u64;
                        last = bytes.to_vec();
                    }
                    Some(_) => {}
                    None => return Ok::<_, ReceiveError>((received, last)),
                }
            }
        }
    };
    let (sent, received) = tokio::join!(send, receive);
    sent.unwrap();
    let (received, last) = received.unwrap();
    assert_eq!(received, size);
    assert!(last.ends_with(b"\0the end"), "{:?}", &last[last.len().saturating_sub(20)..]);
}

/// A receiver, and the socket of a peer that has begun a file of 10 MB and sent `sent` bytes of it.
async fn begun(sent: usize, timeouts: Timeouts) -> (Receiver, TcpStream) {
    let (mut peer, ours) = tcp().await;
    let mut receiver =
        receiver_over(ours, &Config { timeouts, limits: Limits::UNLIMITED, ..Config::default() });
    peer.write_all(b"\x80\x01\0\0\0\0\0\0\0\x01\0\x01a\0\0\0\0\0\x98\x96\x80").await.unwrap();
    assert!(matches!(receiver.next().await, Ok(Some(Event::FrameStart(_)))));
    assert!(matches!(receiver.next().await, Ok(Some(Event::FileStart { size: 10_000_000, .. }))));
    peer.write_all(&vec![b'x'; sent]).await.unwrap();
    (receiver, peer)
}

// case 28
#[tokio::test]
async fn a_reset_inside_a_file_is_told() {
    for way in [Way::Splice, Way::Discard] {
        let (mut receiver, peer) = begun(100_000, Timeouts::PATIENT).await;
        assert_eq!(way.take(&mut receiver, 100_000).await.unwrap(), 100_000);
        peer.set_zero_linger().unwrap();
        drop(peer);
        let result = way.take(&mut receiver, u64::MAX).await;
        assert!(
            matches!(&result, Err(ReceiveError::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionReset),
            "{result:?}"
        );
    }

    let (ours, peer) = tcp().await;
    let mut sender = sender_over(ours, &config());
    let reset = async {
        sleep(Duration::from_millis(100)).await;
        peer.set_zero_linger().unwrap();
        drop(peer);
    };
    let (sent, ()) = tokio::join!(send(&mut sender, &[30_000_000]), reset);
    assert!(matches!(sent, Err(SendError::Closed)), "{sent:?}");
}

#[tokio::test]
async fn the_end_of_the_stream_inside_a_file_is_told() {
    for way in [Way::Splice, Way::Discard] {
        let (mut receiver, peer) = begun(100_000, Timeouts::PATIENT).await;
        drop(peer);
        let result = way.take(&mut receiver, u64::MAX).await;
        assert!(
            matches!(&result, Err(ReceiveError::Decode(fault)) if fault.kind == DecodeErrorKind::Truncated),
            "{result:?}"
        );
    }
}

/// How payload is passed on.
#[derive(Clone, Copy, Debug)]
enum Way {
    Splice,
    Discard,
}

impl Way {
    /// Takes payload until it is at least so much.
    async fn take(self, receiver: &mut Receiver<OwnedReadHalf>, enough: u64) -> Result<u64, ReceiveError> {
        let file = tempfile::tempfile().unwrap();
        let mut splice = Splice::new();
        let mut taken = 0;
        while taken < enough {
            let n = match self {
                Self::Splice => receiver.splice_payload(&mut splice).await?,
                Self::Discard => receiver.discard_payload(&mut splice).await?,
            };
            splice.write_to(&file).unwrap();
            taken += n;
            if n == 0
                && let Some(Event::FileData(bytes)) = receiver.next().await?
            {
                taken += bytes.len() as u64;
            }
        }
        Ok(taken)
    }
}

#[tokio::test]
async fn timeouts_hold_for_what_bypasses_memory() {
    let idle = Timeouts { idle: Some(Duration::from_millis(300)), ..Timeouts::PATIENT };
    let frame = Timeouts { frame: Some(Duration::from_millis(300)), ..Timeouts::PATIENT };
    let rate = |grace| Timeouts {
        min_rate: Some(MinRate { bytes_per_second: 1_000_000, grace: Duration::from_millis(grace) }),
        ..Timeouts::PATIENT
    };
    for way in [Way::Splice, Way::Discard] {
        let (mut receiver, _peer) = begun(100_000, idle).await;
        let result = way.take(&mut receiver, u64::MAX).await;
        assert!(matches!(result, Err(ReceiveError::Timeout)), "{way:?}: {result:?}");

        let (mut receiver, _peer) = begun(100_000, frame).await;
        let result = way.take(&mut receiver, u64::MAX).await;
        assert!(matches!(result, Err(ReceiveError::FrameTimeout)), "{way:?}: {result:?}");

        let (mut receiver, _peer) = begun(100_000, rate(200)).await;
        let result = way.take(&mut receiver, u64::MAX).await;
        assert!(matches!(result, Err(ReceiveError::TooSlow)), "{way:?}: {result:?}");

        // Life, and fast enough: what is moved counts.
        for timeouts in [idle, rate(300)] {
            let (mut receiver, mut peer) = begun(0, timeouts).await;
            let trickle = async {
                for _ in 0..10 {
                    sleep(Duration::from_millis(100)).await;
                    peer.write_all(&vec![b'x'; 1_000_000]).await.unwrap();
                }
            };
            let (taken, ()) = tokio::join!(way.take(&mut receiver, 10_000_000), trickle);
            assert_eq!(taken.unwrap(), 10_000_000, "{way:?}");
        }
    }

    let (ours, _peer) = tcp().await;
    let timeouts = Timeouts { write: Some(Duration::from_millis(300)), ..Timeouts::PATIENT };
    let mut sender = sender_over(ours, &Config { timeouts, ..Config::default() });
    let sent = send(&mut sender, &[30_000_000]).await;
    assert!(matches!(sent, Err(SendError::Timeout)), "{sent:?}");
}

#[tokio::test]
async fn a_file_that_shrinks_or_cannot_be_read_is_to_blame() {
    for (size, left) in [(100_000, 0), (100_000, 50_000), (3_000_000, 2_000_000), (100, 99)] {
        let (ours, theirs) = tcp().await;
        let mut sender = sender_over(ours, &config());
        let mut receiver = receiver_over(theirs, &config());
        let file = source(size);
        file.set_len(left).unwrap();
        let send = async {
            sender.start_frame(Status::ZERO, 1).await.unwrap();
            let sent = sender.send_std_file("shrunk", size, &file).await;
            drop(sender);
            sent
        };
        let (sent, received) = tokio::join!(send, receive(&mut receiver));
        assert!(
            matches!(&sent, Err(SendError::Source(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof),
            "{size} to {left}: {sent:?}"
        );
        // Of a small frame nothing has left.
        assert!(size < 1000 || matches!(received, Err(ReceiveError::Decode(_))), "{received:?}");
    }

    let (ours, _theirs) = tcp().await;
    let mut sender = sender_over(ours, &config());
    sender.start_frame(Status::ZERO, 1).await.unwrap();
    let unreadable = File::options().write(true).open("/dev/null").unwrap();
    let sent = sender.send_std_file("unreadable", 100_000, &unreadable).await;
    assert!(matches!(sent, Err(SendError::Source(_))), "{sent:?}");
}

#[tokio::test]
async fn a_file_that_grows_is_sent_as_announced() {
    for size in [10, 100_000] {
        let (ours, theirs) = tcp().await;
        let mut sender = sender_over(ours, &config());
        let mut receiver = receiver_over(theirs, &config());
        let file = source(2 * size);
        let send = async {
            sender.start_frame(Status::ZERO, 1).await?;
            sender.send_std_file("grown", size, &file).await?;
            sender.finish_frame(b"").await?;
            sender.shutdown().await
        };
        let (sent, received) = tokio::join!(send, receive(&mut receiver));
        sent.unwrap();
        let file = received.unwrap().files.remove(0);
        assert_eq!(file.len() as u64, size);
        assert!(content(2 * size).starts_with(&file));
    }
}

#[tokio::test]
async fn dropped_futures_lose_nothing() {
    let (ours, theirs) = tcp().await;
    let sizes = [500_000, 30_000_000, 70_000];
    let mut sender = sender_over(ours, &config());
    let mut receiver = receiver_over(theirs, &config());
    let receive = async {
        let mut splice = Splice::new();
        let (mut files, mut dropped) = (Vec::new(), 0);
        let mut file = tempfile::tempfile().unwrap();
        loop {
            // Whatever the first future did, the second goes on where it ended.
            let first = tokio::select! {
                biased;
                held = receiver.splice_payload(&mut splice) => Some(held.unwrap()),
                () = std::future::ready(()) => None,
            };
            dropped += u32::from(first.is_none());
            let held = receiver.splice_payload(&mut splice).await.unwrap();
            assert!(first.is_none_or(|first| first == held), "{first:?}, then {held}");
            if held > 0 {
                splice.write_to(&file).unwrap();
                continue;
            }
            match receiver.next().await.unwrap() {
                Some(Event::FileData(bytes)) => file.write_all(bytes).unwrap(),
                Some(Event::FileEnd) => {
                    files.push(read(&file));
                    file = tempfile::tempfile().unwrap();
                }
                Some(_) => {}
                None => return (files, dropped),
            }
        }
    };
    let (sent, (files, dropped)) = tokio::join!(send(&mut sender, &sizes), receive);
    sent.unwrap();
    assert!(files == sizes.map(content), "the files differ");
    assert!(dropped > 0 || cfg!(not(target_os = "linux")), "no future was dropped");
}

#[tokio::test]
async fn a_full_disk_ends_the_file_and_not_the_connection() {
    let (mut receiver, mut peer) = begun(100_000, Timeouts::PATIENT).await;
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut splice = Splice::new();
    let mut passed = receiver.splice_payload(&mut splice).await.unwrap();
    assert!(passed > 0);
    assert_eq!(splice.write_to(&full).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    // What was held is gone, and the next bytes are those that follow.
    let rest = async {
        peer.write_all(&vec![b'y'; 9_900_000]).await.unwrap();
        peer.write_all(b"\0\0\0\0\0\0\0\0").await.unwrap();
        drop(peer);
    };
    let take = async {
        let file = tempfile::tempfile().unwrap();
        loop {
            let n = receiver.splice_payload(&mut splice).await.unwrap();
            splice.write_to(&file).unwrap();
            passed += n;
            if n == 0 {
                match receiver.next().await.unwrap() {
                    Some(Event::FileData(bytes)) => passed += bytes.len() as u64,
                    Some(Event::FrameEnd) => break,
                    _ => {}
                }
            }
        }
    };
    tokio::join!(rest, take);
    assert_eq!(passed, 10_000_000);
}

#[tokio::test]
async fn a_file_that_is_only_appended_to_receives_as_well() {
    let (mut receiver, _peer) = begun(200_000, Timeouts::PATIENT).await;
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), "before").unwrap();
    let file = File::options().append(true).open(path.path()).unwrap();
    let mut splice = Splice::new();
    let mut moved = 0;
    while moved < 200_000 {
        moved += receiver.splice_payload(&mut splice).await.unwrap();
        splice.write_to(&file).unwrap();
    }
    let bytes = std::fs::read(path.path()).unwrap();
    assert_eq!(bytes.len(), 200_006);
    assert!(bytes.starts_with(b"beforexxx"));
}

#[tokio::test]
async fn discarding_counts_every_byte() {
    let total = SIZES.iter().sum::<u64>() + 4;
    let (ours, theirs) = tcp().await;
    let mut sender = sender_over(ours, &config());
    let mut receiver = receiver_over(theirs, &config());
    let (sent, discarded) = tokio::join!(send(&mut sender, &SIZES), discard(&mut receiver));
    sent.unwrap();
    let (bypassed, seen) = discarded.unwrap();
    assert_eq!(bypassed + seen, total);
    assert!(
        bypassed > total / 2 || cfg!(not(target_os = "linux")),
        "{bypassed} of {total} bytes bypassed memory"
    );

    let (write, read) = tokio::io::duplex(100_000);
    let (mut sender, mut receiver) = (Sender::new(write, &config()), Receiver::new(read, &config()));
    let (sent, discarded) = tokio::join!(send(&mut sender, &SIZES), discard(&mut receiver));
    sent.unwrap();
    assert_eq!(discarded.unwrap(), (0, total));
}
