//! Quotas of running attempts: passes them to the core and draws fuel for it.

use fusebox_core::{dispatch::Event, name::TenantId, quota::Quotas};

use super::driver::{Driver, FromStore};

impl Driver {
    /// Passes a tenant's quotas to the core before any of its tasks are leased.
    pub(super) fn tell_quota(&mut self, tenant: &TenantId) {
        if !self.machine.core.knows(tenant) {
            self.handle(quota(tenant, &self.options.quotas.of(tenant)));
        }
    }

    /// Passes changed quotas to the core.
    pub(super) fn tell_quotas(&mut self) {
        let changes = self.options.quotas.changes();
        if std::mem::replace(&mut self.quota_changes, changes) == changes {
            return;
        }
        for (tenant, quotas) in self.options.quotas.all() {
            if self.machine.core.knows(&tenant) {
                self.handle(quota(&tenant, &quotas));
            }
        }
    }

    pub(super) fn draw(&mut self, tenant: TenantId, fuel: u64) {
        let (store, per_minute) = (self.options.store.clone(), self.options.quotas.of(&tenant).fuel_per_minute);
        self.io.spawn(async move {
            let fuel = store.draw_fuel(&tenant, per_minute, fuel).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "cannot draw fuel; retrying");
                0
            });
            FromStore::Drawn { tenant, fuel }
        });
    }

    /// Returns fuel to the store. On failure the tenant only waits somewhat longer for it to refill.
    pub(super) fn give_back(&self, tenant: TenantId, fuel: u64) {
        let (store, per_minute) = (self.options.store.clone(), self.options.quotas.of(&tenant).fuel_per_minute);
        tokio::spawn(async move {
            if let Err(error) = store.give_back_fuel(&tenant, per_minute, fuel).await {
                tracing::warn!(%error, "cannot return fuel");
            }
        });
    }
}

fn quota(tenant: &TenantId, quotas: &Quotas) -> Event {
    let Quotas { running_tasks, fuel_per_minute, .. } = *quotas;
    Event::Quota { tenant: tenant.clone(), running_max: running_tasks, fuel_per_minute }
}
