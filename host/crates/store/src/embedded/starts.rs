//! Start positions of the indexes. Entries that a group has removed but not committed can only be skipped by reading
//! past them, so scanning an index from its beginning for each task of a group would take quadratic time. This cache
//! remembers up to where an index is empty, and holds few entries however many tasks are queued. It can be cleared at
//! any time: the next scan then starts at the beginning.

use std::collections::{BTreeSet, HashMap};

use fusebox_core::{name::TenantId, task::Priority};

use super::{
    engine::Space,
    group::Group,
    keys::{self, Key, MOMENT_BYTES, Timed},
};
use crate::Result;

/// Number of a queue's entries read at a time.
const READ: usize = 256;
/// Largest number of cached entries per queue.
const HEAD_MAX: usize = 1_024;
/// Largest number of cached queues; beyond it, all are dropped.
const QUEUES_MAX: usize = 10_000;

type Moment = [u8; MOMENT_BYTES];

/// Cached heads of ready queues, and start positions of timed indexes.
#[derive(Default)]
pub(super) struct Starts {
    queues: HashMap<(TenantId, Priority), Head>,
    timed: [Option<Key>; Timed::COUNT],
}

/// Head of one queue: each entry of the queue is in `first`, or in the engine at `rest` or later.
struct Head {
    first: BTreeSet<Moment>,
    rest: Key,
}

impl Starts {
    /// Records that an entry was written to a ready index.
    pub(super) fn ready_added(&mut self, tenant: &TenantId, priority: Priority, entry: Moment) {
        let Some(head) = self.queues.get_mut(&(tenant.clone(), priority)) else { return };
        if entry[..] >= head.rest[..] {
            return;
        }
        head.first.insert(entry);
        if head.first.len() > HEAD_MAX
            && let Some(last) = head.first.pop_last()
        {
            head.rest = last.to_vec();
        }
    }

    /// Records that an entry was removed from a ready index.
    pub(super) fn ready_removed(&mut self, tenant: &TenantId, priority: Priority, entry: &Moment) {
        if let Some(head) = self.queues.get_mut(&(tenant.clone(), priority)) {
            head.first.remove(entry);
        }
    }

    /// Returns the first entry of a ready index.
    pub(super) fn first_ready(
        &mut self,
        group: &Group<'_>,
        tenant: &TenantId,
        priority: Priority,
    ) -> Result<Option<Moment>> {
        let queue = (tenant.clone(), priority);
        if self.queues.len() >= QUEUES_MAX && !self.queues.contains_key(&queue) {
            self.queues.clear();
        }
        let head = self.queues.entry(queue).or_insert(Head { first: BTreeSet::new(), rest: Key::new() });
        if head.first.is_empty() {
            let prefix = keys::ready_of(tenant, priority);
            let from = [&prefix[..], &head.rest].concat();
            let read = group.keys(Space::Index, &from, &keys::past(&prefix), READ)?;
            head.first.extend(read.iter().filter_map(|key| keys::last_moment(key)));
            if let Some(last) = head.first.last() {
                head.rest = keys::next(last);
            }
        }
        Ok(head.first.first().copied())
    }

    /// Records that an entry was written to a timed index.
    pub(super) fn timed_added(&mut self, timed: Timed, key: &[u8]) {
        if let Some(start) = &mut self.timed[timed as usize]
            && key < &start[..]
        {
            *start = key.to_vec();
        }
    }

    /// Returns the key from which to read a timed index.
    pub(super) fn timed(&self, timed: Timed) -> Key {
        self.timed[timed as usize].clone().unwrap_or_else(|| timed.start())
    }

    /// Records that there is nothing before `key`, or will be nothing once the current step is over.
    pub(super) fn timed_read(&mut self, timed: Timed, key: Key) {
        self.timed[timed as usize] = Some(key);
    }
}
