//! Frames pulled one after the other, and frames sent whole.

use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tej_std::{
    Config, DecodeErrorKind, Limits, NotRegular, OutgoingFrame, ReceiveError, Receiver, SendError, Sender,
    Status, open_regular,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// What is written by sending `frames`.
async fn wire(frames: Vec<OutgoingFrame<'_>>) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut sender = Sender::new(&mut wire, &Config::default());
    for frame in frames {
        sender.send_frame(frame).await.unwrap();
    }
    drop(sender);
    wire
}

fn status(status: u8) -> Status {
    Status::new(status).unwrap()
}

/// What `future` yields when it is polled once and dropped.
async fn once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

/// A stream that comes by `piece` bytes.
fn in_pieces(wire: Vec<u8>, piece: usize) -> DuplexStream {
    let (near, mut far) = duplex(piece);
    tokio::spawn(async move {
        // Whoever reads may have had enough.
        let _ = far.write_all(&wire).await;
    });
    near
}

#[tokio::test]
async fn files_are_streams_and_the_message_comes_after_them() {
    let large: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let frames = || {
        let first = OutgoingFrame::new(status(3))
            .bytes("large", &large[..])
            .bytes("", Vec::new())
            .reader("seven", 5, tokio::io::repeat(7))
            .message("Hello");
        vec![first, OutgoingFrame::new(Status::PING), OutgoingFrame::new(status(4)).message(b"x")]
    };
    for piece in [1, 17, 1 << 20] {
        let mut receiver = Receiver::new(in_pieces(wire(frames()).await, piece), &Config::default());
        let mut frame = receiver.next_frame().await.unwrap().unwrap();
        assert_eq!((frame.status(), frame.header().files), (status(3), 3));
        for (name, content) in [("large", &large[..]), ("", &[]), ("seven", &[7; 5])] {
            let mut file = frame.next_file().await.unwrap().unwrap();
            assert_eq!((file.name(), file.size()), (name.as_bytes(), content.len() as u64));
            let mut read = Vec::new();
            file.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, content);
            assert_eq!(file.read(&mut [0; 8]).await.unwrap(), 0);
        }
        assert!(frame.next_file().await.unwrap().is_none());
        assert!(frame.next_file().await.unwrap().is_none());
        assert_eq!(frame.message_size().await.unwrap(), 5);
        assert_eq!(frame.message().await.unwrap(), b"Hello");
        assert_eq!(frame.message().await.unwrap(), b"");
        let mut frame = receiver.next_frame().await.unwrap().unwrap();
        assert!(frame.status().is_ping());
        assert_eq!(frame.message_size().await.unwrap(), 0);
        frame.finish().await.unwrap();
        let mut frame = receiver.next_frame().await.unwrap().unwrap();
        assert_eq!(frame.message().await.unwrap(), b"x");
        assert!(receiver.next_frame().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn what_is_not_read_is_passed_over() {
    let frame = || {
        OutgoingFrame::new(status(9))
            .bytes("a", vec![1; 5000])
            .bytes("b", vec![2; 5000])
            .message(vec![3; 5000])
    };
    // How much is taken of: the first file, whether the second is asked for, the message.
    for (of_file, second, of_message) in
        [(0, false, 0), (1, false, 0), (4999, false, 1), (5000, true, 0), (0, true, 2), (7, true, 4999)]
    {
        for piece in [13, 1 << 20] {
            let stream = in_pieces(wire(vec![frame(), frame()]).await, piece);
            let mut receiver = Receiver::new(stream, &Config::default());
            for _ in 0..2 {
                let mut frame = receiver.next_frame().await.unwrap().unwrap();
                assert_eq!(frame.status(), status(9));
                let mut file = frame.next_file().await.unwrap().unwrap();
                let mut some = vec![0; of_file];
                file.read_exact(&mut some).await.unwrap();
                assert_eq!(some, vec![1; of_file]);
                if second {
                    let mut file = frame.next_file().await.unwrap().unwrap();
                    assert_eq!(file.name(), b"b");
                    assert_eq!(file.read_u8().await.unwrap(), 2);
                }
                let mut taken = 0;
                while taken < of_message {
                    let chunk = frame.next_message_chunk().await.unwrap().unwrap();
                    assert!(chunk.iter().all(|&byte| byte == 3));
                    taken += chunk.len();
                }
            }
            assert!(receiver.next_frame().await.unwrap().is_none());
        }
    }
}

#[tokio::test]
async fn a_message_is_as_long_as_its_limit() {
    for (size, fits) in [(99, true), (100, true), (101, false)] {
        let wire = wire(vec![OutgoingFrame::new(Status::ZERO).bytes("n", "d").message(vec![5; size])]).await;
        let config = Config { limits: Limits { message: 100, ..Limits::DEFAULT }, ..Config::default() };
        let mut receiver = Receiver::new(&wire[..], &config);
        let mut frame = receiver.next_frame().await.unwrap().unwrap();
        match frame.message().await {
            Ok(message) => assert!(fits && message == vec![5; size]),
            Err(ReceiveError::Decode(error)) => {
                assert!(!fits && error.kind == DecodeErrorKind::MessageTooLong, "{error}");
                // The fault stays.
                assert!(
                    matches!(receiver.next_frame().await, Err(ReceiveError::Decode(again)) if again == error)
                );
            }
            Err(error) => panic!("{error}"),
        }
    }
}

// case 30
#[tokio::test]
async fn futures_that_are_dropped_at_every_await_lose_nothing() {
    let frames = vec![
        OutgoingFrame::new(status(1)).bytes("one", "first").bytes("two", "second").message("Hello"),
        OutgoingFrame::new(status(2)).message("again"),
    ];
    let wire = wire(frames).await;
    let (near, mut far) = duplex(1);
    let feed = tokio::spawn(async move {
        for byte in wire {
            far.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    // Polls once, drops, lets a byte come, and makes the future anew.
    macro_rules! impatiently {
        ($future:expr) => {
            loop {
                match once($future).await {
                    Some(result) => break result.unwrap(),
                    None => tokio::task::yield_now().await,
                }
            }
        };
    }
    let mut receiver = Receiver::new(near, &Config::default());
    for (number, files, message) in [(1, vec!["first", "second"], &b"Hello"[..]), (2, vec![], b"again")] {
        // Its ten bytes come one by one.
        for _ in 0..3 {
            assert!(once(receiver.next_frame()).await.is_none());
        }
        let mut frame = receiver.next_frame().await.unwrap().unwrap();
        assert_eq!(frame.status(), status(number));
        for content in files {
            assert!(once(frame.next_file()).await.is_none());
            let mut file = frame.next_file().await.unwrap().unwrap();
            let mut read = Vec::new();
            loop {
                let mut byte = [0];
                match impatiently!(file.read(&mut byte)) {
                    0 => break,
                    _ => read.push(byte[0]),
                }
            }
            assert_eq!(read, content.as_bytes());
        }
        let mut read = Vec::new();
        assert_eq!(impatiently!(frame.message_size()), message.len() as u64);
        while let Some(chunk) = frame.next_message_chunk().await.unwrap() {
            read.extend_from_slice(chunk);
        }
        assert_eq!(read, message);
    }
    feed.await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_cut_off_says_so_to_whoever_reads_it() {
    let wire = wire(vec![OutgoingFrame::new(Status::ZERO).bytes("n", "0123456789")]).await;
    let cut = wire.len() - 8 - 3;
    let mut receiver = Receiver::new(&wire[..cut], &Config::default());
    let mut frame = receiver.next_frame().await.unwrap().unwrap();
    let mut file = frame.next_file().await.unwrap().unwrap();
    let mut read = Vec::new();
    let error = file.read_to_end(&mut read).await.unwrap_err();
    assert_eq!((error.kind(), &read[..]), (std::io::ErrorKind::UnexpectedEof, &b"0123456"[..]));
    let inner = error.get_ref().unwrap().downcast_ref::<ReceiveError>().unwrap();
    let ReceiveError::Decode(inner) = inner else { panic!("{inner}") };
    assert_eq!((inner.kind, inner.offset), (DecodeErrorKind::Truncated, cut as u64));
}

#[tokio::test]
async fn files_are_sent_from_paths() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, vec![9; 300_000]).unwrap();
    let frame = OutgoingFrame::new(Status::ZERO).path("sent", &path).await.unwrap().message("m");
    // It grows before it is sent: what was announced is sent.
    std::fs::write(&path, vec![9; 300_001]).unwrap();
    let wire = wire(vec![frame]).await;
    let mut receiver = Receiver::new(&wire[..], &Config::default());
    let mut frame = receiver.next_frame().await.unwrap().unwrap();
    let mut file = frame.next_file().await.unwrap().unwrap();
    let mut read = Vec::new();
    file.read_to_end(&mut read).await.unwrap();
    assert_eq!((file.name(), read), (&b"sent"[..], vec![9; 300_000]));

    // It shrinks: the frame cannot be completed, and that is said.
    let frame = OutgoingFrame::new(Status::ZERO).path("sent", &path).await.unwrap();
    std::fs::write(&path, "short").unwrap();
    let mut sink = Vec::new();
    let mut sender = Sender::new(&mut sink, &Config::default());
    assert!(matches!(sender.send_frame(frame).await, Err(SendError::Source(_))));

    assert!(OutgoingFrame::new(Status::ZERO).path("folder", folder.path()).await.is_err());
    assert!(OutgoingFrame::new(Status::ZERO).path("none", folder.path().join("none")).await.is_err());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_that_waits_to_be_sent_is_not_open() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().canonicalize().unwrap().join("file");
    std::fs::write(&path, "content").unwrap();
    let frame = OutgoingFrame::new(Status::ZERO).path("name", &path).await.unwrap();
    let open: Vec<_> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .collect();
    assert!(!open.is_empty() && !open.contains(&path), "{open:?}");
    assert!(wire(vec![frame]).await.windows(7).any(|bytes| bytes == b"content"));
}

#[tokio::test]
async fn what_has_become_of_a_file_that_waited_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    let (path, other) = (scratch.path().join("file"), scratch.path().join("other"));
    let added = async || {
        std::fs::write(&path, "0123456789").unwrap();
        OutgoingFrame::new(Status::ZERO).path("name", &path).await.unwrap()
    };
    let fault = async |frame| {
        let mut sink = Vec::new();
        match Sender::new(&mut sink, &Config::default()).send_frame(frame).await {
            Err(SendError::Source(error)) => error.to_string(),
            sent => panic!("{sent:?}"),
        }
    };

    let frame = added().await;
    std::fs::write(&path, "012345678").unwrap();
    let shorter = fault(frame).await;
    assert!(shorter.contains("it has 9 bytes, and had 10"), "{shorter}");

    let frame = added().await;
    std::fs::write(&other, "of somebody else").unwrap();
    std::fs::rename(&other, &path).unwrap();
    let replaced = fault(frame).await;
    assert!(replaced.contains("another file has its name"), "{replaced}");

    let frame = added().await;
    std::fs::remove_file(&path).unwrap();
    let gone = fault(frame).await;

    let frame = added().await;
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let directory = fault(frame).await;
    assert!(directory.contains(&NotRegular.to_string()), "{directory}");

    for text in [shorter, replaced, gone, directory] {
        assert!(text.starts_with(&format!("{}: ", path.display())), "{text}");
    }
    assert!(open_regular(scratch.path().join("none").to_str().unwrap()).is_err());
}

#[cfg(unix)]
#[tokio::test]
async fn only_regular_files_are_sent_and_a_fifo_is_not_waited_for() {
    let scratch = tempfile::tempdir().unwrap();
    let fifo = scratch.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let socket = scratch.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for path in [&*fifo, &*socket, scratch.path(), Path::new("/dev/zero")] {
        let adding = OutgoingFrame::new(Status::ZERO).path("name", path);
        let added = tokio::time::timeout(Duration::from_secs(10), adding).await;
        // What waits for a writer has one, and does not keep the test from failing.
        let _writer = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
        let error = added.expect("it waits").unwrap_err();
        assert!(
            error.get_ref().is_some_and(|error| error.downcast_ref::<NotRegular>().is_some()),
            "{path:?}: {error}"
        );
    }
    let missing = OutgoingFrame::new(Status::ZERO).path("name", scratch.path().join("missing")).await;
    assert_eq!(missing.unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_mistake_is_found_before_anything_is_written() {
    let mut sink = Vec::new();
    let mut sender = Sender::new(&mut sink, &Config::default());
    for (len, fits) in [(65_534, true), (65_535, true), (65_536, false)] {
        let frame = OutgoingFrame::new(Status::ZERO).bytes("first", "f").bytes("n".repeat(len), "d");
        let sent = sender.send_frame(frame).await;
        assert_eq!(sent.is_ok(), fits, "{len}: {sent:?}");
        assert!(fits || matches!(sent, Err(SendError::Encode(_))));
    }
    sender.send_ping().await.unwrap();
    drop(sender);
    let mut receiver = Receiver::new(&sink[..], &Config { name_limit: u16::MAX, ..Config::default() });
    let mut frames = 0;
    while receiver.next_frame().await.unwrap().is_some() {
        frames += 1;
    }
    assert_eq!(frames, 3);
}

#[tokio::test]
async fn a_frame_is_cut_between_files_and_loses_none() {
    let sizes = [4_usize, 6, 0, 10, 11, 3, 3, 3, 2, 0];
    let files = || {
        let frame = OutgoingFrame::new(status(5)).message("last");
        sizes.iter().enumerate().fold(frame, |frame, (n, size)| frame.bytes(n.to_string(), vec![1; *size]))
    };
    for (most, expected) in [
        (9, vec![1, 2, 1, 1, 3, 2]),
        (10, vec![3, 1, 1, 3, 2]),
        (11, vec![3, 1, 1, 5]),
        (0, vec![1; 10]),
        (u64::MAX, vec![10]),
    ] {
        let frames = files().into_frames_of(most);
        let counts: Vec<_> = frames.iter().map(OutgoingFrame::files).collect();
        assert_eq!(counts, expected, "{most}");
        let wire = wire(frames).await;
        let mut receiver = Receiver::new(&wire[..], &Config::default());
        let (mut names, mut messages) = (Vec::new(), Vec::new());
        while let Some(mut frame) = receiver.next_frame().await.unwrap() {
            assert_eq!(frame.status(), status(5));
            let mut bytes = 0;
            let mut files = 0;
            while let Some(file) = frame.next_file().await.unwrap() {
                names.push(String::from_utf8(file.name().to_vec()).unwrap());
                bytes += file.size();
                files += 1;
            }
            assert!(bytes <= most || files == 1, "{most}: {bytes} bytes in {files} files");
            messages.push(frame.message().await.unwrap());
        }
        assert_eq!(names, (0..sizes.len()).map(|n| n.to_string()).collect::<Vec<_>>());
        let (last, others) = messages.split_last().unwrap();
        assert!(last == b"last" && others.iter().all(Vec::is_empty));
    }
    assert_eq!(OutgoingFrame::new(status(1)).message("m").into_frames_of(5).len(), 1);
}
