//! Numbers at the ends of their range, where arithmetic goes wrong, in few bytes.

use arbitrary::Arbitrary;

use crate::seed::{Seed, variant};

/// A 64-bit number that is most often near zero or near its largest value.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// The number itself.
    Small(u8),
    /// So many below the largest.
    FromEnd(u8),
    /// Any other.
    Any(u64),
}

impl Number {
    pub(crate) fn value(self) -> u64 {
        match self {
            Self::Small(n) => n.into(),
            Self::FromEnd(n) => u64::MAX - u64::from(n),
            Self::Any(n) => n,
        }
    }
}

impl Seed for Number {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Small(n) => variant(0, 3, bytes).field(n),
            Self::FromEnd(n) => variant(1, 3, bytes).field(n),
            Self::Any(n) => variant(2, 3, bytes).field(n),
        };
    }
}
