//! Two timers of the Cortex-M System Design Kit as the clock and the alarm of embassy-time.
//!
//! The first timer runs freely and is the clock; the second is set to the next moment at which a task wants to
//! wake. The firmware declares the driver and forwards one interrupt:
//!
//! ```
//! use mps2::cmsdk_timer::TimeDriver;
//!
//! embassy_time_driver::time_driver_impl!(
//!     // SAFETY: these timers are there, and nothing else touches them.
//!     static TIME: TimeDriver = unsafe { TimeDriver::new(0x4000_0000, 0x4000_1000, 25_000_000) }
//! );
//!
//! fn alarm_interrupt_handler() {
//!     TIME.on_alarm();
//! }
//! ```
//!
//! # The wrap
//!
//! The counters are 32 bits wide and count down: at 25 MHz, a period is under three minutes. A wrap is seen as
//! a count that is higher than the one before, not by the timer's interrupt flag: flag and count cannot be read
//! as one, and between them the moment at which the count is 0 would be taken for either end of the period.
//! That needs a look at the clock in every period, so the alarm rings at least four times in one, whether
//! anyone waits or not.

use core::cell::RefCell;
use core::task::Waker;

use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::{Driver, TICK_HZ};
use embassy_time_queue_utils::Queue;
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::ReadWrite;
use tock_registers::{register_bitfields, register_structs};

/// The time driver. Until [`start`](Self::start) it is not to be asked for anything.
pub struct TimeDriver {
    /// Base addresses of the timers.
    clock: usize,
    alarm: usize,
    scale: Scale,
    state: Mutex<RefCell<State>>,
}

impl TimeDriver {
    /// A driver on the timers whose registers begin at the addresses `clock` and `alarm`, both counting at
    /// `hz`, which must be a multiple of 1 MHz.
    ///
    /// # Safety
    ///
    /// Both addresses must be those of register blocks of CMSDK APB timers, mapped for as long as the program
    /// runs, and nothing else in the program may touch them.
    pub const unsafe fn new(clock: usize, alarm: usize, hz: u32) -> Self {
        let scale = Scale::new(hz);
        let state = State { past: 0, last_count: scale.top(), queue: Queue::new() };
        Self { clock, alarm, scale, state: Mutex::new(RefCell::new(state)) }
    }

    /// Starts the clock at zero. Call it once, before anything asks for the time, then unmask the interrupt of
    /// the alarm timer.
    pub fn start(&self) {
        critical_section::with(|cs| {
            let clock = self.registers(self.clock);
            clock.ctrl.set(0);
            clock.reload.set(self.scale.top());
            clock.value.set(self.scale.top());
            clock.ctrl.write(Control::ENABLE::SET);
            self.ring_next(cs);
        });
    }

    /// To be called by the handler of the alarm timer's interrupt. Wakes the tasks whose time has come.
    pub fn on_alarm(&self) {
        critical_section::with(|cs| self.ring_next(cs));
    }

    fn now(&self, cs: CriticalSection<'_>) -> u64 {
        let count = self.registers(self.clock).value.get();
        self.state.borrow_ref_mut(cs).advance(self.scale, count)
    }

    /// Wakes whoever is due and sets the alarm to whoever is next.
    fn ring_next(&self, cs: CriticalSection<'_>) {
        loop {
            let now = self.now(cs);
            let next = self.state.borrow_ref_mut(cs).queue.next_expiration(now);
            // Waking takes time, in which the next one may have become due.
            if self.set_alarm(next, self.now(cs)) {
                return;
            }
        }
    }

    /// Sets the alarm to the time `at`, or earlier if that is far away. `false`: it is past.
    fn set_alarm(&self, at: u64, now: u64) -> bool {
        let alarm = self.registers(self.alarm);
        alarm.ctrl.set(0);
        alarm.interrupt.write(Interrupt::PENDING::SET);
        let Some(counts) = self.scale.counts_until(at, now) else {
            return false;
        };
        // The timer has no one-shot mode: the next call stops it.
        alarm.reload.set(counts);
        alarm.value.set(counts);
        alarm.ctrl.write(Control::ENABLE::SET + Control::INTERRUPT_ENABLE::SET);
        true
    }

    fn registers(&self, base: usize) -> &Registers {
        // SAFETY: `new` was promised that a register block is at `base` for good; every bit pattern is valid in
        // it, and all access through the reference is volatile.
        unsafe { &*(base as *const Registers) }
    }
}

impl Driver for TimeDriver {
    fn now(&self) -> u64 {
        critical_section::with(|cs| self.now(cs))
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            let is_news = self.state.borrow_ref_mut(cs).queue.schedule_wake(at, waker);
            if is_news {
                self.ring_next(cs);
            }
        });
    }
}

struct State {
    /// Microseconds in the periods that are over.
    past: u64,
    last_count: u32,
    queue: Queue,
}

impl State {
    /// The time, in microseconds, at which the clock timer reads `count`.
    fn advance(&mut self, scale: Scale, count: u32) -> u64 {
        if count > self.last_count {
            self.past += u64::from(scale.period_us);
        }
        self.last_count = count;
        // At count 0 this is the whole period, which is also where the next one begins.
        self.past + u64::from((scale.period - count) / scale.counts_per_us)
    }
}

/// How counts relate to microseconds. The period is the largest number of whole seconds that the counter can
/// hold, so that periods add up in microseconds without a rest, and the rest of the arithmetic is 32 bits wide.
#[derive(Clone, Copy)]
struct Scale {
    counts_per_us: u32,
    /// Counts and microseconds of a full period.
    period: u32,
    period_us: u32,
}

impl Scale {
    const fn new(hz: u32) -> Self {
        assert!(hz > 0 && hz.is_multiple_of(US_PER_S), "the clock must be a multiple of 1 MHz");
        let seconds = u32::MAX / hz;
        Self { counts_per_us: hz / US_PER_S, period: seconds * hz, period_us: seconds * US_PER_S }
    }

    /// The highest count: a timer passes through it and through 0 once in a period.
    const fn top(self) -> u32 {
        self.period - 1
    }

    /// What to load into the alarm timer at `now` so that it rings at `at` or in a quarter of a period,
    /// whichever is sooner. `None`: it should have rung.
    fn counts_until(self, at: u64, now: u64) -> Option<u32> {
        let wait = at.checked_sub(now).filter(|&wait| wait > 0)?;
        let longest = self.period_us / 4;
        Some(u32::try_from(wait).map_or(longest, |wait| wait.min(longest)) * self.counts_per_us)
    }
}

register_structs! {
    Registers {
        (0x00 => ctrl: ReadWrite<u32, Control::Register>),
        /// The count.
        (0x04 => value: ReadWrite<u32>),
        /// What follows on 0.
        (0x08 => reload: ReadWrite<u32>),
        (0x0c => interrupt: ReadWrite<u32, Interrupt::Register>),
        (0x10 => @END),
    }
}

register_bitfields![u32,
    Control [
        INTERRUPT_ENABLE OFFSET(3) NUMBITS(1) [],
        ENABLE OFFSET(0) NUMBITS(1) [],
    ],
    /// Write one to clear.
    Interrupt [
        PENDING OFFSET(0) NUMBITS(1) [],
    ],
];

const US_PER_S: u32 = 1_000_000;
const _: () = assert!(TICK_HZ == US_PER_S as u64, "select the feature tick-hz-1_000_000 of embassy-time");

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: Scale = Scale::new(25_000_000);

    fn clock() -> State {
        State { past: 0, last_count: SCALE.top(), queue: Queue::new() }
    }

    #[test]
    fn a_period_is_whole_seconds_and_fits_the_counter() {
        for mhz in [1, 20, 25, 168] {
            let scale = Scale::new(mhz * US_PER_S);
            assert_eq!(scale.period_us % US_PER_S, 0);
            assert_eq!(u64::from(scale.period_us) * u64::from(mhz), u64::from(scale.period));
            assert!(u64::from(scale.period) + u64::from(mhz * US_PER_S) > u64::from(u32::MAX));
        }
    }

    /// Every count around two wraps, against a count that does not wrap.
    #[test]
    fn time_never_jumps_at_a_wrap() {
        let mut clock = clock();
        let period = u64::from(SCALE.period);
        // A look every eighth of a period as the alarm guarantees, and at every count near a wrap.
        let wide = (1..=16).map(|eighths| eighths * period / 8);
        let near = [period, 2 * period].into_iter().flat_map(|wrap| wrap - 100..wrap + 100);
        let mut moments: Vec<u64> = wide.chain(near).collect();
        moments.sort_unstable();
        for elapsed in moments {
            let count = u32::try_from((period - elapsed % period) % period).unwrap();
            assert_eq!(clock.advance(SCALE, count), elapsed / 25, "after {elapsed} counts");
        }
    }

    /// QEMU reads 0 from the time a timer is due until it has got round to reloading it.
    #[test]
    fn a_count_that_stays_zero_holds_the_time() {
        let mut clock = clock();
        let end = u64::from(SCALE.period_us);
        assert_eq!(clock.advance(SCALE, 25), end - 1);
        assert_eq!(clock.advance(SCALE, 0), end);
        assert_eq!(clock.advance(SCALE, 0), end);
        assert_eq!(clock.advance(SCALE, SCALE.period - 50 * 25), end + 50);
    }

    #[test]
    fn alarms_are_in_the_future_and_within_a_quarter_of_a_period() {
        let quarter = SCALE.period_us / 4 * 25;
        assert_eq!(SCALE.counts_until(1000, 1000), None);
        assert_eq!(SCALE.counts_until(999, 1000), None);
        assert_eq!(SCALE.counts_until(1001, 1000), Some(25));
        assert_eq!(SCALE.counts_until(u64::MAX, 1000), Some(quarter));
        assert_eq!(SCALE.counts_until(1000 + u64::from(u32::MAX) + 2, 1000), Some(quarter));
        assert_eq!(SCALE.counts_until(u64::from(SCALE.period_us / 4), 0), Some(quarter));
    }
}
