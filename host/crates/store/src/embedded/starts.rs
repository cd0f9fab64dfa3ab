//! Start positions of the queues. A leased task stays where it waited, so each lease would have to read past those of
//! others. This cache remembers up to where a queue has no ready task, but for the few that came back to it. It can be
//! cleared at any time: the next scan then starts at the beginning.

use std::collections::{BTreeSet, HashMap};

use fusebox_core::{name::TenantId, task::Priority};

use super::keys::{self, Key, MOMENT_BYTES, Place};

/// Largest number of remembered tasks that came back to a queue.
const RETURNED_MAX: usize = 1_024;
/// Largest number of cached queues; beyond it, all are dropped.
const QUEUES_MAX: usize = 10_000;

type Moment = [u8; MOMENT_BYTES];

/// Start positions of queues.
#[derive(Default)]
pub(super) struct Starts {
    queues: HashMap<(TenantId, Priority), Start>,
}

/// Start of one queue: each ready task is in `returned`, or at `rest` or later.
#[derive(Default)]
struct Start {
    returned: BTreeSet<Moment>,
    /// End of the first key that has not been read, behind the queue's prefix.
    rest: Key,
}

impl Starts {
    /// Clears the cache.
    pub(super) fn forget(&mut self) {
        self.queues.clear();
    }

    /// Records that a task became ready.
    pub(super) fn added(&mut self, tenant: &TenantId, priority: Priority, task: Moment) {
        let Some(start) = self.queues.get_mut(&(tenant.clone(), priority)) else { return };
        if task[..] >= start.rest[..] {
            return;
        }
        start.returned.insert(task);
        if start.returned.len() > RETURNED_MAX
            && let Some(last) = start.returned.pop_last()
        {
            start.rest = last.to_vec();
        }
    }

    /// Records that a task is no longer ready.
    pub(super) fn removed(&mut self, tenant: &TenantId, priority: Priority, task: &Moment) {
        if let Some(start) = self.queues.get_mut(&(tenant.clone(), priority)) {
            start.returned.remove(task);
        }
    }

    /// Takes the first task that came back to a queue, which comes before the rest.
    pub(super) fn take_returned(&mut self, tenant: &TenantId, priority: Priority) -> Option<Moment> {
        self.queues.get_mut(&(tenant.clone(), priority))?.returned.pop_first()
    }

    /// Returns the key from which to read the rest of a queue.
    pub(super) fn rest(&mut self, tenant: &TenantId, priority: Priority) -> Key {
        let queue = (tenant.clone(), priority);
        if self.queues.len() >= QUEUES_MAX && !self.queues.contains_key(&queue) {
            self.queues.clear();
        }
        let mut key = keys::tasks_of(tenant, Place::Queue(priority));
        key.extend_from_slice(&self.queues.entry(queue).or_default().rest);
        key
    }

    /// Records that the rest of a queue was read up to a task, which is no longer ready once the step is over.
    pub(super) fn read(&mut self, tenant: &TenantId, priority: Priority, task: &Moment) {
        if let Some(start) = self.queues.get_mut(&(tenant.clone(), priority)) {
            start.rest = keys::next(task);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_is_found_before_the_rest() {
        let (mut starts, tenant, normal) = (Starts::default(), TenantId::default_tenant(), Priority::Normal);
        let task = |n: usize| {
            let mut moment = [0; MOMENT_BYTES];
            moment[..8].copy_from_slice(&n.to_be_bytes());
            moment
        };
        starts.rest(&tenant, normal);
        starts.read(&tenant, normal, &task(RETURNED_MAX + 10));
        starts.added(&tenant, normal, task(RETURNED_MAX + 11));
        assert_eq!(starts.take_returned(&tenant, normal), None, "it is in the rest");
        for n in (0..=RETURNED_MAX).rev() {
            starts.added(&tenant, normal, task(n));
        }
        starts.removed(&tenant, normal, &task(0));
        for n in 1..RETURNED_MAX {
            assert_eq!(starts.take_returned(&tenant, normal), Some(task(n)));
        }
        assert_eq!(starts.take_returned(&tenant, normal), None);
        assert!(starts.rest(&tenant, normal).ends_with(&task(RETURNED_MAX)), "too many are found by reading");
    }
}
