//! Whether the host takes work: starting, ready, draining.

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Starting,
    Ready,
    Draining,
}

/// A shared flag. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness(watch::Sender<State>);

impl Readiness {
    /// A host that is starting.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The host takes work.
    pub fn ready(&self) {
        self.0.send_if_modified(|state| {
            let starts = *state == State::Starting;
            if starts {
                *state = State::Ready;
            }
            starts
        });
    }

    /// The host ends what it has and takes nothing new; never ready again.
    pub fn draining(&self) {
        self.0.send_replace(State::Draining);
    }

    /// Whether it takes work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.0.borrow() == State::Ready
    }

    /// A word for people.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match *self.0.borrow() {
            State::Starting => "starting",
            State::Ready => "ready",
            State::Draining => "draining",
        }
    }
}
