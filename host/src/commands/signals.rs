//! How a process that serves ends: the first signal drains it, a second one ends it at once.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// Where the system does not allow it.
    pub fn listen() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Returns the output of a start, or `None` if a signal arrives first, which cancels the start.
    pub async fn or<T>(&mut self, start: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            started = start => Some(started),
            () = self.next() => {
                tracing::info!("ended by a signal before it had started");
                None
            }
        }
    }

    /// Drains, unless another signal comes.
    pub async fn drain(&mut self, drain: impl Future<Output = ()>) {
        tracing::info!("draining: running tasks may end within 30 s; a second signal ends this process at once");
        tokio::select! {
            () = drain => tracing::info!("drained"),
            () = self.next() => tracing::warn!("ended at once; what was leased here runs again"),
        }
    }
}

/// Ends with an error when a signal comes, so that every process that a command has started ends with it.
///
/// # Errors
/// Always: whatever was begun is not done.
pub async fn stopped() -> anyhow::Result<()> {
    Signals::listen()?.next().await;
    anyhow::bail!("stopped before its end: nothing is shown")
}
