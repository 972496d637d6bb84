//! Signs of life.

use core::future::Future;
use core::pin::pin;

use embassy_futures::select::{Either, select};
use embassy_time::{Duration, with_timeout};
use embedded_io_async::Write;
use tej_core::io::{FrameWriter, WriteError};

/// Waits for `waiting` with signs of life: whenever `interval` passes, a ping goes to the peer, which may have an idle
/// timeout. `waiting` is what has the next frame to send, a queue or a sensor, or the receiver, or both; it is polled
/// while a ping is written, too.
///
/// Over any transport. Choose less than half of the peer's idle timeout. A ping is not answered: for a peer that never
/// sends, the [`Config::idle_timeout`](crate::Config::idle_timeout) here is to be `None`, and
/// [`Config::lost_timeout`](crate::Config::lost_timeout) is what notices that it is gone.
///
/// ```
/// use embassy_time::{Duration, Timer};
/// use tej_core::io::FrameWriter;
/// use tej_embassy::with_pings;
///
/// # tej_testkit::block_on(async {
/// let mut wire = [0; 64];
/// let mut sender = FrameWriter::new(&mut wire[..], [0; 32]);
/// let reading = async {
///     Timer::after_secs(50).await; // a sensor that is seldom ready
///     21
/// };
/// assert_eq!(with_pings(&mut sender, Duration::from_secs(20), reading).await, Ok(21));
/// assert_eq!((wire[0], wire[18], wire[36]), (0x82, 0x82, 0)); // two pings
/// # });
/// ```
///
/// # Errors
///
/// Those of [`FrameWriter::send_ping`]: the ping, and so the connection, could not be written to, or the sender is
/// inside a frame. `waiting` is dropped then.
///
/// # Cancel safety
///
/// As for `send_ping`; `waiting` is dropped with it. When it is ready while a ping is being written, that is finished
/// first.
pub async fn with_pings<W, B, F>(
    sender: &mut FrameWriter<W, B>,
    interval: Duration,
    waiting: F,
) -> Result<F::Output, WriteError<W::Error>>
where
    W: Write,
    B: AsRef<[u8]> + AsMut<[u8]>,
    F: Future,
{
    let mut waiting = pin!(waiting);
    loop {
        if let Ok(output) = with_timeout(interval, waiting.as_mut()).await {
            return Ok(output);
        }
        let mut ping = pin!(sender.send_ping());
        match select(ping.as_mut(), waiting.as_mut()).await {
            Either::First(sent) => sent?,
            Either::Second(output) => {
                ping.await?;
                return Ok(output);
            }
        }
    }
}
