//! Quotas of all tenants, as cached in this process: read at the start, on each change that the store reports, and at
//! intervals. A changed quota takes effect in every process within [`BELIEVED`].

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use foldhash::fast::RandomState;
use fusebox_core::{
    keep::Keep,
    name::TenantId,
    quota::{QuotaSettings, Quotas, UNLIMITED},
    room::{self, Bound},
};
use tokio_util::sync::CancellationToken;

use fusebox_store::{Holdings, Room, Store, Tenant};

/// Interval of reads without a reported change, since a report can be lost.
const BELIEVED: Duration = Duration::from_secs(5);

/// Cache of the quotas.
pub struct QuotaBook {
    store: Arc<dyn Store>,
    /// Retention of this host.
    keep: Keep,
    known: RwLock<Known>,
}

struct Known {
    changes: u64,
    tenants: HashMap<TenantId, Quotas, RandomState>,
    /// Size of the store, in bytes.
    room_bytes: u64,
    /// Room of each place of the store.
    places: Vec<Room>,
    /// Totals of what tenants store, read while a place is nearly full.
    all: Holdings,
}

impl Default for Known {
    fn default() -> Self {
        let (places, all) = (Vec::new(), Holdings::default());
        Self { changes: 0, tenants: HashMap::default(), room_bytes: UNLIMITED, places, all }
    }
}

impl Known {
    fn quotas(&self, tenant: &TenantId, keep: Keep) -> Quotas {
        let unset = || Quotas::of(tenant, &QuotaSettings::NONE, self.room_bytes, keep);
        self.tenants.get(tenant).copied().unwrap_or_else(unset)
    }

    fn bound(&self, quotas: &Quotas) -> Bound {
        room::bound(&self.places, self.all, quotas.stored_bytes)
    }
}

impl QuotaBook {
    /// Creates a cache that returns the defaults until it is refreshed. `keep` is the retention of this host.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, keep: Keep) -> Arc<Self> {
        Arc::new(Self { store, keep, known: RwLock::default() })
    }

    /// Creates a cache and reads the quotas. If the store does not answer, returns the defaults until it does.
    pub async fn open(store: Arc<dyn Store>, keep: Keep) -> Arc<Self> {
        let book = Self::new(store, keep);
        book.look().await;
        book
    }

    /// Returns the retention of this host, which is a tenant's own at most.
    #[must_use]
    pub const fn keep(&self) -> Keep {
        self.keep
    }

    /// Returns the quotas of a tenant. While the store is nearly full, that of stored bytes is its fair share at most.
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> Quotas {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let quotas = known.quotas(tenant, self.keep);
        Quotas { stored_bytes: known.bound(&quotas).bytes(), ..quotas }
    }

    /// Returns the bound of the bytes that a tenant may store.
    #[must_use]
    pub fn bound(&self, tenant: &TenantId) -> Bound {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.bound(&known.quotas(tenant, self.keep))
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
        let (tenants, room_bytes) = (self.store.tenants().await?, room::total_bytes(&self.store.room().await?));
        let quotas = |tenant: Tenant| {
            let quotas = Quotas::of(&tenant.id, &tenant.quotas, room_bytes, self.keep);
            (tenant.id, quotas)
        };
        let tenants: HashMap<_, _, _> = tenants.into_iter().map(quotas).collect();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.tenants != tenants || known.room_bytes != room_bytes {
            let (places, all) = (std::mem::take(&mut known.places), known.all);
            *known = Known { changes: known.changes + 1, tenants, room_bytes, places, all };
        }
        Ok(())
    }

    /// Reads the room of the store, and what tenants store if it is nearly full. Returns the room of each place.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn refresh_room(&self) -> fusebox_store::Result<Vec<Room>> {
        let places = self.store.room().await?;
        let all = match room::is_nearly_full(&places) {
            true => self.store.holdings(&self.tenants()).await?,
            false => Holdings::default(),
        };
        let resized = {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            (known.places, known.all) = (places.clone(), all);
            known.room_bytes != room::total_bytes(&places)
        };
        if resized {
            self.refresh().await?;
        }
        Ok(places)
    }

    fn tenants(&self) -> Vec<TenantId> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).tenants.keys().cloned().collect()
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
