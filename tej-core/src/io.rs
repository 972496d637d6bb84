//! The codec over a byte stream: UART, USB, TCP, TLS, a pipe.
//!
//! [`DecodeBuffer`] and [`EncodeBuffer`] are all of it but the reading and the writing, for any transport. Over
//! `embedded_io_async` (feature `embedded-io-async`) `FrameReader` and `FrameWriter` do that, too, and those in
//! `blocking` (feature `embedded-io`) over `embedded_io`. A line that has no connections is cut into streams by
//! `IdleGap`.
//!
//! Reader and writer are independent, so that the two halves of a full-duplex transport can be driven by two tasks, and
//! must be when both peers may push: a side that only writes while its peer only writes waits for ever.

#[cfg(feature = "embedded-io-async")]
mod asynchronous;
#[cfg(feature = "embedded-io")]
pub mod blocking;
mod decode_buffer;
mod encode_buffer;
mod error;
#[cfg(feature = "embedded-io")]
mod idle_gap;

#[cfg(feature = "embedded-io-async")]
pub use asynchronous::{FrameReader, FrameWriter, ReadWith};
pub use decode_buffer::DecodeBuffer;
pub use encode_buffer::{EncodeBuffer, Interrupted, Staged};
pub use error::{ReadError, WriteError};
#[cfg(feature = "embedded-io")]
pub use idle_gap::IdleGap;
