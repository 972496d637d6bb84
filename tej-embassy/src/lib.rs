#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

// The clock of the tests.
#[cfg(test)]
use tej_testkit as _;

mod backoff;
mod buffers;
mod config;
mod connection;
mod dialer;
mod error;
mod link;
mod listener;
mod pings;

pub use backoff::Backoff;
pub use buffers::Buffers;
pub use config::Config;
pub use connection::{Connection, ReadHalf, Receiver, Sender, WriteHalf};
pub use dialer::Dialer;
pub use embassy_net::tcp::ConnectError;
pub use error::{CloseError, Error};
pub use listener::{Listener, serve};
pub use pings::with_pings;
