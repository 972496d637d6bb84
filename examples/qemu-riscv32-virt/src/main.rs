//! Firmware for QEMU's `virt` with a 32-bit RISC-V: what it does is in the crate `firmware`, what its devices need in `virt`.
#![no_std]
#![no_main]

use embassy_executor::Spawner;

#[embassy_executor::main(entry = "riscv_rt::entry")]
async fn main(spawner: Spawner) -> ! {
    firmware::stack::paint();
    let network = match virt::machine::start() {
        Ok(network) => network,
        Err(error) => defmt::panic!("network: {}", error),
    };
    firmware::net::start(spawner, network, log_figures).run().await
}

fn log_figures() {
    defmt::info!("network {}", virt::machine::network_statistics());
}
