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
        leases::{Held, Kept},
        records::{self, Counters, Named, Piece, Running},
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
        self.load_written_leases()?;
        self.load_lease_entries()?;
        self.memory.running.set(self.memory.leases.all_shared());
        self.memory.is_loaded = true;
        Ok(())
    }

    /// Reads the leases that their tasks' records show.
    fn load_written_leases(&mut self) -> Result<()> {
        let prefix = keys::leased_of_all();
        for (key, origin) in self.group.entries(Space::Records, &prefix, &keys::past(&prefix), usize::MAX)? {
            let origin = origin.ok().and_then(|origin| Origin::decode(&origin));
            if let (Some(id), Some(origin)) = (keys::last_task(&key), origin)
                && let Some(Found { task, .. }) = self.readable(self.find_at(id, &origin).map(Some))?
                && let TaskState::Running(lease) = task.state
            {
                let running = Running::of(&task, lease);
                self.memory.leases.insert(id, Held { origin, running, kept: Kept::Record });
            }
        }
        Ok(())
    }

    /// Reads the leases that share values. Those of tasks with later records have ended.
    fn load_lease_entries(&mut self) -> Result<()> {
        let prefix = keys::lease_entries();
        for (key, leases) in self.group.entries(Space::Records, &prefix, &keys::past(&prefix), usize::MAX)? {
            let leases = leases.and_then(|leases| records::decode_leases(&leases));
            let Some(leases) = self.readable(leases.map(Some))? else { continue };
            let Some(number) = keys::last_number(&key) else { continue };
            for (id, origin, running) in leases {
                let Ok(Found { mut task, .. }) = self.find_at(id, &origin) else { continue };
                running.apply(&mut task);
                if task.token() == Some(running.lease.token) && self.memory.leases.get(id).is_none() {
                    self.memory.leases.insert(id, Held { origin, running, kept: Kept::Entry(number) });
                }
            }
        }
        Ok(())
    }

    /// Returns a task.
    pub(super) fn find(&self, id: TaskId) -> Result<Option<Found>> {
        match self.memory.leases.get(id) {
            Some(Held { origin, .. }) => self.find_in([Place::Queue(origin.priority)], id, origin).map(Some),
            None => self.origin(id)?.map(|origin| self.find_at(id, &origin)).transpose(),
        }
    }

    pub(super) fn origin(&self, id: TaskId) -> Result<Option<Origin>> {
        let Some(bytes) = self.group.read(Space::Records, &keys::origin(id))? else { return Ok(None) };
        let origin = Origin::decode(bytes);
        origin.map(Some).ok_or_else(|| Error::Corrupt(format!("the origin of task {id}")))
    }

    pub(super) fn find_at(&self, id: TaskId, origin: &Origin) -> Result<Found> {
        self.find_in([Place::Ended, Place::Queue(origin.priority), Place::Delayed], id, origin)
    }

    fn find_in<const N: usize>(&self, places: [Place; N], id: TaskId, origin: &Origin) -> Result<Found> {
        for place in places {
            if let Some(record) = self.group.get(Space::Records, &origin.record(place, id))? {
                return self.found(id, origin, place, &record);
            }
        }
        Err(Error::Corrupt(format!("the record of task {id}")))
    }

    pub(super) fn found(&self, id: TaskId, origin: &Origin, place: Place, record: &Bytes) -> Result<Found> {
        let named = Named { id, tenant: origin.tenant.clone(), created_at: origin.created_at };
        let (mut task, carried) = records::decode_task(named, record)?;
        if let Some(held) = self.memory.leases.get(id) {
            held.running.apply(&mut task);
        }
        Ok(Found { task, carried, place })
    }

    /// Returns a task that an index names. One that cannot be read is logged; the caller removes its entry, since it
    /// would block everything behind it.
    pub(super) fn readable<T>(&self, found: Result<Option<T>>) -> Result<Option<T>> {
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
