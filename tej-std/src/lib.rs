#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod admission;
mod client;
mod config;
mod connection;
mod error;
mod frame;
mod idle;
#[cfg(feature = "inbox")]
pub mod inbox;
mod outgoing;
#[cfg(feature = "serial")]
pub mod serial;
mod server;
pub mod service;
mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
mod transfer;

pub use admission::{Admission, Cap, Place};
pub use client::{Backoff, Client};
pub use config::{Config, MinRate, Timeouts};
pub use connection::{Connection, Receiver, Sender};
pub use error::{DiscardError, ReceiveError, SendError};
pub use frame::{IncomingFile, IncomingFrame};
pub use outgoing::{IntoBytes, NotRegular, OutgoingFrame, open_regular};
pub use server::{Server, Trouble, connect};
pub use tej_core::io::Staged;
pub use tej_core::{self as core, DecodeError, DecodeErrorKind, Event, Frame, FrameHeader, Limits, Status};
pub use transfer::Splice;
