//! The example applications, written once for every board.
//!
//! A board's `main` brings up its clock, its network or serial port and its logs, and starts these:
//!
//! - [`DigestServer`] receives files of any size and answers with their SHA-256 digests.
//! - [`DeviceFile`] sends a generated file, which the receiver can verify from its seed, and then pings.
//! - [`hardware_address`] makes an Ethernet address for a board that was not given one.
//! - [`tcp`] (feature `embassy-net`, on by default) runs either for ever over embassy-net.
//!
//! They take tej-core's `FrameReader` and `FrameWriter` over any `embedded_io_async` transport. No allocator; what they
//! need beside their small state is given to them.

#![no_std]
#![forbid(unsafe_code)]

// The clock of the tests.
#[cfg(test)]
use tej_testkit as _;

mod fmt;

mod device_file;
mod digest_server;
mod error;
mod hardware_address;
mod hex;
mod pattern;
mod printable;
#[cfg(feature = "embassy-net")]
pub mod tcp;

pub use device_file::DeviceFile;
pub use digest_server::DigestServer;
pub use error::Error;
pub use hardware_address::hardware_address;
pub use pattern::Pattern;
