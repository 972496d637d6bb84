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

// Whatever a program has of this crate, it can log.
#[cfg(feature = "defmt")]
const _: () = {
    const fn can_be_logged<T: defmt::Format>() {}
    can_be_logged::<(Backoff, CloseError, Config, ConnectError, Error)>();
    can_be_logged::<(
        Buffers,
        Connection<'_, '_>,
        Dialer<'_>,
        Listener<'_>,
        ReadHalf<'_, '_>,
        WriteHalf<'_, '_>,
    )>();
};
