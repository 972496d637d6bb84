//! Firmware for QEMU's `mps2-an385` that `cargo xtask bench qemu` measures: TCP as embassy-net has it, and TEJ on it, in one
//! image, over sockets of one kind with rings of one size. What it says to whom is in [`raw`] and [`framed`].
#![no_std]
#![no_main]

mod framed;
mod idle;
#[allow(unreachable_pub, reason = "it is part of a library there")]
#[path = "../../qemu-mps2-an385/src/image.rs"]
mod image;
mod raw;

use embassy_executor::Spawner;
use embassy_net::{Runner, Stack, StackResources};
use firmware::net::{bring_up, keep_emulator_polling};
use mps2::lan9118::{Lan9118, SAFE_RECEIVE_WINDOW};
use static_cell::ConstStaticCell;

use crate::image::IMAGE;

#[cortex_m_rt::entry]
fn main() -> ! {
    idle::run(start)
}

fn start(spawner: Spawner) {
    static SOCKETS: ConstStaticCell<StackResources<3>> = ConstStaticCell::new(StackResources::new());
    static RAW: ConstStaticCell<raw::Buffers> = ConstStaticCell::new(raw::Buffers::new());
    static LENT: ConstStaticCell<framed::Buffers<0>> = ConstStaticCell::new(framed::Buffers::new());
    static COPIED: ConstStaticCell<framed::Buffers<PIECE>> = ConstStaticCell::new(framed::Buffers::new());

    let ethernet = match IMAGE.start() {
        Ok(ethernet) => ethernet,
        Err(error) => defmt::panic!("ethernet: {}", error),
    };
    let (stack, runner) = bring_up(ethernet, SOCKETS.take());
    spawner.spawn(defmt::unwrap!(run_network(runner)));
    spawner.spawn(defmt::unwrap!(keep_emulator_polling()));
    spawner.spawn(defmt::unwrap!(serve_copied(stack, COPIED.take())));
    spawner.spawn(defmt::unwrap!(serve_lent(stack, LENT.take())));
    // The last one is the first to run, and its socket the first to be offered a segment: the advantage is not TEJ's.
    spawner.spawn(defmt::unwrap!(serve_raw(stack, RAW.take())));
    // What the bench reads off.
    defmt::info!("connection state {=usize} B", framed::STATE);
}

#[embassy_executor::task]
async fn run_network(mut runner: Runner<'static, Lan9118>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn serve_raw(stack: Stack<'static>, buffers: &'static mut raw::Buffers) -> ! {
    raw::serve(stack, 7000, buffers).await
}

#[embassy_executor::task]
async fn serve_lent(stack: Stack<'static>, buffers: &'static mut framed::Buffers<0>) -> ! {
    framed::serve_lent(stack, 7001, buffers).await
}

#[embassy_executor::task]
async fn serve_copied(stack: Stack<'static>, buffers: &'static mut framed::Buffers<PIECE>) -> ! {
    framed::serve_copied(stack, 7002, buffers).await
}

/// Bytes of a socket's ring, in each direction: all that the controller holds, for one socket is busy at a time.
const RING: usize = SAFE_RECEIVE_WINDOW;

/// Bytes that are read or written at a time, where they are copied.
const PIECE: usize = 2048;

/// What is sent, from where a word begins.
static PAYLOAD: raw::Words<PIECE> = raw::Words([0x5a; PIECE]);
