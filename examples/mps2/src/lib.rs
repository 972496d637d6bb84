//! Board support for Arm MPS2 FPGA images, as QEMU's `mps2-*` machines have them, under embassy.
//!
//! One module per device, each told its address and clock by the firmware, because the images differ in
//! nothing else that matters here:
//!
//! - [`lan9118`]: the Ethernet controller, as an [`embassy_net_driver::Driver`].
//! - [`cmsdk_timer`]: two CMSDK APB timers, as an [`embassy_time_driver::Driver`].
//! - `stack`: how deep the stack has been. On the target only.
//! - [`semihosting`]: the command line, the time and the exit of the emulator or debugger outside.
//! - [`arguments`]: what that command line says. No hardware in it.
//!
//! It was run on QEMU's `mps2-an385`. The LAN9118 driver keeps to the data sheet where QEMU's model does not
//! care (FIFO room, receive errors, duplex), but no physical board has run it.
#![cfg_attr(not(test), no_std)]

pub mod arguments;
pub mod cmsdk_timer;
pub mod lan9118;
pub mod semihosting;
#[cfg(target_os = "none")]
pub mod stack;
