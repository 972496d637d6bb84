//! Being asked to end: by Ctrl-C, by a signal that means the same, or by the loss of standard output.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;

/// A request to end, which stays made. Everybody who waits for it sees it, whenever they begin to wait.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    requested: Arc<watch::Sender<bool>>,
}

impl Shutdown {
    /// One that nobody has made yet.
    pub(crate) fn new() -> Self {
        Self { requested: Arc::new(watch::Sender::new(false)) }
    }

    /// Makes the request when a signal says so. From here on the signals do not end the process by themselves.
    pub(crate) fn on_signals(&self) -> io::Result<()> {
        let signals = Signals::install()?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            signals.any().await;
            shutdown.request();
        });
        Ok(())
    }

    pub(crate) fn request(&self) {
        self.requested.send_replace(true);
    }

    pub(crate) fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    /// Waits until the request is made; at once if it has been.
    pub(crate) async fn requested(&self) {
        // The sender cannot be gone: `self` holds it.
        let _ = self.requested.subscribe().wait_for(|&requested| requested).await;
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// The terminal or the remote shell is gone.
    hang_up: tokio::signal::unix::Signal,
    /// A file grew over the process's limit. Caught, so that the write fails instead of the process.
    _file_size: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let file_size = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            _file_size: signal(file_size)?,
        })
    }

    async fn any(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self)
    }

    async fn any(self) {
        if tokio::signal::ctrl_c().await.is_err() {
            // No handler can be installed: Ctrl-C ends the process by itself.
            std::future::pending::<()>().await;
        }
    }
}
