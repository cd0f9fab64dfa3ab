//! Readiness of the host: starting, ready or draining.

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
pub struct Readiness(watch::Sender<State>);

impl Readiness {
    /// Starts as `starting`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Marks the host as ready, unless it drains.
    pub fn ready(&self) {
        self.0.send_if_modified(|state| {
            let starts = *state == State::Starting;
            if starts {
                *state = State::Ready;
            }
            starts
        });
    }

    /// Marks the host as draining: it finishes what it has, accepts nothing new, and never becomes ready again.
    pub fn draining(&self) {
        self.0.send_replace(State::Draining);
    }

    /// Returns true while the host accepts work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.0.borrow() == State::Ready
    }

    /// Returns the state as a word.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match *self.0.borrow() {
            State::Starting => "starting",
            State::Ready => "ready",
            State::Draining => "draining",
        }
    }
}
