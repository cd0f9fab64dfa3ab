//! Signals that end a server: the first one drains it, a second one ends it at once.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Starts to listen for the signals.
    ///
    /// # Errors
    /// Fails if the operating system refuses.
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
                tracing::info!("ended by a signal during the start");
                None
            }
        }
    }

    /// Waits for the drain, unless another signal arrives.
    pub async fn drain(&mut self, drain: impl Future<Output = ()>) {
        tracing::info!("draining: running tasks may end within 30 s; a second signal ends this process at once");
        tokio::select! {
            () = drain => tracing::info!("drained"),
            () = self.next() => tracing::warn!("ended at once; attempts leased here will run again"),
        }
    }
}
