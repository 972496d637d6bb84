//! Firmware for QEMU's `mps2-an385`, a Cortex-M3: what it does is in the crate `firmware`, what its devices need in `mps2`.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use mps2::lan9118::SAFE_RECEIVE_WINDOW;
use qemu_mps2_an385::log_figures;

#[embassy_executor::main]
async fn main(spawner: Spawner) -> ! {
    firmware::net::start(spawner, qemu_mps2_an385::start(), log_figures).run().await
}

const _: () = assert!(firmware::net::RECEIVE_WINDOW <= SAFE_RECEIVE_WINDOW, "the chip would drop frames");
