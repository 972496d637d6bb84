//! When to ping, and when a silent peer is dead, without a clock.

/// Decides when a ping is due and when a silent peer is to be given up.
///
/// Time is an input: every call is told `now`, in the caller's own ticks (milliseconds, say) from any start, as
/// long as they never go backwards. Any byte received is life; any frame sent postpones the next ping. A ping
/// that is received is life and nothing more: it is never answered with a ping, for two peers that did so would
/// never stop.
///
/// ```
/// use tej_core::{KeepAlive, KeepAliveAction, KeepAliveConfig};
///
/// let config = KeepAliveConfig { ping_interval: Some(2_000), idle_timeout: Some(5_000) };
/// let mut keep_alive = KeepAlive::new(config, 0);
/// assert_eq!(keep_alive.poll(0), KeepAliveAction::Wait { until: Some(2_000) });
/// assert_eq!(keep_alive.poll(2_000), KeepAliveAction::SendPing);
/// keep_alive.sent(2_000);
/// keep_alive.received(2_010);
/// assert_eq!(keep_alive.poll(2_010), KeepAliveAction::Wait { until: Some(4_000) });
/// keep_alive.sent(4_000);
/// keep_alive.sent(6_000);
/// assert_eq!(keep_alive.poll(7_010), KeepAliveAction::PeerSilent);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct KeepAlive {
    config: KeepAliveConfig,
    last_sent: u64,
    last_received: u64,
}

impl KeepAlive {
    /// Starts both clocks at `now`, the moment of the connection.
    pub const fn new(config: KeepAliveConfig, now: u64) -> Self {
        Self { config, last_sent: now, last_received: now }
    }

    /// At least one byte came from the peer.
    pub fn received(&mut self, now: u64) {
        self.last_received = now;
    }

    /// A frame, a ping or a part of either went to the peer.
    pub fn sent(&mut self, now: u64) {
        self.last_sent = now;
    }

    /// What to do at `now`. Call it again at the deadline it names and after every [`sent`](Self::sent); bytes that
    /// are received only move deadlines further away.
    pub fn poll(&self, now: u64) -> KeepAliveAction {
        let dead = self.config.idle_timeout.map(|timeout| self.last_received.saturating_add(timeout));
        let ping = self.config.ping_interval.map(|interval| self.last_sent.saturating_add(interval));
        if dead.is_some_and(|at| now >= at) {
            return KeepAliveAction::PeerSilent;
        }
        if ping.is_some_and(|at| now >= at) {
            return KeepAliveAction::SendPing;
        }
        let until = match (dead, ping) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        KeepAliveAction::Wait { until }
    }
}

/// What [`KeepAlive`] is to watch; ticks of the caller's clock. `None` turns a duty off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct KeepAliveConfig {
    /// Send a ping when nothing was sent for so long. Choose less than half of the peer's idle timeout.
    pub ping_interval: Option<u64>,
    /// Give the peer up when nothing was received for so long.
    pub idle_timeout: Option<u64>,
}

/// The answer of [`KeepAlive::poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum KeepAliveAction {
    /// Nothing is due; look again at `until`, or never when both duties are off.
    Wait {
        /// The next deadline.
        until: Option<u64>,
    },
    /// Send an empty frame with [`Status::PING`](crate::Status::PING), then call [`KeepAlive::sent`].
    SendPing,
    /// The peer was silent for the idle timeout: close the connection.
    PeerSilent,
}
