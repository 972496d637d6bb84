//! Waiting for the UART or for time to pass while the processor does not run: an interrupt wakes it although all are masked,
//! so no handler runs and nothing is shared with one.

use cortex_m::asm;
use cortex_m::interrupt::{self, InterruptNumber};
use cortex_m::peripheral::NVIC;

use crate::timer::Clock;

/// Masks all interrupts for good and lets those of UART and TIMER0 wake the processor.
pub fn prepare() {
    interrupt::disable();
    for interrupt in WAKING {
        // SAFETY: no handler runs, for all interrupts are masked.
        unsafe { NVIC::unmask(interrupt) };
    }
}

/// Sleeps until the UART has received something or has failed, or `longest` microseconds have passed; not at all where that
/// is so already. Call [`prepare`] once before.
pub fn sleep(clock: &mut Clock, longest: u32) {
    clock.ring_in(longest);
    for interrupt in WAKING {
        // What a device still asks for stays pending.
        NVIC::unpend(interrupt);
    }
    asm::wfi();
}

/// The chip's numbers of its interrupts: "nRF51 Series Reference Manual", "Instantiation".
#[derive(Clone, Copy)]
enum Interrupt {
    Uart0 = 2,
    Timer0 = 8,
}

// SAFETY: the numbers are the chip's.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

const WAKING: [Interrupt; 2] = [Interrupt::Uart0, Interrupt::Timer0];
