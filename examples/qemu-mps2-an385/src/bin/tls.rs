//! Firmware for QEMU's `mps2-an385` that sends a file over TLS: what it does is in the crate `firmware`, too.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use mps2::lan9118::SAFE_RECEIVE_WINDOW;
use qemu_mps2_an385::IMAGE;

#[embassy_executor::main]
async fn main(spawner: Spawner) -> ! {
    let ethernet = match IMAGE.start() {
        Ok(ethernet) => ethernet,
        Err(error) => defmt::panic!("ethernet: {}", error),
    };
    firmware::tls::start(spawner, ethernet, log_figures).run().await
}

fn log_figures() {
    defmt::info!("ethernet {}", IMAGE.ethernet.statistics());
}

const _: () = assert!(firmware::tls::RECEIVE_WINDOW <= SAFE_RECEIVE_WINDOW, "the chip would drop frames");
