//! Firmware for QEMU's `microbit`, a Cortex-M0 with 16 KiB of RAM: what it does is in the crate `tej-apps`, what its devices
//! need in `nrf51`. There is no runtime and no interrupt handler: one loop sleeps until bytes come, and answers
//! frames.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use nrf51::sleep;
use nrf51::timer::Clock;
use nrf51::uart::{self, Pins};
use tej_apps::LineServer;
use tej_core::io::IdleGap;

#[entry]
fn main() -> ! {
    // Of which `entry` makes a reference, for there is one call.
    static mut SERVER: LineServer<512, 512, 255, 1024> = LineServer::new();

    // SAFETY: the chip has its TIMER0 there, and this is the only user.
    let mut clock = unsafe { Clock::start(TIMER0) };
    // SAFETY: the chip has its UART there, and this is the only user.
    let (receiver, transmitter) = unsafe { uart::start(UART0, PINS) };
    sleep::prepare();
    let line = IdleGap::new(receiver, IDLE_GAP_US, || {
        sleep::sleep(&mut clock, LONGEST_SLEEP_US);
        clock.now()
    });
    SERVER.serve_forever(line, transmitter, firmware::stack::log)
}

/// What both ends agree on: who is silent for so long in mid-frame has given it up.
const IDLE_GAP_US: u64 = 1_000_000;

/// How late a gap may be noticed.
const LONGEST_SLEEP_US: u32 = 10_000;

/// nRF51 Series Reference Manual, "Instantiation".
const UART0: usize = 0x4000_2000;
const TIMER0: usize = 0x4000_8000;

/// The lines to the chip that is the board's USB interface: the micro:bit's schematic, TGT_TX and TGT_RX.
const PINS: Pins = Pins { txd: 24, rxd: 25 };
