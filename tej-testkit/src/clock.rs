//! A clock that goes on when nothing else does.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use embassy_time::Duration;
use embassy_time_driver::Driver;

/// Runs `future` on this thread and its own simulated clock, which is the one that embassy-time reads here.
///
/// A poll takes 20 microseconds, and up to a millisecond where polls bring nothing on; when nothing is left to do, the
/// clock jumps to the next alarm. So a timeout of an hour takes no time, a run depends on nothing but its program, and
/// tests in other threads are not disturbed.
///
/// # Panics
///
/// If the future waits for something that no alarm brings, or for ever: after 20 million polls.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    for _ in 0..POLLS {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        CLOCK.with(Clock::pass_poll);
        while !woken.0.swap(false, Ordering::Relaxed) {
            CLOCK.with(Clock::jump);
        }
    }
    panic!("the test hangs: {POLLS} polls were not enough")
}

/// Something has happened: polls are short again.
pub(crate) fn progress() {
    CLOCK.with(|clock| clock.idle_polls.set(0));
}

/// Lets time pass at once, as a program does that computes for so long.
pub fn advance(duration: Duration) {
    CLOCK.with(|clock| clock.pass(duration.as_ticks()));
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The clock of a thread.
struct Clock {
    now: Cell<u64>,
    /// Polls since something was known to happen.
    idle_polls: Cell<u64>,
    /// Who is to be woken when, each once.
    alarms: RefCell<Vec<(u64, Waker)>>,
}

impl Clock {
    fn pass_poll(&self) {
        let idle = self.idle_polls.get() + 1;
        self.idle_polls.set(idle);
        self.pass((idle / PATIENT_POLLS).clamp(1, MAX_POLL / POLL) * POLL);
    }

    fn pass(&self, ticks: u64) {
        self.now.set(self.now.get() + ticks);
        self.ring();
    }

    /// Goes on to the next alarm.
    fn jump(&self) {
        let next = self.alarms.borrow().iter().map(|(at, _)| *at).min();
        let next = next.expect("the test hangs: nothing is left that could happen");
        self.now.set(next.max(self.now.get()));
        self.idle_polls.set(0);
        self.ring();
    }

    fn ring(&self) {
        let now = self.now.get();
        let due: Vec<_> = self.alarms.borrow_mut().extract_if(.., |(at, _)| *at <= now).collect();
        for (_, waker) in due {
            waker.wake();
        }
    }

    /// A waker has one alarm, the earliest: whoever is woken asks again for what is still to come.
    fn set(&self, at: u64, waker: &Waker) {
        let mut alarms = self.alarms.borrow_mut();
        match alarms.iter_mut().find(|(_, other)| other.will_wake(waker)) {
            Some(alarm) => alarm.0 = alarm.0.min(at),
            None => alarms.push((at, waker.clone())),
        }
    }
}

thread_local! {
    static CLOCK: Clock = const { Clock { now: Cell::new(0), idle_polls: Cell::new(0), alarms: RefCell::new(Vec::new()) } };
}

struct ThreadClock;

impl Driver for ThreadClock {
    fn now(&self) -> u64 {
        CLOCK.with(|clock| clock.now.get())
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        CLOCK.with(|clock| clock.set(at, waker));
    }
}

embassy_time_driver::time_driver_impl!(static DRIVER: ThreadClock = ThreadClock);

/// Ticks that a poll takes, and the most that it takes after many without progress. Those are for smoltcp, which asks to
/// be polled at once and again for as long as it has something to send that it cannot send yet, and for tests that yield
/// until something has happened.
const POLL: u64 = 20;
const MAX_POLL: u64 = 1000;
const PATIENT_POLLS: u64 = 100;
/// More than any test needs, and some minutes on a slow machine.
const POLLS: u64 = 20_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use embassy_futures::join::join3;
    use embassy_futures::yield_now;
    use embassy_time::{Instant, Timer};

    #[test]
    fn the_clock_jumps_to_what_comes_first() {
        let order = RefCell::new(Vec::new());
        let sleep = async |seconds| {
            Timer::after_secs(seconds).await;
            order.borrow_mut().push(seconds);
        };
        block_on(join3(sleep(3600), sleep(1), sleep(60)));
        assert_eq!(order.into_inner(), [1, 60, 3600]);
        assert_eq!(Instant::now().as_secs(), 3600);
    }

    #[test]
    fn whoever_only_yields_is_overtaken_by_the_clock() {
        block_on(async {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(1) {
                yield_now().await;
            }
        });
    }

    #[test]
    #[should_panic(expected = "nothing is left that could happen")]
    fn a_future_that_waits_for_nothing_is_found_out() {
        block_on(std::future::pending::<()>());
    }
}
