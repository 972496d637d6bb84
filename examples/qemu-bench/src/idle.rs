//! Runs the tasks, and knows how long they had nothing to do.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use embassy_executor::{Spawner, raw::Executor};
use embassy_time::Instant;
use static_cell::StaticCell;

/// Spawns tasks by `start`, and runs them for ever.
///
/// In between the processor sleeps until the next interrupt. The executor of embassy's for this processor sleeps until the
/// next event, which QEMU takes as a call to look again at once: it would count instructions that no hardware executes.
pub(crate) fn run(start: impl FnOnce(Spawner)) -> ! {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();
    let executor: &'static Executor = EXECUTOR.init_with(|| Executor::new(ptr::null_mut()));
    start(executor.spawner());
    loop {
        IS_DUE.store(false, Ordering::Relaxed);
        // SAFETY: nothing else calls it, and tasks cannot: the executor is nowhere but here.
        unsafe { executor.poll() };
        // An interrupt in between would be slept through. With interrupts masked it wakes all the same, and is served after.
        cortex_m::interrupt::free(|_| {
            if !IS_DUE.load(Ordering::Relaxed) {
                let since = now();
                cortex_m::asm::wfi();
                let idle = now().wrapping_sub(since);
                IDLE.store(IDLE.load(Ordering::Relaxed).wrapping_add(idle), Ordering::Relaxed);
            }
        });
    }
}

/// Microseconds since the start in which the processor did not sleep; wraps after an hour and more.
pub(crate) fn busy() -> u32 {
    now().wrapping_sub(IDLE.load(Ordering::Relaxed))
}

/// What the executor calls when a task is to be polled, from tasks and from interrupts.
#[unsafe(export_name = "__pender")]
fn on_due(_: *mut ()) {
    IS_DUE.store(true, Ordering::Relaxed);
}

#[expect(clippy::cast_possible_truncation, reason = "as documented, it wraps")]
fn now() -> u32 {
    Instant::now().as_micros() as u32
}

static IS_DUE: AtomicBool = AtomicBool::new(false);
/// Microseconds of sleep.
static IDLE: AtomicU32 = AtomicU32::new(0);
