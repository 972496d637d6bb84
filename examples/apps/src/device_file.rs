//! Sends a generated file, then keeps the connection alive.

use core::borrow::Borrow;
use core::convert::Infallible;
use core::future::pending;
use core::pin::pin;

use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Instant, Timer};
use embedded_io_async::{Read, Write};
use tej_core::io::{FrameReader, FrameWriter, WriteError};
use tej_core::{KeepAlive, KeepAliveAction, KeepAliveConfig, Limits};

use crate::fmt::info;
use crate::{Error, GeneratedFile};

/// A device that has a file for whoever it is connected to.
///
/// It sends one frame, the [`GeneratedFile`]'s. Afterwards pings keep the connection alive.
///
/// Whatever the peer sends is received at the same time and discarded, so two peers that both push get there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DeviceFile {
    /// What it has.
    pub file: GeneratedFile,
    /// A ping is sent so long after the last frame; `None` for no pings.
    pub ping_interval: Option<Duration>,
    /// A peer from which nothing comes for so long is given up. `None` for one that may have nothing to say, such as a
    /// desktop that only receives.
    pub idle_timeout: Option<Duration>,
}

impl DeviceFile {
    /// Sends `file` to a desktop: pings every other second, and is content with a peer that never says anything, as one that
    /// only receives has nothing to say.
    pub const fn new(file: GeneratedFile) -> Self {
        Self { file, ping_interval: Some(Duration::from_secs(2)), idle_timeout: None }
    }

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
            let mut send = pin!(self.file.send(writer));
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
