//! Records the history of a run, and tracks the run's progress.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fusebox_core::task::Status;
use tokio::time::Instant;

use super::history::{Entry, Event};

/// The recorder, shared by the nemesis and all clients.
#[derive(Clone)]
pub(super) struct Recorder {
    started: Instant,
    book: Arc<Mutex<Written>>,
}

#[derive(Default)]
struct Written {
    entries: Vec<Entry>,
    accepted: HashSet<String>,
    completed: HashSet<String>,
    ended: HashSet<String>,
    /// RFC 3339 with milliseconds, so that later times compare greater as text.
    latest_end: String,
    rounds: u32,
}

/// Progress of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Accepted tasks.
    pub(super) accepted: u64,
    /// Tasks observed as COMPLETED.
    pub(super) completed: u64,
    /// Rounds begun.
    pub(super) rounds: u32,
}

impl Recorder {
    /// Starts an empty history.
    pub(super) fn start() -> Self {
        Self { started: Instant::now(), book: Arc::default() }
    }

    /// Returns the time on the history's clock.
    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Records an event that was requested at `asked_us` and is known now.
    pub(super) fn record(&self, asked_us: u64, event: Event) {
        let mut written = self.lock();
        match &event {
            Event::Accepted { task, .. } => drop(written.accepted.insert(task.clone())),
            Event::Seen { task, sight } if sight.status.is_ended() => {
                written.ended.insert(task.clone());
                let at = sight.end.as_ref().map(|end| end.at.as_str()).unwrap_or_default();
                if at > written.latest_end.as_str() {
                    written.latest_end = at.to_owned();
                }
                if sight.status == Status::Completed {
                    written.completed.insert(task.clone());
                }
            }
            Event::Struck { round, .. } => written.rounds = written.rounds.max(*round),
            _ => {}
        }
        // Under the lock, so that entries are in the order of their times.
        let at_us = self.now_us();
        written.entries.push(Entry { asked_us, at_us, event });
    }

    /// Returns the run's progress.
    pub(super) fn progress(&self) -> Progress {
        let written = self.lock();
        let [accepted, completed] = [&written.accepted, &written.completed].map(|tasks| tasks.len() as u64);
        Progress { accepted, completed, rounds: written.rounds }
    }

    /// Returns true if a task was observed to have ended.
    pub(super) fn has_ended(&self, task: &str) -> bool {
        self.lock().ended.contains(task)
    }

    /// Returns true if any task was observed with an end after this moment, in RFC 3339.
    pub(super) fn has_end_after(&self, moment: &str) -> bool {
        self.lock().latest_end.as_str() > moment
    }

    /// Takes the history and leaves an empty one.
    pub(super) fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut self.lock().entries)
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
