//! How many segments small frames take on the wire, by the staging buffer.

use embassy_time::{Duration, Timer};
use tej_core::io::WriteError;
use tej_core::{Event, Status};
use tej_embassy::{Buffers, Connection, Error, Sender};
use tej_testkit::{Direction, Wire};

use crate::{figure, pair};

pub(crate) fn print() {
    for (stage, run) in STAGES {
        for what in [What::Message, What::Fed, What::File, What::SlowFile] {
            figure(&format!("segments/{}/{stage}", what.name()), format_args!("{:.2}", run(what)));
        }
    }
}

#[derive(Clone, Copy)]
enum What {
    /// A frame of 32 bytes as its message, now and then.
    Message,
    /// The same, staged for a write with those that follow.
    Fed,
    /// A frame of a file of 512 bytes that is there as a whole, now and then.
    File,
    /// The same file, which comes in pieces of 64 bytes, a millisecond each.
    SlowFile,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Fed => "fed_message",
            Self::File => "file",
            Self::SlowFile => "slow_file",
        }
    }

    async fn send(self, sender: &mut Sender<'_, '_>) -> Result<(), WriteError<Error>> {
        match self {
            Self::Message => sender.send_message(Status::ZERO, &[0x5a; MESSAGE]).await?,
            Self::Fed => sender.feed_message(Status::ZERO, &[0x5a; MESSAGE]).await?,
            Self::File | Self::SlowFile => {
                sender.start_frame(Status::ZERO, 1).await?;
                sender.start_file(b"file", FILE as u64).await?;
                for _ in 0..FILE / PIECE {
                    if matches!(self, Self::SlowFile) {
                        Timer::after(PIECE_TIME).await;
                    }
                    sender.write_payload(&[0x5a; PIECE]).await?;
                }
                sender.start_message(0).await?;
                sender.push().await?;
            }
        }
        Timer::after(PAUSE).await;
        Ok(())
    }
}

/// Segments with data for each frame.
fn segments<const STAGE: usize>(what: What) -> f64 {
    let buffers = Buffers::<4096, 4096, 2048, STAGE>::new();
    let send = async |device: &mut Connection<'_, 'static>, wire: &Wire| {
        // The handshake's own segments are over.
        Timer::after(Duration::from_millis(100)).await;
        let before = wire.carried_of(Direction::Back);
        let (_, sender) = device.split();
        for _ in 0..FRAMES {
            what.send(sender).await.expect("the peer reads");
        }
        sender.flush().await.expect("the peer reads");
        // All that the device sends is data: the peer sends none that it would have to acknowledge.
        wire.carried_of(Direction::Back) - before
    };
    let receive = async |peer: &mut Connection<'_, 'static>, _: &Wire| {
        let (receiver, _) = peer.split();
        let mut frames = 0;
        while frames < FRAMES {
            if receiver.next().await.expect("the device sends frames") == Some(Event::FrameEnd) {
                frames += 1;
            }
        }
        0
    };
    let (segments, _) = pair::run(buffers, Duration::from_millis(10), send, receive);
    f64::from(u32::try_from(segments).expect("some thousands")) / f64::from(FRAMES)
}

const FRAMES: u32 = 100;
const MESSAGE: usize = 32;
const FILE: usize = 512;
const PIECE: usize = 64;
const PIECE_TIME: Duration = Duration::from_millis(1);
/// More than it takes until a frame is acknowledged: none is sent together with the next because of the one before.
const PAUSE: Duration = Duration::from_millis(50);

type Stage = (usize, fn(What) -> f64);
const STAGES: [Stage; 4] =
    [(1, segments::<1>), (64, segments::<64>), (512, segments::<512>), (1460, segments::<1460>)];
