//! Idle timeouts around the two halves of a transport.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Whether `error` is a timeout of this module and not one of the operating system.
pub(crate) fn is_silence(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Silence>)
}

/// When the peer last showed life, shared by the halves of a connection.
#[derive(Debug)]
pub(crate) struct Activity {
    timeout: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The last byte received, or later by the time that was spent on sending since.
    received: Instant,
    /// Since when the local side has been sending a frame, during which the peer owes us nothing.
    sending_since: Option<Instant>,
}

impl State {
    /// How long of the silence since the last byte was our sending, as far as it is not counted in yet.
    fn excused(&self) -> Duration {
        self.sending_since.map_or(Duration::ZERO, |since| since.max(self.received).elapsed())
    }
}

impl Activity {
    pub(crate) fn new(timeout: Option<Duration>) -> Arc<Self> {
        let state = State { received: Instant::now(), sending_since: None };
        Arc::new(Self { timeout, state: Mutex::new(state) })
    }

    /// The peer's silence does not count from here on: we are sending.
    pub(crate) fn sending(&self) {
        let mut state = self.state();
        state.sending_since.get_or_insert_with(Instant::now);
    }

    /// We have sent what we had; the peer's silence counts again.
    pub(crate) fn sent(&self) {
        let mut state = self.state();
        let excused = state.excused();
        state.received += excused;
        state.sending_since = None;
    }

    fn received(&self) {
        self.state().received = Instant::now();
    }

    /// When the peer will have been silent for `timeout`, if it stays silent and we send no longer.
    fn silent_at(&self, timeout: Duration) -> Instant {
        let state = self.state();
        after(state.received + state.excused(), timeout)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Two instants are never left half-updated.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fails a read when the peer has been silent for the timeout.
#[derive(Debug)]
pub(crate) struct IdleRead<R> {
    inner: R,
    activity: Arc<Activity>,
    alarm: Alarm,
}

impl<R> IdleRead<R> {
    pub(crate) fn new(inner: R, activity: Arc<Activity>) -> Self {
        Self { inner, activity, alarm: Alarm::default() }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for IdleRead<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(result) = Pin::new(&mut this.inner).poll_read(cx, buf) {
            this.activity.received();
            return Poll::Ready(result);
        }
        let Some(timeout) = this.activity.timeout else { return Poll::Pending };
        let activity = &this.activity;
        ready!(this.alarm.poll(cx, || activity.silent_at(timeout)));
        Poll::Ready(Err(Silence.into()))
    }
}

/// Fails a write when the peer has neither accepted nor sent anything for the timeout.
#[derive(Debug)]
pub(crate) struct IdleWrite<W> {
    inner: W,
    activity: Arc<Activity>,
    alarm: Alarm,
    /// Since when a write has been waiting.
    waiting_since: Option<Instant>,
}

impl<W> IdleWrite<W> {
    pub(crate) fn new(inner: W, activity: Arc<Activity>) -> Self {
        Self { inner, activity, alarm: Alarm::default(), waiting_since: None }
    }

    fn wait<T>(&mut self, cx: &mut Context<'_>, inner: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if inner.is_ready() {
            self.waiting_since = None;
            return inner;
        }
        let Some(timeout) = self.activity.timeout else { return Poll::Pending };
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let activity = &self.activity;
        ready!(self.alarm.poll(cx, || after(since.max(activity.state().received), timeout)));
        Poll::Ready(Err(Silence.into()))
    }
}

impl<W> Drop for IdleWrite<W> {
    fn drop(&mut self) {
        // Nothing is being sent any more, however it ended.
        self.activity.sent();
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for IdleWrite<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let inner = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.wait(cx, inner)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let inner = Pin::new(&mut this.inner).poll_flush(cx);
        this.wait(cx, inner)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let inner = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.wait(cx, inner)
    }
}

/// A timer for a deadline that moves while it runs.
#[derive(Debug, Default)]
struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Ready once `deadline()` has passed. The deadline is asked for again whenever the timer fires, so that life
    /// which only moves it further away costs nothing.
    fn poll(&mut self, cx: &mut Context<'_>, deadline: impl Fn() -> Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline())));
        loop {
            ready!(sleep.as_mut().poll(cx));
            let (deadline, now) = (deadline(), Instant::now());
            if deadline <= now {
                self.sleep = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline.max(after(now, SHORTEST_NAP)));
        }
    }
}

/// The error of a timeout here.
#[derive(Debug)]
struct Silence;

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the peer was silent for too long")
    }
}

impl std::error::Error for Silence {}

impl From<Silence> for io::Error {
    fn from(silence: Silence) -> Self {
        Self::new(io::ErrorKind::TimedOut, silence)
    }
}

/// `start + duration`, or as good as never where the clock does not reach so far.
fn after(start: Instant, duration: Duration) -> Instant {
    start.checked_add(duration).unwrap_or_else(|| start + Duration::from_secs(30 * 365 * 86_400))
}

/// A deadline that moves all the time is looked at no more often than this.
const SHORTEST_NAP: Duration = Duration::from_millis(5);
