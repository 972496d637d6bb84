//! Sends a generated file, then keeps the connection alive.

use core::borrow::Borrow;
use core::convert::Infallible;
use core::fmt::Write as _;
use core::future::pending;
use core::pin::pin;

use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Instant, Timer};
use embedded_io_async::{Read, Write};
use heapless::String;
use sha2::{Digest, Sha256};
use tej_core::io::{FrameReader, FrameWriter, WriteError};
use tej_core::{KeepAlive, KeepAliveAction, KeepAliveConfig, Limits, Status};

use crate::fmt::info;
use crate::hex::Hex;
use crate::{Error, Pattern};

/// A device that has a file for whoever it is connected to.
///
/// It sends one frame of status 0 with the file `device.bin`, the first `size` bytes of [`Pattern`] from `seed`, and the
/// message `seed=<n> size=<n> sha256=<64 lower-case hex digits>`. The file is made in the writer's staging buffer and
/// is nowhere whole, so it may be far larger than the memory. Afterwards pings keep the connection alive.
///
/// Whatever the peer sends is received at the same time and discarded, so two peers that both push get there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DeviceFile {
    /// The seed of the file.
    pub seed: u64,
    /// Bytes of the file.
    pub size: u64,
    /// A ping is sent so long after the last frame; `None` for no pings.
    pub ping_interval: Option<Duration>,
    /// A peer from which nothing comes for so long is given up. `None` for one that may have nothing to say, such as a
    /// desktop that only receives.
    pub idle_timeout: Option<Duration>,
}

impl DeviceFile {
    /// Serves one connection from its start until the peer ends its stream (`Ok`), or silence or an error. A peer that
    /// ends only its own direction still gets the whole file. Closing the connection is the caller's.
    ///
    /// The writer's staging buffer must have a length: the file is made in it.
    ///
    /// Silence is noticed between one and two idle timeouts after the last byte: only whole events can be told from
    /// nothing at once, and the bytes of an unfinished one are looked for when the timeout is due.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the connection good for closing only.
    pub async fn run<R, B, N, L, W, S>(
        &self,
        reader: &mut FrameReader<R, B, N, L>,
        writer: &mut FrameWriter<W, S>,
    ) -> Result<(), Error<R::Error, W::Error>>
    where
        R: Read,
        B: AsRef<[u8]> + AsMut<[u8]>,
        N: AsRef<[u8]> + AsMut<[u8]>,
        L: Borrow<Limits>,
        W: Write,
        S: AsRef<[u8]> + AsMut<[u8]>,
    {
        let mut receive = pin!(self.receive(reader));
        let peer_has_ended = {
            let mut send = pin!(self.send(writer));
            match select(receive.as_mut(), send.as_mut()).await {
                Either::First(received) => {
                    received?;
                    send.await?;
                    true
                }
                Either::Second(sent) => {
                    sent?;
                    false
                }
            }
        };
        if peer_has_ended {
            return Ok(());
        }
        match select(receive, self.ping(writer)).await {
            Either::First(received) => received,
            Either::Second(Err(error)) => Err(error.into()),
            Either::Second(Ok(never)) => match never {},
        }
    }

    async fn send<W, S>(&self, writer: &mut FrameWriter<W, S>) -> Result<(), WriteError<W::Error>>
    where
        W: Write,
        S: AsRef<[u8]> + AsMut<[u8]>,
    {
        let mut pattern = Pattern::new(self.seed);
        let mut hash = Sha256::new();
        writer.start_frame(Status::ZERO, 1).await?;
        writer.start_file(NAME, self.size).await?;
        while writer.encoder().payload_remaining() > 0 {
            let space = writer.payload_space().await?;
            pattern.fill(space);
            hash.update(&*space);
            let n = space.len();
            writer.commit_payload(n)?;
        }
        let message = self.message(hash);
        writer.start_message(message.len() as u64).await?;
        writer.write_payload(message.as_bytes()).await?;
        writer.push().await?;
        info!("sent device.bin: {} bytes", self.size);
        Ok(())
    }

    fn message(&self, hash: Sha256) -> String<MESSAGE> {
        let mut message = String::new();
        let Self { seed, size, .. } = self;
        let fits = write!(message, "seed={seed} size={size} sha256={}", Hex(&hash.finalize())).is_ok();
        debug_assert!(fits, "MESSAGE is too small");
        message
    }

    async fn ping<W, S>(&self, writer: &mut FrameWriter<W, S>) -> Result<Infallible, WriteError<W::Error>>
    where
        W: Write,
        S: AsRef<[u8]> + AsMut<[u8]>,
    {
        let ping_interval = self.ping_interval.map(|interval| interval.as_ticks());
        let mut watch = KeepAlive::new(KeepAliveConfig { ping_interval, idle_timeout: None }, now());
        let mut pings = 0u32;
        loop {
            match watch.poll(now()) {
                KeepAliveAction::SendPing => {
                    writer.send_ping().await?;
                    watch.sent(now());
                    pings = pings.wrapping_add(1);
                    info!("ping {} sent", pings);
                }
                KeepAliveAction::Wait { until: Some(until) } => Timer::at(Instant::from_ticks(until)).await,
                KeepAliveAction::Wait { until: None } | KeepAliveAction::PeerSilent => pending().await,
            }
        }
    }

    async fn receive<R, B, N, L, W>(
        &self,
        reader: &mut FrameReader<R, B, N, L>,
    ) -> Result<(), Error<R::Error, W>>
    where
        R: Read,
        B: AsRef<[u8]> + AsMut<[u8]>,
        N: AsRef<[u8]> + AsMut<[u8]>,
        L: Borrow<Limits>,
    {
        let idle_timeout = self.idle_timeout.map(|timeout| timeout.as_ticks());
        let mut watch = KeepAlive::new(KeepAliveConfig { ping_interval: None, idle_timeout }, now());
        loop {
            let offset = reader.offset();
            let timeout_is_due = match select(reader.next(), silence(&watch)).await {
                Either::First(event) => {
                    if event?.is_none() {
                        return Ok(());
                    }
                    false
                }
                Either::Second(()) => true,
            };
            if timeout_is_due && reader.offset() == offset {
                return Err(Error::PeerSilent);
            }
            watch.received(now());
        }
    }
}

/// Waits until the peer has been silent for too long.
async fn silence(watch: &KeepAlive) {
    loop {
        match watch.poll(now()) {
            KeepAliveAction::PeerSilent => return,
            KeepAliveAction::Wait { until: Some(until) } => Timer::at(Instant::from_ticks(until)).await,
            KeepAliveAction::Wait { until: None } | KeepAliveAction::SendPing => pending().await,
        }
    }
}

/// The clock of [`KeepAlive`].
fn now() -> u64 {
    Instant::now().as_ticks()
}

const NAME: &[u8] = b"device.bin";
/// Bytes of the longest message: its words, two numbers of 20 digits and a digest of 64.
const MESSAGE: usize = "seed= size= sha256=".len() + 20 + 20 + 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_message_fits() {
        let longest = DeviceFile { seed: u64::MAX, size: u64::MAX, ping_interval: None, idle_timeout: None };
        let message = longest.message(Sha256::new());
        assert_eq!(
            message,
            "seed=18446744073709551615 size=18446744073709551615 \
             sha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(message.len(), MESSAGE);
    }
}
