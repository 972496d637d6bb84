#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

mod decoder;
mod encoder;
mod error;
mod event;
mod frame;
#[cfg(feature = "embedded-io-async")]
pub mod io;
mod keep_alive;
mod limits;
mod wire;

pub use decoder::{Decoder, EventSpan, PayloadOverrun, Step};
pub use encoder::{Encoder, FileHead};
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use event::{Event, FrameHeader};
pub use frame::{File, Files, Frame, encode, encoded_len};
pub use keep_alive::{KeepAlive, KeepAliveAction, KeepAliveConfig};
pub use limits::{DefaultLimits, Limits};
pub use wire::{FRAME_HEAD_LEN, MAX_NAME_LEN, MIN_FRAME_LEN, Status, StatusOutOfRange, VERSION};
