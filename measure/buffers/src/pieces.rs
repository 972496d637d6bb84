//! In how many pieces a device gets a file, by its read buffer.

use embassy_time::Duration;
use tej_core::{Event, Status};
use tej_embassy::{Buffers, Connection};
use tej_testkit::Wire;

use crate::{figure, pair};

pub(crate) fn print() {
    for (read, run) in READS {
        figure(&format!("pieces/{read}"), run());
    }
}

/// The pieces of a file of 64 KiB by `next`, or by `next_with` where there is no read buffer.
fn pieces<const READ: usize>() -> u32 {
    let buffers = Buffers::<4096, 4096, READ>::new();
    let receive = async |device: &mut Connection<'_, 'static>, _: &Wire| {
        let (receiver, _) = device.split();
        let (mut pieces, mut bytes, mut ended) = (0, 0, false);
        let mut take = |event: Event<'_>| {
            if let Event::FileData(piece) = event {
                pieces += 1;
                bytes += piece.len();
            }
            event == Event::FrameEnd
        };
        while !ended {
            let result = match READ {
                0 => receiver.next_with(&mut take).await,
                _ => receiver.next().await.map(|event| event.map(&mut take)),
            };
            ended = result.expect("the peer sends frames").expect("a whole frame");
        }
        assert!(bytes == FILE.len(), "{bytes} bytes have arrived");
        pieces
    };
    let send = async |peer: &mut Connection<'_, 'static>, _: &Wire| {
        let (_, sender) = peer.split();
        let send = async {
            sender.start_frame(Status::ZERO, 1).await?;
            sender.start_file(b"file", FILE.len() as u64).await?;
            sender.write_payload(&FILE).await?;
            sender.start_message(0).await?;
            sender.flush().await
        };
        send.await.expect("the device reads");
        0
    };
    pair::run(buffers, Duration::from_millis(1), receive, send).0
}

static FILE: [u8; 64 << 10] = [0x5a; 64 << 10];

type Read = (usize, fn() -> u32);
const READS: [Read; 7] = [
    (0, pieces::<0>),
    (64, pieces::<64>),
    (256, pieces::<256>),
    (512, pieces::<512>),
    (1460, pieces::<1460>),
    (2048, pieces::<2048>),
    (4096, pieces::<4096>),
];
