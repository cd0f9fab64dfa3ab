//! Fuel of sync invokes that run here: reserved before the run, and given back where it ends normally. A little is kept
//! between runs, so that few of them ask the store.

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
use crate::store::{self, Store};

/// See the module's documentation.
pub struct FuelMeter {
    store: Arc<dyn Store>,
    quotas: Arc<QuotaBook>,
    /// What was drawn and is not reserved.
    purses: Mutex<HashMap<TenantId, u64>>,
}

/// What a run may be refused for.
#[derive(Debug)]
pub enum NoFuel {
    /// The tenant has too little left.
    Spent {
        /// What it may reserve in a minute.
        per_minute: u64,
        /// When to try again, in milliseconds.
        wait_ms: u64,
    },
    /// The store does not say.
    Store(store::Error),
}

impl FuelMeter {
    /// A meter of runs of this process.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, quotas: Arc<QuotaBook>) -> Self {
        Self { store, quotas, purses: Mutex::default() }
    }

    /// Reserves what a run may burn at most.
    ///
    /// # Errors
    /// See [`NoFuel`].
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

    /// Gives back what a run has left.
    pub async fn refund(&self, tenant: &TenantId, fuel: u64) {
        let per_minute = self.quotas.of(tenant).fuel_per_minute;
        if per_minute == UNLIMITED || fuel == 0 {
            return;
        }
        let part = draught(per_minute, 0);
        let surplus = self.put(tenant, fuel).saturating_sub(part);
        if surplus > part && self.take(tenant, surplus).is_none() {
            // Where it fails, the tenant waits for a little longer than it would have to.
            if let Err(error) = self.store.give_back_fuel(tenant, per_minute, surplus).await {
                tracing::warn!(%error, "cannot give fuel back");
            }
        }
    }

    /// Takes all of it, or says how much is missing.
    fn take(&self, tenant: &TenantId, fuel: u64) -> Option<u64> {
        let mut purses = self.purses.lock().unwrap_or_else(PoisonError::into_inner);
        let purse = purses.get(tenant).copied().unwrap_or_default();
        match purse.checked_sub(fuel) {
            Some(left) => {
                purses.insert(tenant.clone(), left);
                None
            }
            None => Some(fuel - purse),
        }
    }

    /// Adds some, and says how much is there.
    fn put(&self, tenant: &TenantId, fuel: u64) -> u64 {
        let mut purses = self.purses.lock().unwrap_or_else(PoisonError::into_inner);
        if purses.len() >= COUNTED_TENANTS_MAX && !purses.contains_key(tenant) {
            // It fills up again with time.
            purses.clear();
        }
        let purse = purses.entry(tenant.clone()).or_default();
        *purse = purse.saturating_add(fuel);
        *purse
    }
}
