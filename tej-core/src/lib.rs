#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

mod decoder;
mod encoder;
mod error;
mod event;
mod frame;
pub mod io;
mod keep_alive;
mod limits;
#[cfg(feature = "heapless")]
mod owned_frame;
mod wire;

pub use decoder::{Decoder, EventSpan, PayloadOverrun, Step};
pub use encoder::{Encoder, FileHead};
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use event::{Event, FrameHeader};
pub use frame::{File, Files, Frame, encode, encoded_len};
pub use keep_alive::{KeepAlive, KeepAliveAction, KeepAliveConfig};
pub use limits::{DefaultLimits, Limits};
#[cfg(feature = "heapless")]
pub use owned_frame::{FrameTooLarge, OwnedFrame, encode_to_vec};
pub use wire::{FRAME_HEAD_LEN, MAX_NAME_LEN, MIN_FRAME_LEN, Status, StatusOutOfRange, VERSION};
