//! The vector table of the AN385 image, and which handler each interrupt goes to.
//!
//! Numbers are from Arm's application note AN385, "Interrupt map"; QEMU follows it.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

use crate::board;

/// The interrupts that the firmware uses.
#[derive(Clone, Copy)]
pub(crate) enum Interrupt {
    /// CMSDK APB timer 1.
    Alarm = 9,
    Ethernet = 13,
}

impl Interrupt {
    /// Lets the interrupt through, beginning with the next time its line is raised.
    pub(crate) fn enable(self) {
        NVIC::unpend(self);
        // SAFETY: no critical section of this program relies on a masked interrupt; they disable all.
        unsafe { NVIC::unmask(self) };
    }
}

// SAFETY: the numbers are those of the table below, and each value has one.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

extern "C" fn on_alarm() {
    board::on_alarm();
}

extern "C" fn on_ethernet() {
    board::on_ethernet();
}

/// Function pointers and nothing else: the layout that the processor expects.
type Vector = unsafe extern "C" fn();

unsafe extern "C" {
    /// cortex-m-rt's name for the handler of whatever has none: the one in the module `faults`.
    fn DefaultHandler();
}

/// Part of the vector table behind the processor's own exceptions, one word for each of the image's interrupts.
// SAFETY: cortex-m-rt, with its feature `device`, reserves this section and this name for this table.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Vector; INTERRUPTS] = {
    let mut table = [DefaultHandler as Vector; INTERRUPTS];
    table[Interrupt::Alarm as usize] = on_alarm;
    table[Interrupt::Ethernet as usize] = on_ethernet;
    table
};

/// Interrupt lines of the AN385 image's processor.
const INTERRUPTS: usize = 32;
