//! Index of workers with a free extra slot, which serves only tenants that have nothing at the worker.
//!
//! Counts for each tenant at how many of these workers it has attempts. A worker without attempts of a tenant is thus
//! found in a few steps, regardless of the number of waiting tenants.

use alloc::collections::BTreeSet;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{id::WorkerId, name::TenantId};

/// Workers with a free extra slot, and the tenants present at them.
#[derive(Clone, Debug)]
pub(super) struct Extras {
    free: BTreeSet<WorkerId>,
    known_at: HashMap<TenantId, usize, FixedState>,
}

impl Extras {
    /// Returns an empty index.
    pub(super) fn new(hashes: FixedState) -> Self {
        Self { free: BTreeSet::new(), known_at: HashMap::with_hasher(hashes) }
    }

    /// Records whether the extra slot of a worker is free; `tenants` are those with attempts at the worker.
    pub(super) fn set<'a>(&mut self, id: WorkerId, is_free: bool, tenants: impl Iterator<Item = &'a TenantId>) {
        if is_free == self.free.contains(&id) {
            return;
        }
        if is_free {
            self.free.insert(id);
            tenants.for_each(|tenant| self.count(tenant));
        } else {
            self.free.remove(&id);
            tenants.for_each(|tenant| self.discount(tenant));
        }
    }

    /// Records the first attempt of a tenant at a worker.
    pub(super) fn met(&mut self, id: WorkerId, tenant: &TenantId) {
        if self.free.contains(&id) {
            self.count(tenant);
        }
    }

    /// Records that a worker holds nothing more of a tenant.
    pub(super) fn parted(&mut self, id: WorkerId, tenant: &TenantId) {
        if self.free.contains(&id) {
            self.discount(tenant);
        }
    }

    /// Returns a worker with a free extra slot that holds nothing of the tenant.
    pub(super) fn for_stranger(&self, tenant: &TenantId, has_nothing: impl Fn(WorkerId) -> bool) -> Option<WorkerId> {
        if self.known_at.get(tenant).copied().unwrap_or(0) >= self.free.len() {
            return None;
        }
        self.free.iter().copied().find(|id| has_nothing(*id))
    }

    /// Returns whether no worker has a free extra slot.
    pub(super) fn is_empty(&self) -> bool {
        self.free.is_empty()
    }

    fn count(&mut self, tenant: &TenantId) {
        match self.known_at.get_mut(tenant) {
            Some(count) => *count += 1,
            None => drop(self.known_at.insert(tenant.clone(), 1)),
        }
    }

    fn discount(&mut self, tenant: &TenantId) {
        let Some(count) = self.known_at.get_mut(tenant) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.known_at.remove(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(number: u8) -> WorkerId {
        WorkerId::from_bytes([number; 16])
    }

    #[test]
    fn a_stranger_is_found_a_worker_that_has_nothing_of_it() {
        let (a, b): (TenantId, TenantId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut extras = Extras::new(FixedState::default());
        assert!(extras.is_empty());
        extras.set(worker(1), true, [&a].into_iter());
        assert_eq!(extras.for_stranger(&a, |_| true), None, "there is no other worker, so nobody is looked at");
        assert_eq!(extras.for_stranger(&b, |_| true), Some(worker(1)));
        extras.set(worker(2), true, [].into_iter());
        assert_eq!(extras.for_stranger(&a, |id| id != worker(1)), Some(worker(2)));
        extras.met(worker(2), &a);
        extras.met(worker(3), &a);
        assert_eq!(extras.for_stranger(&a, |_| true), None);
        extras.parted(worker(1), &a);
        assert_eq!(extras.for_stranger(&a, |id| id == worker(1)), Some(worker(1)));
        extras.set(worker(1), false, [].into_iter());
        extras.set(worker(2), false, [&a].into_iter());
        assert!(extras.is_empty() && extras.known_at.is_empty());
    }
}
