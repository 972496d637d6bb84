//! Limits and timeouts.

use embassy_time::Duration;
use tej_core::Limits;

/// What a connection allows its peer, and how long it waits for it: in milliseconds, up to 49 days.
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

/// A [`Config`] as each socket keeps it, in a third of the memory.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) limits: &'static Limits,
    pub(crate) idle: Timeout,
    pub(crate) write: Timeout,
    pub(crate) lost: Timeout,
    pub(crate) connect: Timeout,
    pub(crate) close: Timeout,
}

impl From<Config> for Settings {
    fn from(config: Config) -> Self {
        Self {
            limits: config.limits,
            idle: Timeout::new(config.idle_timeout),
            write: Timeout::new(config.write_timeout),
            lost: Timeout::new(config.lost_timeout),
            connect: Timeout::new(Some(config.connect_timeout)),
            close: Timeout::new(Some(config.close_timeout)),
        }
    }
}

/// A time to wait in whole milliseconds, rounded up, or for ever: four bytes rather than sixteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeout(u32);

impl Timeout {
    /// What is longer than 49 days is 49 days.
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        let Some(limit) = limit else { return Self(Self::NEVER) };
        let whole = limit.as_millis();
        let millis = if Duration::from_millis(whole) < limit { whole + 1 } else { whole };
        Self(u32::try_from(millis).map_or(Self::NEVER - 1, |millis| millis.min(Self::NEVER - 1)))
    }

    pub(crate) fn limit(self) -> Option<Duration> {
        (self.0 != Self::NEVER).then(|| Duration::from_millis(self.0.into()))
    }

    /// The same of what is never for ever.
    pub(crate) fn duration(self) -> Duration {
        Duration::from_millis(self.0.into())
    }

    const NEVER: u32 = u32::MAX;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_rounded_up_to_milliseconds_and_never_become_none() {
        let kept = |limit| Timeout::new(limit).limit();
        assert_eq!(kept(None), None);
        assert_eq!(kept(Some(Duration::from_ticks(0))), Some(Duration::from_ticks(0)));
        assert_eq!(kept(Some(Duration::from_ticks(1))), Some(Duration::from_millis(1)));
        assert_eq!(kept(Some(Duration::from_millis(7))), Some(Duration::from_millis(7)));
        let longest = Some(Duration::from_millis(u64::from(u32::MAX) - 1));
        for ticks in [u64::from(u32::MAX) * 1000, u64::MAX] {
            assert_eq!(kept(Some(Duration::from_ticks(ticks))), longest);
        }
        assert_eq!(kept(longest), longest);
    }
}
