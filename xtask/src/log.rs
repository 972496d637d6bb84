//! What the device logged so far, and waiting for what it logs next.

use std::{
    fmt,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// One line of the device's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Since the device was switched on, on the desktop's clock.
    pub(crate) at: Duration,
    /// `INFO`, `WARN`, …; [`EMULATOR`] for what the emulator itself says; empty if the device gave none.
    pub(crate) level: &'static str,
    pub(crate) text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.3}  {:<5}  {}", self.at.as_secs_f64(), self.level, self.text)
    }
}

/// The device's log, written by the threads that read it and awaited by others.
pub(crate) struct Log {
    begun: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<Line>,
    ended: bool,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), state: Mutex::default(), changed: Condvar::new() }
    }

    /// Adds a line and gives it back with its time.
    pub(crate) fn push(&self, level: &'static str, text: String) -> Line {
        let line = Line { at: self.begun.elapsed(), level, text };
        self.state().lines.push(line.clone());
        self.changed.notify_all();
        line
    }

    /// Notes that no line will ever follow.
    pub(crate) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    pub(crate) fn ended(&self) -> bool {
        self.state().ended
    }

    /// How many lines there are: a position to wait from.
    pub(crate) fn len(&self) -> usize {
        self.state().lines.len()
    }

    /// The device's first line from position `from` on for which `wanted` holds, never one of the emulator's, and the position after it, waiting at most
    /// `limit` for it. `what` says in an error what was awaited.
    ///
    /// # Errors
    /// When the time is up, and at once when the device has ended.
    pub(crate) fn wait_for(
        &self,
        from: usize,
        limit: Duration,
        what: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(Line, usize)> {
        let deadline = Instant::now() + limit;
        let mut next = from;
        let mut state = self.state();
        loop {
            let mut lines = state.lines.iter().enumerate().skip(next);
            if let Some((position, line)) =
                lines.find(|(_, line)| line.level != EMULATOR && wanted(&line.text))
            {
                return Ok((line.clone(), position + 1));
            }
            next = next.max(state.lines.len());
            if state.ended {
                bail!("the device stopped before it logged {what}");
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            else {
                bail!("the device did not log {what} within {} s", limit.as_secs());
            };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// All lines from position `from` on.
    pub(crate) fn since(&self, from: usize) -> Vec<Line> {
        self.state().lines.get(from..).unwrap_or_default().to_vec()
    }

    /// The last line for which `wanted` holds.
    pub(crate) fn last(&self, wanted: impl Fn(&str) -> bool) -> Option<Line> {
        self.state().lines.iter().rev().find(|line| wanted(&line.text)).cloned()
    }

    /// The last `count` lines, oldest first.
    pub(crate) fn tail(&self, count: usize) -> Vec<Line> {
        let state = self.state();
        state.lines[state.lines.len().saturating_sub(count)..].to_vec()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A writer that panicked left whole lines behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The level of what the emulator says in place of the device.
pub(crate) const EMULATOR: &str = "QEMU";

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_line_that_is_there_is_found_at_once() {
        let log = Log::new();
        log.push("INFO", "one".into());
        log.push("WARN", "two".into());
        let (found, next) = log.wait_for(0, Duration::ZERO, "it", |text| text.starts_with('t')).unwrap();
        assert_eq!((found.level, found.text.as_str(), next), ("WARN", "two", 2));
    }

    #[test]
    fn lines_before_the_position_do_not_count() {
        let log = Log::new();
        log.push("INFO", "one".into());
        let error =
            log.wait_for(log.len(), Duration::from_millis(20), "a one", |text| text == "one").unwrap_err();
        assert_eq!(error.to_string(), "the device did not log a one within 0 s");
    }

    #[test]
    fn the_emulators_words_are_not_the_devices() {
        let log = Log::new();
        log.push(EMULATOR, "one".into());
        log.push("INFO", "two".into());
        assert_eq!(log.wait_for(0, Duration::ZERO, "anything", |_| true).unwrap().0.text, "two");
        assert_eq!(log.last(|text| text == "one").unwrap().level, EMULATOR);
    }

    #[test]
    fn a_line_that_comes_later_wakes_the_waiter() {
        let log = Arc::new(Log::new());
        let writer = Arc::clone(&log);
        let thread = thread::spawn(move || {
            for number in 0..100 {
                writer.push("INFO", format!("line {number}"));
            }
        });
        assert_eq!(log.wait_for(0, LONG, "it", |text| text == "line 99").unwrap().1, 100);
        thread.join().unwrap();
    }

    #[test]
    fn the_end_wakes_the_waiter_too() {
        let log = Arc::new(Log::new());
        let writer = Arc::clone(&log);
        let thread = thread::spawn(move || writer.end());
        let error = log.wait_for(0, LONG, "a sign of life", |_| true).unwrap_err();
        assert_eq!(error.to_string(), "the device stopped before it logged a sign of life");
        thread.join().unwrap();
        // What came before the end is still found.
        log.push("INFO", "last words".into());
        log.wait_for(0, LONG, "it", |text| text == "last words").unwrap();
    }

    #[test]
    fn the_tail_is_the_newest_in_order() {
        let log = Log::new();
        for number in 0..5 {
            log.push("INFO", number.to_string());
        }
        let texts: Vec<_> = log.tail(2).into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["3", "4"]);
        assert_eq!(log.tail(99).len(), 5);
        assert_eq!(log.last(|text| text < "3").unwrap().text, "2");
    }
}
