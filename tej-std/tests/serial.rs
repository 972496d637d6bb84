//! A serial line, of which a pseudo-terminal has the other end.
#![cfg(unix)]

use std::time::Duration;

use tej_std::{Config, OutgoingFrame, Status, serial};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use tokio_serial::{SerialPort, SerialStream};

#[tokio::test]
async fn files_and_messages_cross_a_line_both_ways() {
    let (ours, theirs) = SerialStream::pair().unwrap();
    let content: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let side = |stream: SerialStream| async {
        let (mut receiver, mut sender) = serial::over(stream, &Config::default()).split();
        let send = async {
            let frame = OutgoingFrame::new(Status::ZERO).bytes("file", &content[..]).message("done");
            sender.send_frame(frame).await.unwrap();
        };
        let receive = async {
            let mut frame = receiver.next_frame().await.unwrap().unwrap();
            let mut file = frame.next_file().await.unwrap().unwrap();
            let mut received = Vec::new();
            file.read_to_end(&mut received).await.unwrap();
            assert!(received == content, "the file differs");
            assert_eq!(frame.message().await.unwrap(), b"done");
        };
        tokio::join!(send, receive);
        // Whoever is done first keeps the line open: what is still on it would be gone.
        (receiver, sender)
    };
    let both = async { tokio::join!(side(ours), side(theirs)) };
    timeout(Duration::from_secs(60), both).await.expect("it stands still");
}

#[tokio::test]
async fn a_line_is_opened_by_its_path_and_a_missing_one_is_an_error() {
    assert!(serial::open("/dev/no-such-line", 115_200, &Config::default()).is_err());
    let (ours, theirs) = SerialStream::pair().unwrap();
    let path = theirs.name().expect("a pseudo-terminal has a name");
    drop(theirs);
    let (mut receiver, _sender) = serial::open(&path, 115_200, &Config::default()).unwrap().split();
    let (_, mut sender) = serial::over(ours, &Config::default()).split();
    sender.send_message(Status::ZERO, b"Hello").await.unwrap();
    let mut frame = receiver.next_frame().await.unwrap().unwrap();
    assert_eq!(frame.message().await.unwrap(), b"Hello");
}
