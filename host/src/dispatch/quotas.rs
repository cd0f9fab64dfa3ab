//! What tenants may have under way: told to the core, and fuel drawn for it.

use fusebox_core::{dispatch::Event, name::TenantId, quota::Quotas};

use super::driver::{Driver, FromStore};

impl Driver {
    /// Says what a tenant may have under way, before anything is leased of it.
    pub(super) fn tell_quota(&mut self, tenant: &TenantId) {
        if !self.core.knows(tenant) {
            self.handle(quota(tenant, &self.quotas.of(tenant)));
        }
    }

    /// Says what has changed.
    pub(super) fn tell_quotas(&mut self) {
        let changes = self.quotas.changes();
        if std::mem::replace(&mut self.quota_changes, changes) == changes {
            return;
        }
        for (tenant, quotas) in self.quotas.all() {
            if self.core.knows(&tenant) {
                self.handle(quota(&tenant, &quotas));
            }
        }
    }

    pub(super) fn draw(&mut self, tenant: TenantId, fuel: u64) {
        let (store, per_minute) = (self.store.clone(), self.quotas.of(&tenant).fuel_per_minute);
        self.io.spawn(async move {
            let fuel = store.draw_fuel(&tenant, per_minute, fuel).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "cannot draw fuel; trying again");
                0
            });
            FromStore::Drawn { tenant, fuel }
        });
    }

    /// Where it fails, the tenant waits for a little longer than it would have to.
    pub(super) fn give_back(&self, tenant: TenantId, fuel: u64) {
        let (store, per_minute) = (self.store.clone(), self.quotas.of(&tenant).fuel_per_minute);
        tokio::spawn(async move {
            if let Err(error) = store.give_back_fuel(&tenant, per_minute, fuel).await {
                tracing::warn!(%error, "cannot give fuel back");
            }
        });
    }
}

fn quota(tenant: &TenantId, quotas: &Quotas) -> Event {
    let Quotas { running_tasks, fuel_per_minute, .. } = *quotas;
    Event::Quota { tenant: tenant.clone(), running_max: running_tasks, fuel_per_minute }
}
