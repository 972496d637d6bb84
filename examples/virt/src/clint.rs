//! The core-local interruptor as the clock and the alarm of embassy-time: a counter of 64 bits, `mtime`, and a moment at
//! which the hart is interrupted, `mtimecmp` ("The RISC-V Instruction Set Manual, Volume II", "Machine Timer Registers";
//! their places are those of the SiFive FU540-C000 manual, "CLINT memory map").

use core::cell::RefCell;
use core::ptr;
use core::task::Waker;

use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::{Driver, TICK_HZ};
use embassy_time_queue_utils::Queue;
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite};

/// The time driver of the first hart. The counter runs since power-up.
pub struct TimeDriver {
    base: usize,
    counts_per_tick: u64,
    queue: Mutex<RefCell<Queue>>,
}

impl TimeDriver {
    /// A driver on the registers that begin at the address `base`, whose counter counts at `hz`, which must be a multiple of
    /// embassy's tick rate.
    ///
    /// # Safety
    ///
    /// The address must be that of a CLINT's register block, mapped for as long as the program runs, and nothing else in the
    /// program may set the alarm.
    pub const unsafe fn new(base: usize, hz: u64) -> Self {
        assert!(hz > 0 && hz.is_multiple_of(TICK_HZ), "ticks must be whole counts");
        Self { base, counts_per_tick: hz / TICK_HZ, queue: Mutex::new(RefCell::new(Queue::new())) }
    }

    /// To be called by the handler of the machine timer interrupt. Wakes the tasks whose time has come.
    pub fn on_alarm(&self) {
        critical_section::with(|cs| self.ring_next(cs));
    }

    /// Wakes whoever is due and sets the alarm to whoever is next. One that has become due meanwhile rings at once.
    fn ring_next(&self, cs: CriticalSection<'_>) {
        let next = self.queue.borrow_ref_mut(cs).next_expiration(self.now());
        self.set_alarm(next.saturating_mul(self.counts_per_tick));
    }

    fn set_alarm(&self, count: u64) {
        let registers = self.registers();
        let [low, high] = halves(count);
        // No moment on the way may be one that is past.
        registers.alarm_high.set(u32::MAX);
        registers.alarm_low.set(low);
        registers.alarm_high.set(high);
    }

    fn count(&self) -> u64 {
        let registers = self.registers();
        loop {
            let high = registers.time_high.get();
            let low = registers.time_low.get();
            // Otherwise the low half has wrapped in between.
            if high == registers.time_high.get() {
                return u64::from(high) << 32 | u64::from(low);
            }
        }
    }

    fn registers(&self) -> &Registers {
        // SAFETY: `new` was promised that a register block is at `base` for good; every bit pattern is valid in it, and
        // all access through the reference is volatile.
        unsafe { &*ptr::with_exposed_provenance::<Registers>(self.base) }
    }
}

impl Driver for TimeDriver {
    fn now(&self) -> u64 {
        self.count() / self.counts_per_tick
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            let is_news = self.queue.borrow_ref_mut(cs).schedule_wake(at, waker);
            if is_news {
                self.ring_next(cs);
            }
        });
    }
}

/// The low one and the high one.
fn halves(count: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = count.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

register_structs! {
    Registers {
        (0x0000 => _software_interrupts),
        (0x4000 => alarm_low: ReadWrite<u32>),
        (0x4004 => alarm_high: ReadWrite<u32>),
        (0x4008 => _other_harts),
        (0xbff8 => time_low: ReadOnly<u32>),
        (0xbffc => time_high: ReadOnly<u32>),
        (0xc000 => @END),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
    use std::task::Wake;

    use super::*;

    #[test]
    fn ticks_are_whole_counts_over_both_halves() {
        let (words, time) = driver();
        for (count, ticks) in [
            (0, 0),
            (9, 0),
            (10, 1),
            (0xffff_ffff, 429_496_729),
            (1 << 32, 429_496_729),
            (u64::MAX, u64::MAX / 10),
        ] {
            words.set_time(count);
            assert_eq!(time.now(), ticks);
        }
    }

    #[test]
    fn the_alarm_is_set_to_the_first_and_wakes_who_is_due() {
        struct Flag(AtomicBool);
        impl Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Relaxed);
            }
        }
        let (words, time) = driver();
        let flags = [(); 2].map(|()| Arc::new(Flag(AtomicBool::new(false))));
        let wakers = flags.each_ref().map(|flag| Waker::from(Arc::clone(flag)));
        time.schedule_wake(1 << 40, &wakers[0]);
        assert_eq!(words.alarm(), 10 << 40);
        time.schedule_wake(7, &wakers[1]);
        assert_eq!(words.alarm(), 70);
        words.set_time(70);
        time.on_alarm();
        assert_eq!(flags.each_ref().map(|flag| flag.0.load(Relaxed)), [false, true]);
        assert_eq!(words.alarm(), 10 << 40);
        words.set_time(10 << 40);
        time.on_alarm();
        assert!(flags[0].0.load(Relaxed));
        // Never.
        assert_eq!(words.alarm(), u64::MAX);
    }

    /// Memory in place of the registers.
    struct Words(&'static [AtomicU32; 0xc000 / 4]);

    impl Words {
        fn set_time(&self, count: u64) {
            for (offset, half) in [0xbff8, 0xbffc].into_iter().zip(halves(count)) {
                self.0[offset / 4].store(half, Relaxed);
            }
        }

        fn alarm(&self) -> u64 {
            let half = |offset: usize| u64::from(self.0[offset / 4].load(Relaxed));
            half(0x4004) << 32 | half(0x4000)
        }
    }

    fn driver() -> (Words, TimeDriver) {
        let words = Words(Box::leak(Box::new([const { AtomicU32::new(0) }; _])));
        // SAFETY: the memory is as large as the register block, never freed, and may be written through a shared reference.
        let driver = unsafe { TimeDriver::new(words.0.as_ptr().expose_provenance(), 10 * TICK_HZ) };
        (words, driver)
    }
}
