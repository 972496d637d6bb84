//! How long to wait before the next attempt.

use embassy_time::Duration;

/// Exponential back-off: the first delay, then twice the one before, up to a longest one. No clock, no randomness.
///
/// ```
/// use embassy_time::Duration;
/// use tej_embassy::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(3));
/// assert_eq!(backoff.next_delay(), Duration::from_secs(1));
/// assert_eq!(backoff.next_delay(), Duration::from_secs(2));
/// assert_eq!(backoff.next_delay(), Duration::from_secs(3));
/// assert_eq!(backoff.next_delay(), Duration::from_secs(3));
/// backoff.reset();
/// assert_eq!(backoff.next_delay(), Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// A quarter of a second, doubled up to 30 seconds: soon back after a glitch, and two attempts a minute at a
    /// server that is down.
    pub const DEFAULT: Self = Self::new(Duration::from_millis(250), Duration::from_secs(30));

    /// Delays of `first`, twice that, and so on up to `longest`. Where `first` is longer than `longest`, every delay
    /// is `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        let first = if first.as_ticks() > longest.as_ticks() { longest } else { first };
        Self { first, longest, next: first }
    }

    /// How long to wait before the next attempt. Every call is a failure more.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        let doubled = Duration::from_ticks(delay.as_ticks().saturating_mul(2));
        self.next = doubled.min(self.longest);
        delay
    }

    /// Starts again with the first delay: an attempt has succeeded.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// The longest delay there is.
    pub const fn longest(&self) -> Duration {
        self.longest
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks<const N: usize>(backoff: &mut Backoff) -> [u64; N] {
        core::array::from_fn(|_| backoff.next_delay().as_ticks())
    }

    fn backoff(first: u64, longest: u64) -> Backoff {
        Backoff::new(Duration::from_ticks(first), Duration::from_ticks(longest))
    }

    #[test]
    fn doubles_up_to_the_longest_and_stays_there() {
        assert_eq!(ticks(&mut backoff(10, 65)), [10, 20, 40, 65, 65, 65]);
    }

    #[test]
    fn reset_starts_again() {
        let mut backoff = backoff(3, 1000);
        assert_eq!(ticks(&mut backoff), [3, 6, 12]);
        backoff.reset();
        assert_eq!(ticks(&mut backoff), [3, 6]);
    }

    #[test]
    fn a_first_delay_over_the_longest_is_cut() {
        assert_eq!(ticks(&mut backoff(70, 65)), [65, 65]);
    }

    #[test]
    fn never_overflows() {
        let mut backoff = backoff(u64::MAX / 2 + 1, u64::MAX);
        assert_eq!(ticks(&mut backoff), [u64::MAX / 2 + 1, u64::MAX, u64::MAX]);
    }

    #[test]
    fn no_delay_stays_no_delay() {
        assert_eq!(ticks(&mut backoff(0, 65)), [0, 0, 0]);
    }
}
