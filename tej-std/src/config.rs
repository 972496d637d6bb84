//! What a connection may cost.

use std::time::Duration;

use crate::Limits;

/// Settings of a connection; `Config::default()` suits most programs.
///
/// ```
/// use std::time::Duration;
/// use tej_std::{Config, Limits, Timeouts};
///
/// let config = Config {
///     limits: Limits { message: 64 * 1024, ..Limits::DEFAULT },
///     timeouts: Timeouts { idle: Some(Duration::from_secs(10)), ..Timeouts::PATIENT },
///     ..Config::default()
/// };
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// What a peer may announce in one frame.
    pub limits: Limits,
    /// The longest file name accepted, in bytes. So much memory is taken for a connection once a read has cut a name in
    /// two.
    pub name_limit: u16,
    /// How long a peer may take.
    pub timeouts: Timeouts,
    /// Bytes up to which the receive buffer grows while a peer keeps it full, which is also the largest chunk of a file
    /// or message; at least 1.
    pub receive_buffer: usize,
    /// Bytes up to which the sender's staging buffer grows, in which heads and small pieces collect; at least 1. It exists
    /// only while something is staged.
    pub send_buffer: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::DEFAULT,
            name_limit: 4096,
            timeouts: Timeouts::PATIENT,
            receive_buffer: 128 * 1024,
            send_buffer: 128 * 1024,
        }
    }
}

/// How long a peer may take before the connection is given up; `None` waits for ever.
///
/// Of receiving, only the time counts for which a call waits while we send no frame: what the local side does between two
/// calls is never counted against the peer. A call whose future is dropped waits no longer; a read of an
/// [`IncomingFile`](crate::IncomingFile) that is given up does until the next call, for nobody can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// How long the peer's machine may take to answer a client; the operating system gives up after minutes, too.
    pub connect: Option<Duration>,
    /// What the peer has for what comes before the first frame: a TLS handshake.
    pub handshake: Option<Duration>,
    /// How long may be waited for the next byte, or a write may make no progress while none is received.
    pub idle: Option<Duration>,
    /// How long may be waited for a frame, from its first byte to its last.
    pub frame: Option<Duration>,
    /// How slowly the bytes of a frame may come. There is no such thing for those that we send: a peer that takes one now
    /// and then is waited for.
    pub min_rate: Option<MinRate>,
    /// How long a write may make no progress, whatever is received meanwhile; and how long a reader in an
    /// [`OutgoingFrame`](crate::OutgoingFrame) may yield nothing, for all other frames wait for it.
    pub write: Option<Duration>,
    /// How long a peer may be gone, it or the line, until that is noticed even if nothing is to be sent: TCP asks a peer that
    /// says nothing whether it is there (keep-alive), in whole seconds. Reading fails then. It is no sign of life that
    /// the other timeouts would count, and costs a packet or two in that time.
    pub lost: Option<Duration>,
}

impl Timeouts {
    /// For peers one knows, which may be silent for days, but not gone: only connecting and a handshake have to end.
    pub const PATIENT: Self = Self {
        connect: Some(CONNECT),
        handshake: Some(HANDSHAKE),
        idle: None,
        frame: None,
        min_rate: None,
        write: None,
        lost: Some(LOST),
    };

    /// For strangers: a minute of silence, or less than 1 KiB/s inside a frame after half a minute, ends it.
    pub const STRANGERS: Self = Self {
        idle: Some(Duration::from_secs(60)),
        min_rate: Some(MinRate { bytes_per_second: 1024, grace: Duration::from_secs(30) }),
        write: Some(Duration::from_secs(60)),
        ..Self::PATIENT
    };
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::PATIENT
    }
}

/// The least that must have come of a frame: nothing before `grace` was waited for it, then `bytes_per_second`.
///
/// It is an average from the start of the frame, so that a peer which was fast may pause for as long as it is ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinRate {
    /// Bytes that must come for each second that is waited, at least 1.
    pub bytes_per_second: u64,
    /// How long is waited before it counts.
    pub grace: Duration,
}

impl MinRate {
    /// How long may be waited in all for a frame of which `received` bytes have come.
    pub(crate) fn allows(&self, received: u64) -> Duration {
        let rate = self.bytes_per_second.max(1);
        let subsecond = (received % rate).saturating_mul(1_000_000) / rate;
        self.grace
            .saturating_add(Duration::from_secs(received / rate))
            .saturating_add(Duration::from_micros(subsecond))
    }
}

/// Five attempts of TCP to reach a machine, a second apart and then twice as long each (RFC 6298), take 31 s.
const CONNECT: Duration = Duration::from_secs(30);
/// Short of the five minutes after which many a router forgets a connection without traffic, and long enough for a line
/// that comes back.
const LOST: Duration = Duration::from_secs(120);
/// Long enough for a slow device on a slow link, which computes for a second or two.
const HANDSHAKE: Duration = Duration::from_secs(10);
