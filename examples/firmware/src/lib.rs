//! What the firmware of every board has, so that a board's own crate holds nothing but the board.
//!
//! - `semihosting`: the command line, the time and the exit of the emulator or debugger outside.
//! - `faults`: how the firmware ends when it goes wrong. It defines the panic handler.
//! - `stack`: how deep the stack has been.
//! - `net` (feature `net`): what runs on a board with a network, with how much memory.
//! - `tls` (feature `tls`): what runs instead on one that sends a file over TLS.
//!
//! Logs are defmt's, by semihosting. All but the text of the command line is there on the target only.
#![cfg_attr(not(test), no_std)]

#[cfg(target_os = "none")]
pub mod faults;
#[cfg(all(feature = "net", target_os = "none"))]
pub mod net;
pub mod semihosting;
#[cfg(target_os = "none")]
pub mod stack;
#[cfg(all(feature = "tls", target_os = "none"))]
pub mod tls;

// Critical sections.
#[cfg(all(target_os = "none", target_arch = "arm"))]
use cortex_m as _;
// The logger.
#[cfg(target_os = "none")]
use defmt_semihosting as _;
#[cfg(all(target_os = "none", target_arch = "riscv32"))]
use riscv as _;
