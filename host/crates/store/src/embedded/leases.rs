//! Leases in force. In memory, so that neither a lease nor a renewal moves an index entry; on disk, the leases of one
//! call share an entry, which is removed with the last of them.

use std::collections::HashMap;

use fusebox_core::{
    id::{LeaseToken, TaskId},
    name::TenantId,
    time::Millis,
};

use super::{keys::Origin, records::Running, running::Attempts};

/// Leases in force. Their number is bounded by the slots and prefetch of the workers.
pub(super) struct Leases {
    held: HashMap<TaskId, Held>,
    /// Number of leases in force of each entry on disk.
    entries: HashMap<u64, usize>,
    /// Number of the next entry.
    next: u64,
    /// No lease ends earlier.
    first_end: Millis,
}

/// One lease.
#[derive(Clone)]
pub(super) struct Held {
    /// Origin of the task.
    pub(super) origin: Origin,
    /// Attempt and lease.
    pub(super) running: Running,
    /// Place of the lease on disk.
    pub(super) kept: Kept,
}

/// Place of a lease on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Entry of this number, which has the leases of one call. The task's record is as it was before.
    Entry(u64),
    /// The task's record.
    Record,
}

/// Key that a lease leaves without use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unused {
    /// Entry of this number.
    Entry(u64),
    /// Key of the lease alone.
    Own,
}

impl Default for Leases {
    fn default() -> Self {
        Self { held: HashMap::new(), entries: HashMap::new(), next: 0, first_end: Millis::NEVER }
    }
}

impl Leases {
    /// Returns the number of a new entry.
    pub(super) fn new_entry(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// Adds or replaces a lease; returns the number of the entry that the one before leaves without use.
    pub(super) fn insert(&mut self, task: TaskId, held: Held) -> Option<u64> {
        self.first_end = self.first_end.min(held.running.lease.expires_at);
        if let Kept::Entry(number) = held.kept {
            *self.entries.entry(number).or_default() += 1;
            self.next = self.next.max(number + 1);
        }
        match self.held.insert(task, held).and_then(|before| self.unused(before.kept))? {
            Unused::Entry(number) => Some(number),
            Unused::Own => None,
        }
    }

    /// Removes a lease; returns the key that it leaves without use.
    pub(super) fn remove(&mut self, task: TaskId) -> Option<Unused> {
        let before = self.held.remove(&task)?;
        self.unused(before.kept)
    }

    fn unused(&mut self, kept: Kept) -> Option<Unused> {
        let Kept::Entry(number) = kept else { return Some(Unused::Own) };
        let count = self.entries.get_mut(&number)?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        self.entries.remove(&number);
        Some(Unused::Entry(number))
    }

    /// Returns the lease of a task.
    pub(super) fn get(&self, task: TaskId) -> Option<&Held> {
        self.held.get(&task)
    }

    /// Returns the attempt of a task whose record does not show it.
    pub(super) fn shared(&self, task: TaskId) -> Option<Running> {
        self.get(task).filter(|held| held.kept != Kept::Record).map(|held| held.running)
    }

    /// Returns all attempts that their tasks' records do not show.
    pub(super) fn all_shared(&self) -> Attempts {
        self.held.keys().filter_map(|task| Some((*task, self.shared(*task)?))).collect()
    }

    /// Returns the tasks of leases that have ended by `now`, at most `limit`.
    pub(super) fn ended(&mut self, now: Millis, limit: usize) -> Vec<TaskId> {
        if now < self.first_end {
            return Vec::new();
        }
        let ends = |held: &Held| held.running.lease.expires_at;
        let ended: Vec<_> = self.held.iter().filter(|(_, held)| ends(held) <= now).map(|(id, _)| *id).collect();
        if ended.len() <= limit {
            self.first_end = self.held.values().map(ends).filter(|end| *end > now).min().unwrap_or(Millis::NEVER);
        }
        ended.into_iter().take(limit).collect()
    }

    /// Returns leased tasks, at most `limit`.
    pub(super) fn some(&self, limit: usize) -> Vec<TaskId> {
        self.held.keys().copied().take(limit).collect()
    }

    /// Returns the tasks that some tokens of a tenant hold.
    pub(super) fn of_tokens(&self, tenant: &TenantId, tokens: &[LeaseToken]) -> Vec<TaskId> {
        let is_held = |held: &Held| held.origin.tenant == *tenant && tokens.contains(&held.running.lease.token);
        self.held.iter().filter(|(_, held)| is_held(held)).map(|(id, _)| *id).collect()
    }
}
