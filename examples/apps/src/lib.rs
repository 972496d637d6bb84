//! The example applications, written once for every board.
//!
//! A board's `main` brings up its clock, its network or serial port and its logs, and starts these:
//!
//! - [`DigestServer`] receives files of any size and answers with their SHA-256 digests.
//! - [`DeviceFile`] sends a generated file, which the receiver can verify from its seed, and then pings.
//! - [`hardware_address`] makes an Ethernet address for a board that was not given one.
//! - [`tcp`] (feature `embassy-net`, on by default) runs either for ever over embassy-net.
//! - [`tls`] (feature `tls`) is TLS for the client's side of a connection, to a server that is known by its [`Fingerprint`].
//! - [`LineServer`] does the work of both over a line that blocks and has no connections, such as a UART.
//! - `large_file` (feature `large-file`) has more than 4 GiB pass through the codec, without a peer, and counts them.
//!
//! The first two take tej-core's `FrameReader` and `FrameWriter` over any `embedded_io_async` transport (feature `async`), the
//! last one takes an `embedded_io` transport (feature `blocking`). What they say and make is decided once, without I/O. No
//! allocator; what they need beside their small state is given to them.

#![no_std]
#![forbid(unsafe_code)]

// The clock of the tests.
#[cfg(test)]
use tej_testkit as _;

#[cfg(any(feature = "async", feature = "blocking"))]
mod fmt;

mod arguments;
#[cfg(feature = "async")]
mod device_file;
#[cfg(feature = "async")]
mod digest_server;
mod error;
#[cfg(feature = "tls")]
mod fingerprint;
#[cfg(any(feature = "async", feature = "blocking"))]
mod generated_file;
mod hardware_address;
#[cfg(any(feature = "async", feature = "blocking"))]
mod hex;
#[cfg(feature = "large-file")]
pub mod large_file;
#[cfg(feature = "blocking")]
mod line_server;
mod pattern;
#[cfg(any(feature = "async", feature = "blocking"))]
mod printable;
#[cfg(any(feature = "async", feature = "blocking"))]
mod report;
#[cfg(feature = "embassy-net")]
pub mod tcp;
#[cfg(feature = "tls")]
pub mod tls;

pub use arguments::{ArgumentError, Arguments, Problem};
#[cfg(feature = "async")]
pub use device_file::DeviceFile;
#[cfg(feature = "async")]
pub use digest_server::DigestServer;
pub use error::Error;
#[cfg(feature = "tls")]
pub use fingerprint::{Fingerprint, NotAFingerprint};
#[cfg(any(feature = "async", feature = "blocking"))]
pub use generated_file::GeneratedFile;
pub use hardware_address::hardware_address;
#[cfg(feature = "blocking")]
pub use line_server::LineServer;
pub use pattern::Pattern;
