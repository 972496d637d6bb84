//! Limits and timeouts.

use embassy_time::Duration;
use tej_core::Limits;

/// What a connection allows its peer, and how long it waits for it.
///
/// ```
/// use embassy_time::Duration;
/// use tej_embassy::Config;
///
/// let config = Config { idle_timeout: Some(Duration::from_secs(30)), ..Config::DEFAULT };
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// What a peer may announce in a frame.
    pub limits: &'static Limits,
    /// A read that waits so long without a byte fails with [`Error::IdleTimeout`](crate::Error::IdleTimeout). Any byte
    /// counts as life, a ping too. `None` waits for ever: for a peer that may have nothing to say, such as a desktop
    /// that only receives.
    pub idle_timeout: Option<Duration>,
    /// A write, or a flush, that waits so long without the peer taking a byte fails with
    /// [`Error::WriteTimeout`](crate::Error::WriteTimeout): the peer is there but does not read. `None` waits for ever.
    pub write_timeout: Option<Duration>,
    /// A peer whose TCP answers nothing at all for so long is gone (power cut, cable, crash): the connection is
    /// reset. To tell such a peer from one that merely is silent, a TCP keep-alive is sent after every quarter of
    /// this in which nothing came; a live peer's TCP answers it, its program never sees it.
    ///
    /// While the peer does not read, smoltcp asks whether it does again after pauses that double up to a minute, and takes
    /// no other sign of life: with less than a minute here, and a longer `write_timeout`, a peer that does not read for
    /// long counts as gone.
    ///
    /// `None` never gives up: without `idle_timeout`, a vanished peer then holds its socket for ever.
    pub lost_timeout: Option<Duration>,
    /// How long a TCP handshake may take, dialled or accepted.
    pub connect_timeout: Duration,
    /// How long [`Connection::close`](crate::Connection::close) may take to get everything across.
    pub close_timeout: Duration,
}

impl Config {
    /// Files of any size; a minute of silence, half a minute without reading, 20 seconds without any answer; 10
    /// seconds to connect, 5 to close.
    pub const DEFAULT: Self = Self {
        limits: &Limits::DEFAULT,
        idle_timeout: Some(Duration::from_secs(60)),
        write_timeout: Some(Duration::from_secs(30)),
        lost_timeout: Some(Duration::from_secs(20)),
        connect_timeout: Duration::from_secs(10),
        close_timeout: Duration::from_secs(5),
    };
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}
