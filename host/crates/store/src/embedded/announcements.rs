//! Announced dispatchers and workers. In memory, since they end with the process and no decision depends on them.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use fusebox_core::{id::DispatcherId, time::Millis};

use super::EmbeddedStore;
use crate::{Crew, Presence, Result, WorkerInfo};
use fusebox_system::clock::Clock;

/// Announcements of dispatchers, with their expiry.
pub(super) struct Announcements {
    clock: Clock,
    announced: Mutex<HashMap<DispatcherId, Announced>>,
}

struct Announced {
    workers: Vec<WorkerInfo>,
    until: Millis,
}

impl Announcements {
    /// Creates a registry without announcements.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, announced: Mutex::default() }
    }

    /// Replaces a dispatcher's previous announcement.
    pub(super) fn announce(&self, dispatcher: DispatcherId, workers: Vec<WorkerInfo>, ttl_ms: u64) {
        let now = self.clock.now();
        let mut announced = self.lock();
        announced.retain(|_, said| said.until > now);
        announced.insert(dispatcher, Announced { workers, until: now.plus(ttl_ms) });
    }

    /// Returns the dispatchers and workers whose announcement has not expired, by age.
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

#[async_trait]
impl Presence for EmbeddedStore {
    async fn announce(&self, dispatcher: DispatcherId, workers: Vec<WorkerInfo>, ttl_ms: u64) -> Result<()> {
        self.announcements.announce(dispatcher, workers, ttl_ms);
        Ok(())
    }

    async fn workers(&self) -> Result<Crew> {
        Ok(self.announcements.workers())
    }
}
