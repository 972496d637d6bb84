//! Logs: defmt's with the feature `defmt`, none without.

#[cfg(feature = "defmt")]
macro_rules! info {
    ($($arg:tt)*) => { ::defmt::info!($($arg)*) };
}

#[cfg(feature = "defmt")]
#[cfg_attr(
    not(any(feature = "blocking", feature = "embassy-net")),
    expect(unused_macros, reason = "nothing has something to warn of")
)]
macro_rules! warning {
    ($($arg:tt)*) => { ::defmt::warn!($($arg)*) };
}

/// Uses its arguments as a log would, so that neither configuration has unused variables.
#[cfg(not(feature = "defmt"))]
macro_rules! info {
    ($format:literal $(, $arg:expr)* $(,)?) => {{ $( let _ = &$arg; )* }};
}

#[cfg(not(feature = "defmt"))]
#[cfg_attr(
    not(any(feature = "blocking", feature = "embassy-net")),
    expect(unused_macros, reason = "nothing has something to warn of")
)]
macro_rules! warning {
    ($format:literal $(, $arg:expr)* $(,)?) => {{ $( let _ = &$arg; )* }};
}

pub(crate) use info;
#[cfg(any(feature = "blocking", feature = "embassy-net"))]
pub(crate) use warning;
