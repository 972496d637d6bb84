// The page's example is compiled where there is what it uses.
#![cfg_attr(any(feature = "embedded-io", not(doctest)), doc = include_str!("../README.md"))]
// So are its links to what a feature adds.
#![cfg_attr(
    not(all(feature = "embedded-io-async", feature = "heapless")),
    allow(rustdoc::broken_intra_doc_links)
)]
// docs.rs says at each item which feature it needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
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
