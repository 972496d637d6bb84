//! The platform-level interrupt controller: which interrupts of devices reach the first hart in machine mode, its context
//! 0 ("RISC-V Platform-Level Interrupt Controller Specification", "Memory Map").

use core::ptr;

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::ReadWrite;

/// The controller.
pub struct Plic {
    base: usize,
}

impl Plic {
    /// The controller whose registers begin at the address `base`.
    ///
    /// # Safety
    ///
    /// The address must be that of a PLIC's register block, mapped for as long as the program runs, and nothing else in the
    /// program may touch it.
    pub const unsafe fn new(base: usize) -> Self {
        Self { base }
    }

    /// Lets these interrupts through, and no others.
    ///
    /// # Panics
    ///
    /// For a number that is not in 1 to 31.
    pub fn enable(&self, interrupts: &[u32]) {
        let registers = self.registers();
        let mut enabled = 0;
        for interrupt in interrupts {
            assert!((1..32).contains(interrupt), "only the first word of interrupts is looked after");
            registers.priorities[*interrupt as usize].set(1);
            enabled |= 1 << interrupt;
        }
        registers.enabled.set(enabled);
        registers.threshold.set(0);
    }

    /// Serves what is pending, each with `handle`, which has to silence its device. To be called by the handler of the
    /// machine external interrupt.
    pub fn serve(&self, mut handle: impl FnMut(u32)) {
        let claim = &self.registers().claim;
        loop {
            match claim.get() {
                0 => return,
                interrupt => {
                    handle(interrupt);
                    claim.set(interrupt);
                }
            }
        }
    }

    fn registers(&self) -> &Registers {
        // SAFETY: `new` was promised that a register block is at `base` for good; every bit pattern is valid in it, and
        // all access through the reference is volatile.
        unsafe { &*ptr::with_exposed_provenance::<Registers>(self.base) }
    }
}

register_structs! {
    Registers {
        (0x00_0000 => priorities: [ReadWrite<u32>; 32]),
        (0x00_0080 => _more_priorities_and_pending),
        (0x00_2000 => enabled: ReadWrite<u32>),
        (0x00_2004 => _more_enabled),
        (0x20_0000 => threshold: ReadWrite<u32>),
        (0x20_0004 => claim: ReadWrite<u32>),
        (0x20_0008 => @END),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    #[test]
    fn what_is_enabled_has_a_priority_above_the_threshold() {
        let words: &'static [AtomicU32; 0x20_0008 / 4] =
            Box::leak(Box::new([const { AtomicU32::new(0) }; _]));
        words[0x20_0000 / 4].store(7, Relaxed);
        // SAFETY: the memory is as large as the register block, never freed, and may be written through a shared reference.
        let plic = unsafe { Plic::new(words.as_ptr().expose_provenance()) };
        plic.enable(&[1, 8]);
        let get = |offset: usize| words[offset / 4].load(Relaxed);
        assert_eq!([0, 4, 8, 0x20].map(get), [0, 1, 0, 1]);
        assert_eq!([0x2000, 0x20_0000].map(get), [1 << 8 | 1 << 1, 0]);
        plic.serve(|_| panic!("nothing is pending"));
    }
}
