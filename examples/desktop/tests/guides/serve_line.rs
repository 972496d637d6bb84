//! Serves a line without connections, as docs/guides/transports.md shows.

use embassy_time::{Duration, with_timeout};
use embedded_io_async::Read;
use tej_core::io::FrameReader;
use tej_core::{Decoder, DefaultLimits, Event};

/// Serves whoever is on the line. The line's `read` must lose nothing when it is dropped.
pub(crate) async fn serve(mut line: impl Read, mut take: impl FnMut(Event<'_>)) -> ! {
    loop {
        let mut reader = FrameReader::new(&mut line, [0; 64], Decoder::new([0; 32], DefaultLimits));
        let is_fault = loop {
            if let Ok(next) = with_timeout(GAP, reader.next()).await {
                match next {
                    Ok(Some(event)) => take(event),
                    _ => break true, // of the stream, or of the line: an overrun
                }
            } else if !reader.is_between_frames() {
                break false; // half a frame, and silence: the peer has given it up
            }
        };
        // What is left of a fault ends at the next silence.
        while is_fault && matches!(with_timeout(GAP, line.read(&mut [0; 16])).await, Ok(Ok(1..))) {}
    }
}

/// Longer than a desktop may be busy between two bytes of a frame.
const GAP: Duration = Duration::from_secs(1);
