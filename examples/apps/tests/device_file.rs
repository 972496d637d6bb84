//! The sender of a generated file, over pipes in memory.

use core::future::Future;

use embassy_futures::join::join;
use embassy_time::{Duration, Timer, with_timeout};
use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::Write;
use sha2::{Digest, Sha256};
use tej_apps::{DeviceFile, Error, GeneratedFile};
use tej_core::io::{FrameReader, FrameWriter, ReadError};
use tej_core::{DecodeErrorKind, Decoder, Limits};
use tej_testkit::{Frame, block_on, bytes, receive, send};
use tokio::io::{AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};

#[test]
fn the_file_is_the_pattern_and_the_message_says_so() {
    for size in [0usize, 1, 7, 8, 9, 100_003] {
        let file = DeviceFile { file: GeneratedFile { seed: 1_234_567, size: size as u64 }, ..QUIET };
        let (result, frame) =
            with_peer(file, 256, async |mut reader, _writer| receive(&mut reader).await.unwrap());
        // The peer hung up after the frame, which is no error.
        assert!(result.is_ok(), "{result:?}");
        let data = splitmix64(1_234_567, size);
        let digest: String = Sha256::digest(&data).iter().map(|byte| format!("{byte:02x}")).collect();
        let message = format!("seed=1234567 size={size} sha256={digest}").into_bytes();
        assert!(frame == Some(Frame { message, ..Frame::file("device.bin", data) }), "size {size}");
    }
}

#[test]
fn pings_follow_the_file_until_the_peer_closes() {
    let file = DeviceFile { ping_interval: Some(Duration::from_millis(5)), ..QUIET };
    let (result, frames) = with_peer(file, 256, async |mut reader, _writer| {
        let mut frames = Vec::new();
        while frames.len() < 5 {
            frames.push(receive(&mut reader).await.unwrap().unwrap());
        }
        frames
    });
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(frames[0].files.len(), 1);
    for ping in &frames[1..] {
        assert_eq!(*ping, Frame { status: 2, ..Frame::default() });
    }
}

#[test]
fn two_peers_that_both_push_first_get_there() {
    let file = DeviceFile { file: GeneratedFile { size: 200_000, ..QUIET.file }, ..QUIET };
    let pushed = Frame::file("push", bytes(1, 200_000));
    let (result, frame) = with_peer(file, 64, async |mut reader, mut writer| {
        // All of it before the first read; the pipe holds 64 bytes.
        send(&mut writer, &pushed).await.unwrap();
        receive(&mut reader).await.unwrap().unwrap()
    });
    assert!(result.is_ok(), "{result:?}");
    assert!(frame.files[0].1 == splitmix64(QUIET.file.seed, 200_000));
}

#[test]
fn a_peer_that_only_receives_is_not_given_up_without_an_idle_timeout() {
    let file = DeviceFile { ping_interval: Some(Duration::from_millis(10)), ..QUIET };
    let (result, pings) = with_peer(file, 256, async |mut reader, _writer| {
        receive(&mut reader).await.unwrap().unwrap();
        for _ in 0..20 {
            assert_eq!(receive(&mut reader).await.unwrap().unwrap().status, 2);
        }
        20
    });
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(pings, 20);
}

#[test]
fn a_peer_that_ends_its_direction_at_once_still_gets_the_whole_file() {
    let file = DeviceFile {
        file: GeneratedFile { size: 100_000, ..QUIET.file },
        ping_interval: Some(Duration::from_millis(1)),
        ..QUIET
    };
    let (result, frames) = with_peer(file, 64, async |mut reader, writer| {
        writer.into_parts().0.into_inner().shutdown().await.unwrap();
        let frame = receive(&mut reader).await.unwrap().unwrap();
        // No pings to somebody who has said goodbye.
        (frame, receive(&mut reader).await.unwrap())
    });
    assert!(result.is_ok(), "{result:?}");
    assert!(frames.0.files[0].1 == splitmix64(QUIET.file.seed, 100_000));
    assert_eq!(frames.1, None);
}

#[test]
fn a_silent_peer_is_given_up_with_an_idle_timeout() {
    let file = DeviceFile { idle_timeout: Some(Duration::from_millis(50)), ..QUIET };
    let (result, end) = with_peer(file, 256, async |mut reader, mut writer| {
        // Something at first, then nothing: the pipe stays open until the device hangs up.
        send(&mut writer, &Frame::message("hello")).await.unwrap();
        receive(&mut reader).await.unwrap().unwrap();
        receive(&mut reader).await.unwrap()
    });
    assert!(matches!(result, Err(Error::PeerSilent)), "{result:?}");
    assert_eq!(end, None);
}

#[test]
fn bytes_of_an_unfinished_event_are_life() {
    let file = DeviceFile { idle_timeout: Some(Duration::from_millis(500)), ..QUIET };
    let (result, ()) = with_peer(file, 256, async |mut reader, writer| {
        receive(&mut reader).await.unwrap().unwrap();
        // The 18 bytes of a ping; the first event is complete with the tenth, after more than the timeout.
        let mut pipe = writer.into_parts().0;
        for byte in b"\x82\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" {
            pipe.write_all(&[*byte]).await.unwrap();
            Timer::after_millis(60).await;
        }
    });
    assert!(result.is_ok(), "{result:?}");
}

#[test]
fn a_fault_of_the_peer_is_typed() {
    let (result, ()) = with_peer(QUIET, 256, async |mut reader, writer| {
        receive(&mut reader).await.unwrap().unwrap();
        writer.into_parts().0.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap();
        assert_eq!(receive(&mut reader).await.unwrap(), None);
    });
    let Err(Error::Read(ReadError::Decode(error))) = result else { panic!("{result:?}") };
    assert_eq!((error.kind, error.offset), (DecodeErrorKind::BadStartBit, 0));
}

#[test]
fn a_peer_that_hangs_up_in_the_middle_is_an_error() {
    let file = DeviceFile { file: GeneratedFile { size: 100_000, ..QUIET.file }, ..QUIET };
    let (result, ()) = with_peer(file, 64, async |mut reader, writer| {
        reader.next().await.unwrap();
        drop((reader, writer));
    });
    assert!(result.is_err());
}

/// Some file, no pings, no idle timeout.
const QUIET: DeviceFile =
    DeviceFile { file: GeneratedFile { seed: 42, size: 1000 }, ping_interval: None, idle_timeout: None };

type Reader = FrameReader<FromTokio<ReadHalf<DuplexStream>>, Vec<u8>>;
type Writer = FrameWriter<FromTokio<WriteHalf<DuplexStream>>, Vec<u8>>;
type RunError = Error<std::io::Error, std::io::Error>;

/// Runs the device against `peer`, whose end of the pipe is dropped when it returns; the pipe holds `pipe` bytes.
fn with_peer<T, F: Future<Output = T>>(
    file: DeviceFile,
    pipe: usize,
    peer: impl FnOnce(Reader, Writer) -> F,
) -> (Result<(), RunError>, T) {
    let (near, far) = tokio::io::duplex(pipe);
    let (mut reader, mut writer) = ends(near);
    let (peer_reader, peer_writer) = ends(far);
    let device = async move { file.run(&mut reader, &mut writer).await };
    let both = join(device, peer(peer_reader, peer_writer));
    block_on(with_timeout(Duration::from_secs(60), both)).expect("the test hangs")
}

fn ends(stream: DuplexStream) -> (Reader, Writer) {
    let (read, write) = tokio::io::split(stream);
    let decoder = Decoder::new([0; 255], &Limits::DEFAULT);
    (
        FrameReader::new(FromTokio::new(read), vec![0; 100], decoder),
        FrameWriter::new(FromTokio::new(write), vec![0; 100]),
    )
}

/// The pattern by its definition, byte by byte.
fn splitmix64(seed: u64, len: usize) -> Vec<u8> {
    let outputs = (1..).map(|n: u64| {
        let z = seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    });
    outputs.flat_map(u64::to_le_bytes).take(len).collect()
}
