//! Board support for Arm MPS2 FPGA images, as QEMU's `mps2-*` machines have them, under embassy.
//!
//! One module per device, each told its address and clock by the firmware, because the images differ in
//! nothing else that matters here:
//!
//! - [`lan9118`]: the Ethernet controller, as an [`embassy_net_driver::Driver`].
//! - [`cmsdk_timer`]: two CMSDK APB timers, as an [`embassy_time_driver::Driver`].
//! - `interrupts`: the vector table, and the interrupt controller. On the target only.
//! - `image`: all of them brought up. On the target only.
//!
//! It was run on QEMU's `mps2-an385` and `mps2-an505`. The LAN9118 driver keeps to the data sheet where QEMU's model does
//! not care (FIFO room, receive errors, duplex), but no physical board has run it.
#![cfg_attr(not(test), no_std)]

pub mod cmsdk_timer;
#[cfg(target_os = "none")]
pub mod image;
#[cfg(target_os = "none")]
pub mod interrupts;
pub mod lan9118;
