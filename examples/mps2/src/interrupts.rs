//! The interrupts of an image, and its part of the vector table.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

/// An interrupt line, by its number in the image's interrupt map.
#[derive(Clone, Copy)]
pub struct Interrupt(
    /// The number; the processor's own exceptions are not counted.
    pub u16,
);

impl Interrupt {
    /// Lets the interrupt through, beginning with the next time its line is raised.
    pub fn enable(self) {
        NVIC::unpend(self);
        // SAFETY: no critical section of this program relies on a masked interrupt; they disable all.
        unsafe { NVIC::unmask(self) };
    }
}

// SAFETY: the number is the image's, and the table that `vectors` makes has an entry for each.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self.0
    }
}

/// A handler. Function pointers and nothing else: the layout that the processor expects.
pub type Vector = unsafe extern "C" fn();

/// The vector table behind the processor's own exceptions, for an image with so many `LINES`: cortex-m-rt expects it in the
/// section `.vector_table.interrupts` under the name `__INTERRUPTS`. What has no handler here goes to `DefaultHandler`.
///
/// It does not compile with an interrupt that the image does not have.
pub const fn vectors<const LINES: usize, const USED: usize>(
    handlers: [(Interrupt, Vector); USED],
) -> [Vector; LINES] {
    unsafe extern "C" {
        /// cortex-m-rt's name for the handler of whatever has none.
        fn DefaultHandler();
    }
    let mut table = [DefaultHandler as Vector; LINES];
    let mut next = 0;
    while next < USED {
        let (Interrupt(line), handler) = handlers[next];
        table[line as usize] = handler;
        next += 1;
    }
    table
}
