//! Who works for this store's dispatcher. In memory: it is true only while they work, and nothing is decided by it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use fusebox_core::{id::DispatcherId, time::Millis};

use crate::{
    clock::Clock,
    store::{Crew, WorkerInfo},
};

/// See the module's documentation.
pub(super) struct Presence {
    clock: Clock,
    announced: Mutex<HashMap<DispatcherId, Announced>>,
}

struct Announced {
    workers: Vec<WorkerInfo>,
    until: Millis,
}

impl Presence {
    /// Nobody is there.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, announced: Mutex::default() }
    }

    /// Replaces what a dispatcher said before.
    pub(super) fn announce(&self, dispatcher: DispatcherId, workers: Vec<WorkerInfo>, ttl_ms: u64) {
        let now = self.clock.now();
        let mut announced = self.lock();
        announced.retain(|_, said| said.until > now);
        announced.insert(dispatcher, Announced { workers, until: now.plus(ttl_ms) });
    }

    /// Everyone who is there, by age.
    pub(super) fn workers(&self) -> Crew {
        let now = self.clock.now();
        let announced = self.lock();
        let there: Vec<_> = announced.values().filter(|said| said.until > now).collect();
        let mut workers: Vec<_> = there.iter().flat_map(|said| said.workers.iter().cloned()).collect();
        workers.sort_by_key(|worker| worker.id);
        Crew { dispatchers: there.len(), workers }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DispatcherId, Announced>> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
