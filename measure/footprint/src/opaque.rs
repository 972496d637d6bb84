//! Values that the optimiser knows nothing about, for the programs that must be right whatever they are.

use core::hint::black_box;

/// Some value of the type: the optimiser cannot know which.
pub fn any<T>(value: T) -> T {
    black_box(value)
}

/// Some bytes, of which nothing is known, their number included.
pub fn bytes() -> &'static [u8] {
    any(&[])
}

/// A value that may have become any other in the meantime.
pub fn hidden<T>(value: &mut T) -> &mut T {
    black_box(value)
}

/// Uses all of a value, so that it has to be computed.
pub fn seen<T>(value: T) {
    black_box(value);
}

/// Panics with the feature `planted-panic`, to show that a panic is found.
pub fn planted() {
    #[cfg(feature = "planted-panic")]
    seen([1, 2, 3][any(0)]);
}
