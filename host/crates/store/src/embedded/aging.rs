//! Queues whose first task may have reached the greatest age. Tasks that expire at that age need no index: they wait in
//! the order of their acceptance, so the first of a queue is the next to expire.

use std::collections::{BTreeMap, HashSet};

use fusebox_core::{name::TenantId, task::Priority, time::Millis};

use super::keys::Key;

type Queue = (TenantId, Priority);

/// Queues to look at, by the earliest acceptance of a task that they may hold. As many as there are queues with tasks.
#[derive(Default)]
pub(super) struct Aging {
    known: HashSet<Queue>,
    /// Position from which to read: what is before it has been looked at.
    next: BTreeMap<(Millis, TenantId, u8), (Priority, Key)>,
}

impl Aging {
    /// Records that a task was accepted into a queue at `created_at`, now.
    pub(super) fn added(&mut self, tenant: &TenantId, priority: Priority, created_at: Millis) {
        if self.known.insert((tenant.clone(), priority)) {
            self.set(tenant.clone(), priority, created_at, Key::new());
        }
    }

    /// Takes a queue that may hold tasks accepted by `until`.
    pub(super) fn take(&mut self, until: Millis) -> Option<(TenantId, Priority, Key)> {
        let first = self.next.first_entry().filter(|first| first.key().0 <= until)?;
        let ((_, tenant, _), (priority, from)) = first.remove_entry();
        self.known.remove(&(tenant.clone(), priority));
        Some((tenant, priority, from))
    }

    /// Puts a queue back: before `from` nothing more is to be found, and nothing accepted before `created_at`.
    pub(super) fn put_back(&mut self, tenant: TenantId, priority: Priority, created_at: Millis, from: Key) {
        if self.known.insert((tenant.clone(), priority)) {
            self.set(tenant, priority, created_at, from);
        }
    }

    fn set(&mut self, tenant: TenantId, priority: Priority, created_at: Millis, from: Key) {
        self.next.insert((created_at, tenant, super::keys::order(priority)), (priority, from));
    }
}
