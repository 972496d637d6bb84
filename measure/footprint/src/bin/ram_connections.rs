//! What a connection of `tej-embassy` occupies on the target beside its buffers: a variable for each type, as large as it.
//!
//! `cargo xtask bench buffers` reads the sizes of the symbols. `sockets_1` and `sockets_2` are the memory of a network stack
//! for so many sockets.

#![no_std]
#![no_main]

use embassy_net::StackResources;
use footprint::sizes;
use tej_embassy::{Connection, Dialer, Listener};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    footprint::stop()
}

sizes! {
    "connection": Connection<'static, 'static>,
    "dialer": Dialer<'static>,
    "listener": Listener<'static>,
    "sockets_1": StackResources<1>,
    "sockets_2": StackResources<2>,
}
