//! A timer that runs freely: chapter 18 of the manual, "Timer/counter".

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadWrite, WriteOnly};

/// A clock in microseconds.
pub struct Clock {
    registers: &'static Registers,
    last: u32,
    wraps: u32,
}

impl Clock {
    /// Starts the timer whose registers begin at the address `base` at zero. It must be TIMER0, which alone has 32 bits.
    ///
    /// # Safety
    ///
    /// The address must be that of the timer's register block, mapped for as long as the program runs, and nothing else in
    /// the program may touch it.
    pub unsafe fn start(base: usize) -> Self {
        // SAFETY: the caller promises that a register block is there for good; every bit pattern is valid in it, and all
        // access through the reference is volatile.
        let registers = unsafe { &*core::ptr::with_exposed_provenance::<Registers>(base) };
        registers.stop.set(1);
        registers.clear.set(1);
        registers.mode.set(MODE_TIMER);
        registers.bit_mode.set(BIT_MODE_32);
        registers.prescaler.set(PRESCALER_1_MHZ);
        registers.interrupts.set(INTERRUPT_COMPARE_1);
        registers.start.set(1);
        Self { registers, last: 0, wraps: 0 }
    }

    /// Microseconds since the start. It has to be called once in the 71 minutes that the counter takes to wrap; a wrap that
    /// is not seen is left out of the time.
    pub fn now(&mut self) -> u64 {
        self.registers.capture.set(1);
        let count = self.registers.captured.get();
        if count < self.last {
            self.wraps = self.wraps.wrapping_add(1);
        }
        self.last = count;
        u64::from(self.wraps) << 32 | u64::from(count)
    }

    /// Asks for the timer's interrupt in so many microseconds instead of whenever it was asked for.
    pub fn ring_in(&mut self, microseconds: u32) {
        self.registers.capture.set(1);
        self.registers.alarm.set(self.registers.captured.get().wrapping_add(microseconds));
        self.registers.rung.set(0);
    }
}

register_structs! {
    Registers {
        (0x000 => start: WriteOnly<u32>),
        (0x004 => stop: WriteOnly<u32>),
        (0x008 => _count),
        (0x00c => clear: WriteOnly<u32>),
        (0x010 => _shutdown),
        /// Copies the counter into the register at 0x540.
        (0x040 => capture: WriteOnly<u32>),
        (0x044 => _capture_compare),
        (0x144 => rung: ReadWrite<u32>),
        (0x148 => _compare_shortcuts),
        (0x304 => interrupts: ReadWrite<u32>),
        (0x308 => _interrupts_clear),
        (0x504 => mode: ReadWrite<u32>),
        (0x508 => bit_mode: ReadWrite<u32>),
        (0x50c => _reserved),
        (0x510 => prescaler: ReadWrite<u32>),
        (0x514 => _reserved_514),
        (0x540 => captured: ReadWrite<u32>),
        /// At this count the event at 0x144 happens.
        (0x544 => alarm: ReadWrite<u32>),
        (0x548 => @END),
    }
}

const INTERRUPT_COMPARE_1: u32 = 1 << 17;
const MODE_TIMER: u32 = 0;
const BIT_MODE_32: u32 = 3;
/// 16 MHz by 2⁴.
const PRESCALER_1_MHZ: u32 = 4;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    #[test]
    fn the_clock_goes_on_when_the_counter_wraps() {
        let words: &'static [AtomicU32; 0x548 / 4] = Box::leak(Box::new([const { AtomicU32::new(0) }; _]));
        // SAFETY: the memory is as large as the register block, never freed, and may be written through a shared reference.
        let mut clock = unsafe { Clock::start(words.as_ptr().expose_provenance()) };
        assert_eq!([0x504, 0x508, 0x510].map(|at: usize| words[at / 4].load(Relaxed)), [0, 3, 4]);
        let captured = &words[0x540 / 4];
        for (count, time) in
            [(0, 0), (7, 7), (u32::MAX, 0xffff_ffff), (0, 1 << 32), (5, (1 << 32) + 5), (4, (2 << 32) + 4)]
        {
            captured.store(count, Relaxed);
            assert_eq!(clock.now(), time);
        }
        captured.store(u32::MAX, Relaxed);
        words[0x144 / 4].store(1, Relaxed);
        clock.ring_in(3);
        assert_eq!([0x144, 0x544].map(|at: usize| words[at / 4].load(Relaxed)), [0, 2]);
    }
}
