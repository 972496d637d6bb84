//! The timeouts of a connection, around the two halves of its transport.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::admission::Place;
use crate::config::{MinRate, Timeouts};

/// What the peer's time is spent on, shared by the halves of a connection.
#[derive(Debug)]
pub(crate) struct Activity {
    timeouts: Running,
    state: Mutex<State>,
}

/// Those of the [`Timeouts`] that a connection has once it is made.
#[derive(Debug)]
struct Running {
    idle: Option<Duration>,
    frame: Option<Duration>,
    min_rate: Option<MinRate>,
    write: Option<Duration>,
}

#[derive(Debug)]
struct State {
    peers_time: PeersTime,
    /// The peer's time when its last byte came.
    silent_from: Duration,
    /// When its last byte came.
    received: Instant,
    /// The read that waits while we send.
    reader: Option<Waker>,
    /// When the stream below a transport that holds bytes back last took some.
    taken: Instant,
    /// What the connection holds at its server as long as one of its halves is there.
    place: Option<Place>,
}

impl Activity {
    pub(crate) fn new(timeouts: Timeouts) -> Arc<Self> {
        let now = Instant::now();
        let state = State {
            peers_time: PeersTime::default(),
            silent_from: Duration::ZERO,
            received: now,
            reader: None,
            taken: now,
            place: None,
        };
        let Timeouts { idle, frame, min_rate, write, .. } = timeouts;
        let timeouts = Running { idle, frame, min_rate, write };
        Arc::new(Self { timeouts, state: Mutex::new(state) })
    }

    /// [`Timeouts::write`].
    pub(crate) fn write_timeout(&self) -> Option<Duration> {
        self.timeouts.write
    }

    /// The peer's time stands still from here on: we are sending.
    pub(crate) fn sending(&self) {
        self.state().peers_time.set(|time| time.sending = true);
    }

    /// We have sent what we had.
    pub(crate) fn sent(&self) {
        let mut state = self.state();
        state.peers_time.set(|time| time.sending = false);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Whether the peer's time stands still although a read waits, which is woken when it goes on.
    fn stands(&self, cx: &Context<'_>) -> bool {
        let mut state = self.state();
        let stands = state.peers_time.since.is_none();
        state.reader = stands.then(|| cx.waker().clone());
        stands
    }

    /// A read waits, or does no longer.
    fn waiting(&self, waiting: bool) {
        self.state().peers_time.set(|time| time.waiting = waiting);
    }

    pub(crate) fn hold(&self, place: Place) {
        self.state().place = Some(place);
    }

    /// The peer has shown life, and no read waits.
    pub(crate) fn received(&self) {
        let mut state = self.state();
        state.peers_time.set(|time| time.waiting = false);
        state.silent_from = state.peers_time.spent;
        state.received = Instant::now();
    }

    /// What is below the transport makes progress, although a write may still wait.
    #[cfg(feature = "tls")]
    pub(crate) fn taken(&self) {
        self.state().taken = Instant::now();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is ever left half-updated.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that runs while a read waits and we send nothing: what else takes time is not the peer's fault.
#[derive(Debug, Default)]
struct PeersTime {
    waiting: bool,
    sending: bool,
    /// What it showed when it last stopped or started, and since when it runs.
    spent: Duration,
    since: Option<Instant>,
}

impl PeersTime {
    fn set(&mut self, change: impl FnOnce(&mut Self)) {
        change(self);
        let runs = self.waiting && !self.sending;
        if runs != self.since.is_some() {
            self.spent = self.spent();
            self.since = runs.then(Instant::now);
        }
    }

    /// What it shows.
    fn spent(&self) -> Duration {
        self.spent.saturating_add(self.since.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// When it shows `time`, if it goes on; never, while it stands.
    fn shows(&self, time: Duration) -> Option<Instant> {
        Some(after(self.since?, time.saturating_sub(self.spent)))
    }
}

/// Fails a read when the peer has been silent for the timeout, or takes too long over a frame.
#[derive(Debug)]
pub(crate) struct IdleRead<R> {
    inner: R,
    activity: Arc<Activity>,
    alarm: Alarm,
    pace: Pace,
    /// Whether the last read had to wait, and was not given up.
    waiting: bool,
}

impl<R> IdleRead<R> {
    pub(crate) fn new(inner: R, activity: Arc<Activity>) -> Self {
        Self { inner, activity, alarm: Alarm::default(), pace: Pace::default(), waiting: false }
    }

    pub(crate) fn activity(&self) -> &Activity {
        &self.activity
    }

    pub(crate) fn boxed(self) -> IdleRead<Box<dyn AsyncRead + Send + Unpin>>
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let Self { inner, activity, alarm, pace, waiting } = self;
        IdleRead { inner: Box::new(inner), activity, alarm, pace, waiting }
    }

    /// The transport itself, with no timeouts.
    pub(crate) fn transport(&mut self) -> &mut R {
        &mut self.inner
    }

    /// Says whether what is read next belongs to a frame that has begun.
    pub(crate) fn inside_frame(&mut self, inside: bool) {
        if inside != self.pace.since.is_some() {
            self.pace.received = 0;
            self.pace.since = inside.then(|| self.activity.state().peers_time.spent());
        }
    }

    /// No read waits any more: it was given up.
    pub(crate) fn given_up(&mut self) {
        if std::mem::take(&mut self.waiting) {
            self.activity.waiting(false);
        }
    }
}

impl<R> IdleRead<R> {
    /// Receives by `receive`, which returns how many bytes came, for as long as the timeouts allow.
    pub(crate) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        receive: impl FnOnce(&mut R, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = receive(&mut self.inner, cx) {
            self.activity.received();
            self.waiting = false;
            self.pace.received(*result.as_ref().unwrap_or(&0) as u64);
            return Poll::Ready(result);
        }
        if !self.waiting {
            self.activity.waiting(true);
            self.waiting = true;
        }
        if self.activity.stands(cx) {
            return Poll::Pending;
        }
        let (activity, pace) = (&self.activity, &self.pace);
        let expires = || {
            let state = activity.state();
            let silence =
                activity.timeouts.idle.map(|idle| (state.silent_from.saturating_add(idle), Expired::Silence));
            let (time, expired) =
                silence.into_iter().chain(pace.expires(&activity.timeouts)).min_by_key(|(time, _)| *time)?;
            Some((state.peers_time.shows(time)?, expired))
        };
        let expired = ready!(self.alarm.poll(cx, expires));
        self.given_up();
        Poll::Ready(Err(expired.into()))
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for IdleRead<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let received = self.get_mut().poll_receive(cx, |inner, cx| {
            let before = buf.filled().len();
            ready!(Pin::new(inner).poll_read(cx, buf))?;
            Poll::Ready(Ok(buf.filled().len() - before))
        });
        received.map_ok(|_| ())
    }
}

/// How long a frame takes to come, by the peer's time.
#[derive(Debug, Default)]
struct Pace {
    /// The peer's time when the frame began that is being received.
    since: Option<Duration>,
    /// What of it came. Its first bytes, which came with the end of the one before, are not counted: so few are a
    /// moment.
    received: u64,
}

impl Pace {
    fn received(&mut self, n: u64) {
        if self.since.is_some() {
            self.received = self.received.saturating_add(n);
        }
    }

    /// The time of the peer's at which a frame of which nothing more comes has taken too long.
    fn expires(&self, timeouts: &Running) -> Option<(Duration, Expired)> {
        let since = self.since?;
        let frame = timeouts.frame.map(|allowed| (since.saturating_add(allowed), Expired::Frame));
        let rate =
            timeouts.min_rate.map(|rate| (since.saturating_add(rate.allows(self.received)), Expired::Rate));
        frame.into_iter().chain(rate).min_by_key(|(time, _)| *time)
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

    /// Sends by `send`, which returns how many bytes were taken, for as long as the timeouts allow.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        send: impl FnOnce(&mut W, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let inner = send(&mut self.inner, cx);
        self.wait(cx, inner)
    }

    fn wait<T>(&mut self, cx: &mut Context<'_>, inner: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if inner.is_ready() {
            self.waiting_since = None;
            return inner;
        }
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let activity = &self.activity;
        let Running { idle, write, .. } = activity.timeouts;
        let expires = || {
            let State { received, taken, .. } = *activity.state();
            let since = since.max(taken);
            let idle = idle.map(|timeout| after(since.max(received), timeout));
            let at = idle.into_iter().chain(write.map(|timeout| after(since, timeout))).min()?;
            Some((at, Expired::Silence))
        };
        self.alarm.poll(cx, expires).map(|expired| Err(expired.into()))
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
        self.get_mut().poll_send(cx, |inner, cx| Pin::new(inner).poll_write(cx, buf))
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
    /// Ready once what `expires` first has expired; never, if that is nothing. A timer that runs for an earlier time is left
    /// alone until it fires, so that life which only moves the deadline further away costs nothing.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        expires: impl Fn() -> Option<(Instant, Expired)>,
    ) -> Poll<Expired> {
        let Some((sooner, _)) = expires() else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(sooner)));
        // It may run for a later one: for the end of a silence, when a frame has begun meanwhile.
        if sooner < sleep.deadline() {
            sleep.as_mut().reset(sooner);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            let Some((deadline, expired)) = expires() else { return Poll::Pending };
            let now = Instant::now();
            if deadline <= now {
                self.sleep = None;
                return Poll::Ready(expired);
            }
            sleep.as_mut().reset(deadline.max(after(now, SHORTEST_NAP)));
        }
    }
}

/// Which timeout ended a read or a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    Silence,
    Frame,
    Rate,
}

impl Expired {
    /// The timeout of this module that `error` is, if it is not one of the operating system.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silence => "the peer was silent for too long",
            Self::Frame => "the peer took too long over one frame",
            Self::Rate => "the peer sent too slowly",
        })
    }
}

impl std::error::Error for Expired {}

impl From<Expired> for io::Error {
    fn from(expired: Expired) -> Self {
        Self::new(io::ErrorKind::TimedOut, expired)
    }
}

/// `start + duration`, or as good as never where the clock does not reach so far.
fn after(start: Instant, duration: Duration) -> Instant {
    start.checked_add(duration).unwrap_or_else(|| start + Duration::from_secs(30 * 365 * 86_400))
}

/// A deadline that moves all the time is looked at no more often than this.
const SHORTEST_NAP: Duration = Duration::from_millis(5);
