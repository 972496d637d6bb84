//! Numbers that look random and are the same in every run.

use std::cell::Cell;

/// SplitMix64.
#[derive(Debug)]
pub struct Random(Cell<u64>);

impl Random {
    /// The sequence of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    /// The next number below `bound`, which is not 0.
    pub fn below(&self, bound: u64) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// Whether something that happens to so many of 1000 happens now.
    pub fn happens(&self, per_mille: u16) -> bool {
        self.below(1000) < u64::from(per_mille)
    }
}
