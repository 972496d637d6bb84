#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "digest")]
mod digested;
#[cfg(feature = "nor-flash")]
mod nor_flash;
mod ram;
mod receive;
mod sink;
mod source;
mod store;
mod stream;

#[cfg(feature = "digest")]
pub use digested::Digested;
#[cfg(feature = "nor-flash")]
pub use nor_flash::{NorSink, NorSource};
pub use ram::RamSink;
pub use receive::Received;
pub use sink::{FileSink, LendingSink, Refusal, StartError};
pub use source::{FileSource, SendFileError, send_file};
pub use store::{Outcome, Store};
pub use stream::{SeekSource, StreamError, StreamSink};

// Whatever a program has of this crate, it can log.
#[cfg(feature = "defmt")]
const _: () = {
    const fn can_be_logged<T: defmt::Format>() {}
    can_be_logged::<(
        Outcome<()>,
        Received<(), ()>,
        Refusal,
        SendFileError<(), ()>,
        StartError<()>,
        StreamError<()>,
    )>();
    can_be_logged::<(RamSink<'_>, SeekSource<()>, StreamSink<()>)>();
    can_be_logged::<Store<RamSink<'_>>>();
    #[cfg(feature = "nor-flash")]
    can_be_logged::<(NorSink<'_, ()>, NorSource<()>)>();
};
