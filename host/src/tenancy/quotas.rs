//! Quotas of all tenants, as cached in this process: read at the start, on each change that the store reports, and at
//! intervals. A changed quota takes effect in every process within [`BELIEVED`].

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use foldhash::fast::RandomState;
use fusebox_core::{
    name::TenantId,
    quota::{QuotaSettings, Quotas, UNLIMITED},
};
use tokio_util::sync::CancellationToken;

use fusebox_store::{Store, Tenant};

/// Interval of reads without a reported change, since a report can be lost.
const BELIEVED: Duration = Duration::from_secs(5);

/// Cache of the quotas.
pub struct QuotaBook {
    store: Arc<dyn Store>,
    known: RwLock<Known>,
}

struct Known {
    changes: u64,
    tenants: HashMap<TenantId, Quotas, RandomState>,
    /// Size of the store, in bytes.
    room_bytes: u64,
}

impl Default for Known {
    fn default() -> Self {
        Self { changes: 0, tenants: HashMap::default(), room_bytes: UNLIMITED }
    }
}

impl QuotaBook {
    /// Creates a cache that returns the defaults until it is refreshed.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { store, known: RwLock::default() })
    }

    /// Creates a cache and reads the quotas. If the store does not answer, returns the defaults until it does.
    pub async fn open(store: Arc<dyn Store>) -> Arc<Self> {
        let book = Self::new(store);
        book.look().await;
        book
    }

    /// Returns the quotas of a tenant.
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> Quotas {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let unset = || Quotas::of(tenant, &QuotaSettings::NONE, known.room_bytes);
        known.tenants.get(tenant).copied().unwrap_or_else(unset)
    }

    /// Returns a counter of changes.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.known.read().unwrap_or_else(PoisonError::into_inner).changes
    }

    /// Returns the quotas of every tenant.
    #[must_use]
    pub fn all(&self) -> Vec<(TenantId, Quotas)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.tenants.iter().map(|(tenant, quotas)| (tenant.clone(), *quotas)).collect()
    }

    /// Reads the quotas again.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn refresh(&self) -> fusebox_store::Result<()> {
        let (tenants, room_bytes) = (self.store.tenants().await?, self.store.room().await?.total_bytes);
        let quotas = |tenant: Tenant| {
            let quotas = Quotas::of(&tenant.id, &tenant.quotas, room_bytes);
            (tenant.id, quotas)
        };
        let tenants: HashMap<_, _, _> = tenants.into_iter().map(quotas).collect();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.tenants != tenants || known.room_bytes != room_bytes {
            *known = Known { changes: known.changes + 1, tenants, room_bytes };
        }
        Ok(())
    }

    /// Refreshes the cache on changes and at intervals, until `stop`.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut changes = self.store.identity_changes();
        let told = async {
            loop {
                if let Ok(Err(_)) = tokio::time::timeout(BELIEVED, changes.changed()).await {
                    // The store reports no more changes; fall back to the interval.
                    tokio::time::sleep(BELIEVED).await;
                }
                self.look().await;
            }
        };
        stop.run_until_cancelled(told).await;
    }

    async fn look(&self) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(%error, "cannot read the quotas of tenants; the cached ones stay in force");
        }
    }
}
