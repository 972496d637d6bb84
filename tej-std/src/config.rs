//! What a connection may cost.

use std::time::Duration;

use crate::Limits;

/// Settings of a connection; `Config::default()` suits most programs.
///
/// ```
/// use std::time::Duration;
/// use tej_std::{Config, Limits};
///
/// let config = Config {
///     limits: Limits { message: 64 * 1024, ..Limits::DEFAULT },
///     idle_timeout: Some(Duration::from_secs(10)),
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
    /// Gives a connection up when nothing was received for so long, or when a write made no progress for so long
    /// and nothing was received meanwhile. Any byte counts as life. The time that the local side spends on sending
    /// a frame does not count as the peer's silence. `None` waits for ever.
    pub idle_timeout: Option<Duration>,
    /// Bytes up to which the receive buffer grows while a peer keeps it full, which is also the largest chunk of a file
    /// or message; at least 1.
    pub receive_buffer: usize,
    /// Bytes of the sender's staging buffer, in which heads and small pieces collect; at least 1. A program that only
    /// receives needs no more.
    pub send_buffer: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::DEFAULT,
            name_limit: 4096,
            idle_timeout: None,
            receive_buffer: 64 * 1024,
            send_buffer: 64 * 1024,
        }
    }
}
