//! Leases that are committed, for reads: the record of a leased task is as it was before. In memory; entries on disk name
//! them to the next process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fusebox_core::id::TaskId;

use super::{
    engine::{Snapshot, Space},
    keys,
    records::{self, Running},
};
use crate::Result;

/// Attempts that run, by their tasks.
pub(super) type Attempts = HashMap<TaskId, Running>;

/// See the module's documentation. A lease may be there for a moment longer than its record shows, never shorter: so a
/// read looks here first, and then takes its snapshot.
#[derive(Default)]
pub(super) struct Committed {
    attempts: Mutex<Arc<Attempts>>,
}

impl Committed {
    /// Reads the leases that a process before has left. Some may have ended, as their tasks' records show.
    pub(super) fn read(snapshot: &Snapshot) -> Result<Self> {
        let prefix = keys::lease_entries();
        let mut attempts = Attempts::new();
        for entry in snapshot.entries_back(Space::Records, &prefix, &keys::past(&prefix))? {
            // A damaged one names nobody.
            let leases = entry?.1.and_then(|entry| records::decode_leases(&entry)).unwrap_or_default();
            for (task, _, running) in leases {
                attempts.entry(task).or_insert(running);
            }
        }
        Ok(Self { attempts: Mutex::new(Arc::new(attempts)) })
    }

    /// Returns the attempt of a task.
    pub(super) fn get(&self, task: TaskId) -> Option<Running> {
        self.lock().get(&task).copied()
    }

    /// Returns all attempts of this moment.
    pub(super) fn all(&self) -> Arc<Attempts> {
        self.lock().clone()
    }

    /// Replaces all attempts.
    pub(super) fn set(&self, attempts: Attempts) {
        *self.lock() = Arc::new(attempts);
    }

    /// Applies what a group has changed: the attempts of these tasks, or that they have none.
    pub(super) fn change(&self, changed: impl IntoIterator<Item = (TaskId, Option<Running>)>) {
        let mut attempts = self.lock();
        let attempts = Arc::make_mut(&mut attempts);
        for (task, running) in changed {
            match running {
                Some(running) => drop(attempts.insert(task, running)),
                None => drop(attempts.remove(&task)),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Attempts>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
