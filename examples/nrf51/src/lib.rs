//! Devices of Nordic's nRF51, the microcontroller of the first BBC micro:bit, driven without interrupt handlers.
//!
//! - [`uart`]: the UART, as [`embedded_io`] transports that block.
//! - [`timer`]: a clock in microseconds.
//! - `sleep`: waiting for either without running. On the target only.
//!
//! Registers and their order of use are those of Nordic's "nRF51 Series Reference Manual", version 3.0. It was run on QEMU's
//! `microbit`, on no physical board.
#![cfg_attr(not(test), no_std)]

#[cfg(target_os = "none")]
pub mod sleep;
pub mod timer;
pub mod uart;
