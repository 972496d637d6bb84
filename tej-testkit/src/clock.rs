//! A clock that goes on when nothing else does.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use embassy_time::Duration;
use embassy_time_driver::Driver;

/// Runs `future` on this thread and its own simulated clock, which is the one that embassy-time reads here.
///
/// A poll takes 20 microseconds; when nothing is left to do, the clock jumps to the next alarm. So a timeout of an hour
/// takes no time, a run depends on nothing but its program, and tests in other threads are not disturbed.
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
        CLOCK.with(|clock| clock.pass(POLL));
        while !woken.0.swap(false, Ordering::Relaxed) {
            CLOCK.with(Clock::jump);
        }
    }
    panic!("the test hangs: {POLLS} polls were not enough")
}

/// Lets time pass at once, as a program does that computes for so long.
pub fn advance(duration: Duration) {
    CLOCK.with(|clock| clock.pass(duration.as_ticks()));
}

/// `future` as an executor would run it, as a task of its own: it is polled when it was woken itself, and not because
/// something beside it in a `join` was. embassy-net's sockets wake their stack whenever they are polled, which would go on
/// for ever if that meant polling the sockets.
pub(crate) async fn task<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let task = Arc::new(Task { woken: AtomicBool::new(true), parent: Mutex::new(Waker::noop().clone()) });
    let waker = Waker::from(task.clone());
    poll_fn(|cx| {
        task.parent.lock().expect("no other thread").clone_from(cx.waker());
        if task.woken.swap(false, Ordering::Relaxed) {
            future.as_mut().poll(&mut Context::from_waker(&waker))
        } else {
            Poll::Pending
        }
    })
    .await
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    woken: AtomicBool,
    parent: Mutex<Waker>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        self.parent.lock().expect("no other thread").wake_by_ref();
    }
}

/// The clock of a thread.
struct Clock {
    now: Cell<u64>,
    /// Who is to be woken when, each once.
    alarms: RefCell<Vec<(u64, Waker)>>,
}

impl Clock {
    fn pass(&self, ticks: u64) {
        self.now.set(self.now.get() + ticks);
        self.ring();
    }

    /// Goes on to the next alarm.
    fn jump(&self) {
        let next = self.alarms.borrow().iter().map(|(at, _)| *at).min();
        let next = next.expect("the test hangs: nothing is left that could happen");
        self.now.set(next.max(self.now.get()));
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
    static CLOCK: Clock = const { Clock { now: Cell::new(0), alarms: RefCell::new(Vec::new()) } };
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

/// Ticks that a poll takes, so that somebody who only yields does not stop the clock.
const POLL: u64 = 20;
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
