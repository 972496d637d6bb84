//! Board support for QEMU's RISC-V machine `virt`, with one hart of 32 bits, under embassy.
//!
//! - [`virtio_net`]: a VirtIO network device, as an [`embassy_net_driver::Driver`].
//! - [`clint`]: the hart's timer, as an [`embassy_time_driver::Driver`].
//! - [`plic`]: which interrupts of devices reach the hart.
//! - `machine`: where they are, and all of them brought up. On the target only.
//!
//! The machine exists in QEMU alone; timer and interrupt controller are those of many chips, and so is the network device of
//! many hypervisors.
#![cfg_attr(not(test), no_std)]

pub mod clint;
#[cfg(target_os = "none")]
pub mod machine;
pub mod plic;
pub mod virtio_net;
