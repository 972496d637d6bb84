//! The digest server over pipes in memory.

use embassy_futures::join::join;
use embassy_time::{Duration, with_timeout};
use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::Write;
use sha2::{Digest, Sha256};
use tej_apps::{DigestServer, Error};
use tej_core::io::{FrameReader, FrameWriter, ReadError};
use tej_core::{DecodeErrorKind, Decoder, Limits};
use tej_testkit::{Frame, block_on, bytes, receive, send};
use tokio::io::{DuplexStream, ReadHalf, WriteHalf};

#[test]
fn each_frame_is_answered_with_its_digests() {
    let frames = [
        Frame { status: 20, ..Frame::message("Hello") },
        Frame::default(),
        Frame {
            files: vec![
                (b"a.txt".to_vec(), b"hi".to_vec()),
                (b"".to_vec(), vec![]),
                (b"with a space".to_vec(), bytes(1, 100_000)),
            ],
            message: b"three".to_vec(),
            status: 127,
        },
    ];
    let (served, answers) = serve::<2048>(&frames, 512, 512);
    assert_eq!(served, Ok(3));
    assert_eq!(answers.len(), 3);
    for (answer, frame) in answers.iter().zip(&frames) {
        assert_eq!((answer.status, answer.files.len()), (0, 0));
        assert_eq!(text(answer), report(frame, str::to_owned));
    }
    // One of them by value, so that no mistake can be on both sides.
    assert_eq!(
        text(&answers[0]),
        "message 185f8db32271fe25f561a6fc938b2e264306ec304eda518007d1764826381969 5\n"
    );
}

#[test]
fn reads_and_writes_of_one_byte_make_no_difference() {
    let frames = [
        Frame { message: b"and a message".to_vec(), ..Frame::file("file", bytes(2, 300)) },
        Frame::default(),
    ];
    let (served, answers) = serve::<2048>(&frames, 1, 1);
    assert_eq!(served, Ok(2));
    let reports: Vec<_> = answers.iter().map(text).collect();
    assert_eq!(reports, frames.each_ref().map(|frame| report(frame, str::to_owned)));
}

#[test]
fn names_are_one_line_whatever_their_bytes() {
    let names: [(&[u8], &str); 6] = [
        ("schöne Grüße.txt".as_bytes(), "schöne Grüße.txt"),
        (b"two\nlines", r"two\x0alines"),
        (b"../../etc/passwd", "../../etc/passwd"),
        (b"\xff\xfe", r"\xff\xfe"),
        ("\u{202e}gpj.exe".as_bytes(), r"\xe2\x80\xaegpj.exe"),
        (br"back\slash", r"back\x5cslash"),
    ];
    let files = names.map(|(name, _)| (name.to_vec(), name.to_vec())).to_vec();
    let (served, answers) = serve::<2048>(&[Frame { files, ..Frame::default() }], 64, 64);
    assert_eq!(served, Ok(1));
    let report = text(&answers[0]);
    let lines: Vec<_> = report.lines().collect();
    assert_eq!(lines.len(), names.len() + 1);
    for (line, (name, shown)) in lines.iter().zip(names) {
        assert_eq!(*line, format!("{} {} {shown}", hex(name), name.len()));
    }
}

#[test]
fn a_report_that_is_too_long_goes_on_in_the_next_frame() {
    let files: Vec<_> =
        (0..40u32).map(|n| (format!("file-{n}").into_bytes(), bytes(n, n as usize * 10))).collect();
    let frame = Frame { files, message: b"last".to_vec(), ..Frame::default() };
    let (served, answers) = serve::<256>(&[frame.clone(), Frame::message("after")], 64, 64);
    assert_eq!(served, Ok(2));
    assert!(answers.len() >= 40 / 3 && answers.iter().all(|answer| answer.message.len() <= 256));
    assert!(answers.iter().all(|answer| answer.message.ends_with(b"\n")));
    let (after, long) = answers.split_last().unwrap();
    let whole: String = long.iter().map(text).collect();
    assert_eq!(whole, report(&frame, str::to_owned));
    // Only the last frame of a report has the message's line.
    assert_eq!(long.iter().filter(|answer| text(answer).contains("message ")).count(), 1);
    assert_eq!(text(after), report(&Frame::message("after"), str::to_owned));
}

#[test]
fn a_name_too_long_for_any_report_is_cut_and_marked() {
    let name = "n".repeat(255);
    let frame = Frame::file(&name, b"data".to_vec());
    let (served, answers) = serve::<256>(core::slice::from_ref(&frame), 64, 64);
    assert_eq!(served, Ok(1));
    let whole: String = answers.iter().map(text).collect();
    // 256, without 64 digits, 20 digits at most, two spaces and the line's end.
    let cut = "n".repeat(256 - 64 - 20 - 3 - 4) + r"\...";
    assert_eq!(whole, report(&frame, |_| cut.clone()));
}

#[test]
fn pings_are_never_answered() {
    let ping = Frame { status: 2, ..Frame::default() };
    let loaded_ping = Frame { status: 2, message: b"ping".to_vec(), ..Frame::file("ping", b"ping".to_vec()) };
    let frames = [ping.clone(), Frame::message("a"), ping, loaded_ping, Frame::message("b")];
    let (served, answers) = serve::<2048>(&frames, 64, 64);
    assert_eq!(served, Ok(2));
    let reports: Vec<_> = answers.iter().map(text).collect();
    assert_eq!(reports, [&frames[1], &frames[4]].map(|frame| report(frame, str::to_owned)));
}

#[test]
fn a_fault_of_the_peer_is_typed_and_what_came_before_is_answered() {
    for (bytes, kind, offset) in [
        (&b"GET / HTTP/1.1\r\n"[..], DecodeErrorKind::BadStartBit, 22),
        (b"\x80\x02", DecodeErrorKind::UnsupportedVersion, 23),
        (b"\x80\x01\0\0", DecodeErrorKind::Truncated, 26),
    ] {
        let (served, answers) =
            serve_bytes::<2048>(&[b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x04good", bytes].concat());
        let Err(Error::Read(ReadError::Decode(error))) = served else { panic!("{served:?}") };
        assert_eq!((error.kind, error.offset), (kind, offset));
        assert_eq!(
            answers.iter().map(text).collect::<Vec<_>>(),
            [report(&Frame::message("good"), |_| String::new())]
        );
    }
}

#[test]
fn a_server_starts_afresh_with_every_connection() {
    // The first connection leaves a line in the report that was begun and never finished.
    let mut server = DigestServer::<2048>::new();
    let cut_off = b"\x80\x01\0\0\0\0\0\0\0\x01\0\x01f\0\0\0\0\0\0\0\x09part";
    assert!(serve_bytes_with(&mut server, cut_off, 64, 64).0.is_err());
    assert_eq!(server.frames(), 0);
    let (served, answers) = serve_bytes_with(&mut server, &encode(&[Frame::message("new")]), 64, 64);
    assert_eq!(served.unwrap(), 1);
    assert_eq!(
        answers.iter().map(text).collect::<Vec<_>>(),
        [report(&Frame::message("new"), |_| String::new())]
    );
}

type ServeError = Error<std::io::ErrorKind, std::io::ErrorKind>;

/// Serves `frames` with a read buffer and a pipe of the given sizes; the frames served, and the answers.
fn serve<const REPORT: usize>(
    frames: &[Frame],
    buffer: usize,
    pipe: usize,
) -> (Result<u64, ServeError>, Vec<Frame>) {
    serve_bytes_with(&mut DigestServer::<REPORT>::new(), &encode(frames), buffer, pipe)
}

fn serve_bytes<const REPORT: usize>(stream: &[u8]) -> (Result<u64, ServeError>, Vec<Frame>) {
    serve_bytes_with(&mut DigestServer::<REPORT>::new(), stream, 64, 64)
}

fn serve_bytes_with<const REPORT: usize>(
    server: &mut DigestServer<REPORT>,
    stream: &[u8],
    buffer: usize,
    pipe: usize,
) -> (Result<u64, ServeError>, Vec<Frame>) {
    let (near, far) = tokio::io::duplex(pipe);
    let (mut reader, mut writer) = ends(near, buffer);
    let serving = async move {
        let result = server.run(&mut reader, &mut writer).await;
        // The pipe is dropped here, which is the end of the answers.
        result.map(|()| server.frames())
    };
    let (read, write) = tokio::io::split(far);
    let mut answers =
        FrameReader::new(FromTokio::new(read), vec![0; 64], Decoder::new([0; 255], &Limits::DEFAULT));
    let client = async move {
        let send = async {
            let mut write = FromTokio::new(write);
            // The server may hang up in the middle of nonsense.
            let _ = write.write_all(stream).await;
            let _ = tokio::io::AsyncWriteExt::shutdown(write.inner_mut()).await;
        };
        let receive = async {
            let mut received = Vec::new();
            while let Some(frame) = receive(&mut answers).await.unwrap() {
                received.push(frame);
            }
            received
        };
        join(send, receive).await.1
    };
    let (served, answers) =
        block_on(with_timeout(Duration::from_secs(60), join(serving, client))).expect("the test hangs");
    (served.map_err(kinds), answers)
}

fn kinds(error: Error<std::io::Error, std::io::Error>) -> ServeError {
    use tej_core::io::WriteError;
    match error {
        Error::Read(ReadError::Io(error)) => Error::Read(ReadError::Io(error.kind())),
        Error::Read(ReadError::Decode(error)) => Error::Read(ReadError::Decode(error)),
        Error::Write(WriteError::Io(error)) => Error::Write(WriteError::Io(error.kind())),
        Error::Write(WriteError::Closed) => Error::Write(WriteError::Closed),
        Error::Write(WriteError::Encode(error)) => Error::Write(WriteError::Encode(error)),
        Error::Write(WriteError::Interrupted) => Error::Write(WriteError::Interrupted),
        Error::PeerSilent => Error::PeerSilent,
    }
}

type Reader = FrameReader<FromTokio<ReadHalf<DuplexStream>>, Vec<u8>>;
type Writer = FrameWriter<FromTokio<WriteHalf<DuplexStream>>, Vec<u8>>;

fn ends(stream: DuplexStream, buffer: usize) -> (Reader, Writer) {
    let (read, write) = tokio::io::split(stream);
    let decoder = Decoder::new([0; 255], &Limits::DEFAULT);
    (
        FrameReader::new(FromTokio::new(read), vec![0; buffer], decoder),
        FrameWriter::new(FromTokio::new(write), vec![0; buffer]),
    )
}

fn encode(frames: &[Frame]) -> Vec<u8> {
    let mut writer = FrameWriter::new(Vec::new(), [0; 0]);
    block_on(async {
        for frame in frames {
            send(&mut writer, frame).await.unwrap();
        }
    });
    writer.into_parts().0
}

/// The report that is due, computed from the frame.
fn report(frame: &Frame, shown: impl Fn(&str) -> String) -> String {
    let mut report = String::new();
    for (name, data) in &frame.files {
        let name = shown(std::str::from_utf8(name).unwrap());
        report += &format!("{} {} {name}\n", hex(data), data.len());
    }
    report + &format!("message {} {}\n", hex(&frame.message), frame.message.len())
}

fn hex(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(answer: &Frame) -> String {
    String::from_utf8(answer.message.clone()).unwrap()
}
