//! Leases in force. In memory, so that a renewal moves no index entry; the key `sl` of each names it to the next process.

use std::collections::HashMap;

use fusebox_core::{
    id::{LeaseToken, TaskId},
    name::TenantId,
    time::Millis,
};

use super::keys::Origin;

/// Leases in force. Their number is bounded by the slots and prefetch of the workers.
pub(super) struct Leases {
    held: HashMap<TaskId, Held>,
    /// No lease ends earlier.
    first_end: Millis,
}

/// One lease.
pub(super) struct Held {
    /// Origin of the task.
    pub(super) origin: Origin,
    /// Secret of the lease.
    pub(super) token: LeaseToken,
    /// Time of its end unless renewed.
    pub(super) expires_at: Millis,
}

impl Default for Leases {
    fn default() -> Self {
        Self { held: HashMap::new(), first_end: Millis::NEVER }
    }
}

impl Leases {
    /// Adds or replaces a lease.
    pub(super) fn insert(&mut self, task: TaskId, held: Held) {
        self.first_end = self.first_end.min(held.expires_at);
        self.held.insert(task, held);
    }

    /// Removes a lease.
    pub(super) fn remove(&mut self, task: TaskId) {
        self.held.remove(&task);
    }

    /// Returns the origin of a leased task.
    pub(super) fn origin(&self, task: TaskId) -> Option<&Origin> {
        self.held.get(&task).map(|held| &held.origin)
    }

    /// Returns the tasks of leases that have ended by `now`, at most `limit`.
    pub(super) fn ended(&mut self, now: Millis, limit: usize) -> Vec<TaskId> {
        if now < self.first_end {
            return Vec::new();
        }
        let ended: Vec<_> = self.held.iter().filter(|(_, held)| held.expires_at <= now).map(|(id, _)| *id).collect();
        if ended.len() <= limit {
            let rest = self.held.values().map(|held| held.expires_at).filter(|end| *end > now);
            self.first_end = rest.min().unwrap_or(Millis::NEVER);
        }
        ended.into_iter().take(limit).collect()
    }

    /// Returns leased tasks, at most `limit`.
    pub(super) fn some(&self, limit: usize) -> Vec<TaskId> {
        self.held.keys().copied().take(limit).collect()
    }

    /// Returns the tasks that some tokens of a tenant hold.
    pub(super) fn of_tokens(&self, tenant: &TenantId, tokens: &[LeaseToken]) -> Vec<TaskId> {
        let held = self.held.iter().filter(|(_, held)| held.origin.tenant == *tenant && tokens.contains(&held.token));
        held.map(|(id, _)| *id).collect()
    }
}
