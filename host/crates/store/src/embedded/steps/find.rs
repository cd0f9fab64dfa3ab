//! Reads of tasks by steps: by their ids, and by the indexes that name them.

use bytes::Bytes;
use fusebox_core::{
    id::TaskId,
    task::{Priority, TaskState},
    time::Millis,
};

use super::{Found, Steps};
use crate::{
    Error, Result,
    embedded::{
        engine::Space,
        keys::{self, Origin, Place},
        leases::Held,
        records::{self, Counters, Named, Piece},
    },
};

impl Steps<'_> {
    /// Reads what the memory must hold before the first step.
    pub(super) fn load(&mut self) -> Result<()> {
        if self.memory.is_loaded {
            return Ok(());
        }
        let prefix = keys::counters_of_all();
        for (key, counters) in self.group.entries(Space::Records, &prefix, &keys::past(&prefix), usize::MAX)? {
            let counters = counters.and_then(|counters| records::decode::<Counters>("a tenant's counters", &counters));
            // Damaged ones are an error to the steps of their tenant alone.
            let (Some(tenant), Ok(counters)) = (keys::named_tenant(&key), counters) else { continue };
            for priority in Priority::HIGHEST_FIRST {
                if counters.ready[usize::from(keys::order(priority))] > 0 {
                    self.memory.aging.added(&tenant, priority, Millis(0));
                }
            }
        }
        let prefix = keys::leased_of_all();
        for (key, origin) in self.group.entries(Space::Records, &prefix, &keys::past(&prefix), usize::MAX)? {
            let origin = origin.ok().and_then(|origin| Origin::decode(&origin));
            if let (Some(id), Some(origin)) = (keys::last_task(&key), origin)
                && let Some(Found { task, .. }) = self.readable(self.find_at(id, &origin))?
                && let TaskState::Running(lease) = task.state
            {
                self.memory.leases.insert(id, Held { origin, token: lease.token, expires_at: lease.expires_at });
            }
        }
        self.memory.is_loaded = true;
        Ok(())
    }

    /// Returns a task.
    pub(super) fn find(&self, id: TaskId) -> Result<Option<Found>> {
        let origin = match self.memory.leases.origin(id) {
            Some(origin) => Some(origin.clone()),
            None => self.origin(id)?,
        };
        origin.map_or(Ok(None), |origin| self.find_at(id, &origin))
    }

    pub(super) fn origin(&self, id: TaskId) -> Result<Option<Origin>> {
        let Some(bytes) = self.group.read(Space::Records, &keys::origin(id))? else { return Ok(None) };
        let origin = Origin::decode(bytes);
        origin.map(Some).ok_or_else(|| Error::Corrupt(format!("the origin of task {id}")))
    }

    pub(super) fn find_at(&self, id: TaskId, origin: &Origin) -> Result<Option<Found>> {
        for place in [Place::Queue(origin.priority), Place::Ended, Place::Delayed] {
            if let Some(record) = self.group.get(Space::Records, &origin.record(place, id))? {
                return self.found(id, origin, place, &record).map(Some);
            }
        }
        Err(Error::Corrupt(format!("the record of task {id}")))
    }

    pub(super) fn found(&self, id: TaskId, origin: &Origin, place: Place, record: &Bytes) -> Result<Found> {
        let named = Named { id, tenant: origin.tenant.clone(), created_at: origin.created_at };
        let (task, carried) = records::decode_task(named, record)?;
        Ok(Found { task, carried, place })
    }

    /// Returns a task that an index names. One that cannot be read is logged; the caller removes its entry, since it
    /// would block everything behind it.
    pub(super) fn readable(&self, found: Result<Option<Found>>) -> Result<Option<Found>> {
        match found {
            Err(Error::Corrupt(reason)) => {
                tracing::error!(reason, "task skipped: its record cannot be read");
                Ok(None)
            }
            found => found,
        }
    }

    /// Returns the task that an index entry names, see [`Self::readable`].
    pub(super) fn indexed(&self, key: &[u8]) -> Result<Option<Found>> {
        let Some(id) = keys::last_task(key) else { return Ok(None) };
        self.readable(self.find(id))
    }

    /// Returns the bytes of a piece; `key` is that of large ones.
    pub(super) fn whole(&self, key: &[u8], piece: &Piece) -> Result<Bytes> {
        match piece {
            Piece::Inline(bytes) => Ok(bytes.clone()),
            Piece::Outside(_) => self.group.get(Space::Blobs, key)?.ok_or_else(records::missing_piece),
        }
    }
}
