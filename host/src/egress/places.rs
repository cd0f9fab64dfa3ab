//! Bounds on concurrent requests: of this process and of each tenant.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fusebox_core::{
    limits::{HTTP_REQUESTS_MAX, HTTP_REQUESTS_PER_TENANT_MAX},
    name::TenantId,
};

/// Counts concurrent requests. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    all: usize,
    /// Counts of tenants with at least one request.
    tenants: HashMap<TenantId, usize>,
}

/// Permit of one request, returned when dropped.
pub(super) struct Place {
    places: Places,
    tenant: TenantId,
}

impl Places {
    /// Reserves a permit for a tenant; `None` if its share or the whole is exhausted.
    pub(super) fn take(&self, tenant: &TenantId) -> Option<Place> {
        let mut taken = self.lock();
        let own = taken.tenants.get(tenant).copied().unwrap_or_default();
        if taken.all >= HTTP_REQUESTS_MAX || own >= HTTP_REQUESTS_PER_TENANT_MAX {
            return None;
        }
        taken.all += 1;
        taken.tenants.insert(tenant.clone(), own + 1);
        Some(Place { places: self.clone(), tenant: tenant.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // The counts are consistent wherever a holder could panic, so poisoning can be ignored.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all = taken.all.saturating_sub(1);
        match taken.tenants.get_mut(&self.tenant) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.tenants.remove(&self.tenant)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    #[test]
    fn one_tenant_cannot_take_every_place() {
        let places = Places::default();
        let greedy: Vec<_> = std::iter::from_fn(|| places.take(&tenant("greedy"))).collect();
        assert_eq!(greedy.len(), HTTP_REQUESTS_PER_TENANT_MAX);
        let modest = places.take(&tenant("modest"));
        assert!(modest.is_some() && places.take(&tenant("greedy")).is_none());
        drop(greedy);
        assert!(places.take(&tenant("greedy")).is_some());
        assert_eq!(places.lock().tenants.len(), 1, "a tenant without requests is forgotten");
    }

    #[test]
    fn the_process_has_its_own_bound() {
        let places = Places::default();
        let tenants = 1 + HTTP_REQUESTS_MAX / HTTP_REQUESTS_PER_TENANT_MAX;
        let names = (0..tenants).map(|n| tenant(&format!("t{n}")));
        let taken: Vec<_> = names
            .flat_map(|name| std::iter::from_fn(move || Some(name.clone())).take(HTTP_REQUESTS_PER_TENANT_MAX))
            .collect();
        let taken: Vec<_> = taken.iter().filter_map(|name| places.take(name)).collect();
        assert_eq!(taken.len(), HTTP_REQUESTS_MAX);
    }
}
