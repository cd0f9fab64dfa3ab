//! Fuel of synchronous invocations that this process runs: reserved before the run, and the rest returned if the run
//! ends normally. A small balance per tenant is kept between runs, so that few runs need the store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use fusebox_core::{
    limits::COUNTED_TENANTS_MAX,
    name::TenantId,
    quota::{UNLIMITED, draught, refill_ms},
};

use super::QuotaBook;
use fusebox_store::Store;

/// Reserves and refunds fuel.
pub struct FuelMeter {
    store: Arc<dyn Store>,
    quotas: Arc<QuotaBook>,
    /// Fuel drawn from the store and not reserved by a run.
    balances: Mutex<HashMap<TenantId, u64>>,
}

/// Reason for refusing a run.
#[derive(Debug)]
pub enum NoFuel {
    /// The tenant has too little fuel left.
    Spent {
        /// Fuel that the tenant may reserve per minute.
        per_minute: u64,
        /// Time after which to retry, in milliseconds.
        wait_ms: u64,
    },
    /// The store does not answer.
    Store(fusebox_store::Error),
}

impl FuelMeter {
    /// Creates the meter of this process.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, quotas: Arc<QuotaBook>) -> Self {
        Self { store, quotas, balances: Mutex::default() }
    }

    /// Reserves the most fuel that a run may use.
    ///
    /// # Errors
    /// Fails if the tenant's quota or the store does not provide it.
    pub async fn reserve(&self, tenant: &TenantId, fuel: u64) -> Result<(), NoFuel> {
        let per_minute = self.quotas.of(tenant).fuel_per_minute;
        if per_minute == UNLIMITED {
            return Ok(());
        }
        let Some(missing) = self.take(tenant, fuel) else { return Ok(()) };
        let asked = draught(per_minute, missing);
        let drawn = self.store.draw_fuel(tenant, per_minute, asked).await.map_err(NoFuel::Store)?;
        self.put(tenant, drawn);
        match self.take(tenant, fuel) {
            None => Ok(()),
            Some(missing) => Err(NoFuel::Spent { per_minute, wait_ms: refill_ms(per_minute, missing) }),
        }
    }

    /// Returns the fuel that a run has not used.
    pub async fn refund(&self, tenant: &TenantId, fuel: u64) {
        let per_minute = self.quotas.of(tenant).fuel_per_minute;
        if per_minute == UNLIMITED || fuel == 0 {
            return;
        }
        let part = draught(per_minute, 0);
        let surplus = self.put(tenant, fuel).saturating_sub(part);
        if surplus > part && self.take(tenant, surplus).is_none() {
            // On failure the tenant only waits somewhat longer for the fuel to refill.
            if let Err(error) = self.store.give_back_fuel(tenant, per_minute, surplus).await {
                tracing::warn!(%error, "cannot return fuel");
            }
        }
    }

    /// Takes `fuel` from the tenant's balance, or returns how much is missing and takes nothing.
    fn take(&self, tenant: &TenantId, fuel: u64) -> Option<u64> {
        let mut balances = self.balances.lock().unwrap_or_else(PoisonError::into_inner);
        let balance = balances.get(tenant).copied().unwrap_or_default();
        match balance.checked_sub(fuel) {
            Some(left) => {
                balances.insert(tenant.clone(), left);
                None
            }
            None => Some(fuel - balance),
        }
    }

    /// Adds `fuel` to the tenant's balance and returns the new balance.
    fn put(&self, tenant: &TenantId, fuel: u64) -> u64 {
        let mut balances = self.balances.lock().unwrap_or_else(PoisonError::into_inner);
        if balances.len() >= COUNTED_TENANTS_MAX && !balances.contains_key(tenant) {
            // The balances are lost, and refill with time.
            balances.clear();
        }
        let balance = balances.entry(tenant.clone()).or_default();
        *balance = balance.saturating_add(fuel);
        *balance
    }
}
