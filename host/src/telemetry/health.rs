//! Readiness of the host: starting, ready or draining.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use fusebox_core::error::ErrorCode;
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Starting,
    Ready,
    Draining,
}

/// Shared readiness. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    state: watch::Sender<State>,
    is_store_full: Arc<AtomicBool>,
}

impl Readiness {
    /// Starts as `starting`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Marks the host as ready, unless it drains.
    pub fn ready(&self) {
        self.state.send_if_modified(|state| {
            let starts = *state == State::Starting;
            if starts {
                *state = State::Ready;
            }
            starts
        });
    }

    /// Marks the host as draining: it finishes what it has, accepts nothing new, and never becomes ready again.
    pub fn draining(&self) {
        self.state.send_replace(State::Draining);
    }

    /// Sets whether the store is nearly full: a warning, since the host goes on.
    pub fn store_full(&self, is_full: bool) {
        self.is_store_full.store(is_full, Ordering::Relaxed);
    }

    /// Returns the warnings of a host that is ready, each an error code.
    #[must_use]
    pub fn warnings(&self) -> Vec<&'static str> {
        let full = self.is_store_full.load(Ordering::Relaxed);
        full.then_some(ErrorCode::StoreFull.as_str()).into_iter().collect()
    }

    /// Returns true while the host accepts work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.state.borrow() == State::Ready
    }

    /// Returns the state as a word.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match *self.state.borrow() {
            State::Starting => "starting",
            State::Ready => "ready",
            State::Draining => "draining",
        }
    }
}
