//! What the fuzz targets check, apart from the fuzzer.
//!
//! Each module has an `Input` that `arbitrary` makes from any bytes, whose `check` panics where tej-core and an
//! independent model of it differ, and `seeds`, inputs that a corpus begins with. `cargo xtask fuzz` runs them.

pub mod decode;
pub mod encoder;
pub mod keep_alive;
pub mod round_trip;

mod number;
mod pieces;
mod seed;

/// The oracle, and the ways to run a decoder, of tej-core's own tests.
#[path = "../../tej-core/tests/common/mod.rs"]
mod common;

/// The inputs that a target's corpus begins with, as bytes.
pub type Seeds = fn() -> Vec<Vec<u8>>;

/// The targets by name.
pub const TARGETS: [(&str, Seeds); 4] = [
    ("decode", decode::seeds),
    ("round_trip", round_trip::seeds),
    ("encoder", encoder::seeds),
    ("keep_alive", keep_alive::seeds),
];
