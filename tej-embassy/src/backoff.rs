//! How long to wait before the next attempt.

use embassy_time::Duration;

/// Exponential back-off: the first delay, then twice the one before, up to a longest one. No clock, and no randomness
/// but that of a seed.
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
    /// The state of SplitMix64, where delays are to differ from device to device.
    random: Option<u64>,
}

impl Backoff {
    /// A quarter of a second, doubled up to 30 seconds: soon back after a glitch, and two attempts a minute at a
    /// server that is down.
    pub const DEFAULT: Self = Self::new(Duration::from_millis(250), Duration::from_secs(30));

    /// Delays of `first`, twice that, and so on up to `longest`. Where `first` is longer than `longest`, every delay
    /// is `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        let first = if first.as_ticks() > longest.as_ticks() { longest } else { first };
        Self { first, longest, next: first, random: None }
    }

    /// The same with jitter, for a fleet that must not redial in step after its server was away: each delay is drawn
    /// from between half of what it would be and all of it. `seed` is to differ from device to device: a random number, or
    /// the device's serial number.
    ///
    /// ```
    /// # use embassy_time::Duration;
    /// # use tej_embassy::Backoff;
    /// let mut backoff = Backoff::DEFAULT.with_jitter(0x5eed);
    /// assert!((125..=250).contains(&backoff.next_delay().as_millis()));
    /// assert!((250..=500).contains(&backoff.next_delay().as_millis()));
    /// ```
    pub const fn with_jitter(self, seed: u64) -> Self {
        Self { random: Some(seed), ..self }
    }

    /// How long to wait before the next attempt. Every call is a failure more.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        let doubled = Duration::from_ticks(delay.as_ticks().saturating_mul(2));
        self.next = doubled.min(self.longest);
        let Some(random) = &mut self.random else { return delay };
        let spread = delay.as_ticks() / 2;
        let shorter = splitmix64(random).checked_rem(spread.saturating_add(1)).unwrap_or(0);
        Duration::from_ticks(delay.as_ticks() - shorter)
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

/// Good enough to spread delays, for every seed.
fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
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
    fn jitter_spreads_over_the_upper_half_of_each_delay_and_no_further() {
        let mut delays = [0u64; 11];
        for seed in 0..1000 {
            let mut backoff = backoff(20, 20).with_jitter(seed);
            backoff.next_delay();
            delays[usize::try_from(backoff.next_delay().as_ticks() - 10).unwrap()] += 1;
        }
        // About 91 each.
        assert!(delays.iter().all(|&seeds| (50..150).contains(&seeds)), "{delays:?}");
    }

    #[test]
    fn the_sequence_is_that_of_splitmix64() {
        // As the generator's author has it: Sebastiano Vigna, splitmix64.c, with the state 1234567.
        let mut state = 1_234_567;
        let numbers = [(); 5].map(|()| splitmix64(&mut state));
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821
            ]
        );
    }

    #[test]
    fn jitter_does_not_change_what_is_doubled() {
        let mut backoff = backoff(1024, 1 << 20).with_jitter(1);
        for n in 0..10 {
            assert!((512 << n..=1024 << n).contains(&backoff.next_delay().as_ticks()));
        }
        // Goes on in its sequence.
        let before = backoff.random;
        backoff.reset();
        assert_eq!(backoff.random, before);
        assert!((512..=1024).contains(&backoff.next_delay().as_ticks()));
    }

    #[test]
    fn never_overflows() {
        let mut backoff = backoff(u64::MAX / 2 + 1, u64::MAX);
        assert_eq!(ticks(&mut backoff), [u64::MAX / 2 + 1, u64::MAX, u64::MAX]);
        assert!(backoff.with_jitter(3).next_delay().as_ticks() >= u64::MAX / 2);
    }

    #[test]
    fn no_delay_stays_no_delay() {
        assert_eq!(ticks(&mut backoff(0, 65)), [0, 0, 0]);
        assert_eq!(ticks(&mut backoff(0, 65).with_jitter(1)), [0, 0, 0]);
    }
}
