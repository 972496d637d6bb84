//! How fast a file goes from and to a device, by the rings of its socket and the round trip.

use embassy_time::{Duration, Instant};
use tej_core::{Event, Status};
use tej_embassy::{Buffers, Connection};

use crate::{figure, pair};

pub(crate) fn print() {
    for (ring, ram, run) in RINGS {
        figure(&format!("buffers/ram/buffers/{ring}"), ram);
        for way in [Way::ToPeer, Way::FromPeer] {
            for millis in ROUND_TRIPS {
                let rate = run(way, Duration::from_millis(millis));
                figure(&format!("rate/{}/{ring}/{millis}ms", way.name()), format_args!("{rate:.1}"));
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Way {
    ToPeer,
    FromPeer,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::ToPeer => "to_peer",
            Self::FromPeer => "from_peer",
        }
    }
}

/// A size of both rings, the bytes of all buffers then, and what measures with it.
type Ring = (usize, usize, fn(Way, Duration) -> f64);

const fn ring<const RING: usize>() -> Ring {
    (RING, size_of::<Buffers<RING, RING>>(), rate::<RING>)
}

/// KiB in a second of a file of 1 MiB, from its first byte's arrival to its last one's.
fn rate<const RING: usize>(way: Way, round_trip: Duration) -> f64 {
    let buffers = Buffers::<RING, RING>::new();
    let took = match way {
        Way::ToPeer => {
            pair::run(
                buffers,
                round_trip,
                async |device, _| send(device).await,
                async |peer, _| receive(peer).await,
            )
            .1
        }
        Way::FromPeer => {
            pair::run(
                buffers,
                round_trip,
                async |device, _| receive(device).await,
                async |peer, _| send(peer).await,
            )
            .0
        }
    };
    let micros = u32::try_from(took.as_micros()).expect("less than an hour");
    f64::from(LEN) / 1024.0 / (f64::from(micros) / 1e6)
}

/// Sends the file, a piece of the staging buffer's size at a time, and waits until it has arrived.
async fn send(connection: &mut Connection<'_, 'static>) -> Duration {
    let (_, sender) = connection.split();
    let start = Instant::now();
    let send = async {
        sender.start_frame(Status::ZERO, 1).await?;
        sender.start_file(b"file", LEN.into()).await?;
        while sender.encoder().payload_remaining() > 0 {
            let space = sender.payload_space().await?;
            space.fill(0x5a);
            let n = space.len();
            sender.commit_payload(n)?;
        }
        sender.start_message(0).await?;
        sender.flush().await
    };
    send.await.expect("the peer reads");
    start.elapsed()
}

async fn receive(connection: &mut Connection<'_, 'static>) -> Duration {
    let (receiver, _) = connection.split();
    let (mut start, mut last, mut bytes) = (None, Instant::now(), 0);
    while let Some(event) = receiver.next().await.expect("the peer sends frames") {
        match event {
            Event::FileData(piece) => {
                last = Instant::now();
                start.get_or_insert(last);
                bytes += piece.len();
            }
            Event::FrameEnd => break,
            _ => {}
        }
    }
    assert!(bytes == LEN as usize, "{bytes} bytes have arrived");
    last - start.expect("a first byte")
}

const LEN: u32 = 1 << 20;

/// One, two, three and four segments of TCP over Ethernet, and powers of two.
const RINGS: [Ring; 8] = [
    ring::<1460>(),
    ring::<2048>(),
    ring::<2920>(),
    ring::<4096>(),
    ring::<4380>(),
    ring::<5840>(),
    ring::<8192>(),
    ring::<16_384>(),
];

/// A wire, a house's network, another city.
const ROUND_TRIPS: [u64; 3] = [1, 10, 50];
