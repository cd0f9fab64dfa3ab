//! What tenants may take, as this process knows it: read at the start, when a tenant has changed, and now and then. A
//! changed quota counts everywhere within [`BELIEVED`].

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use fusebox_core::{
    name::TenantId,
    quota::{QuotaSettings, Quotas},
};
use tokio_util::sync::CancellationToken;

use crate::store::{self, Store};

/// A change that nobody has told of is seen after this.
const BELIEVED: Duration = Duration::from_secs(5);

/// See the module's documentation.
pub struct QuotaBook {
    store: Arc<dyn Store>,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    changes: u64,
    tenants: HashMap<TenantId, Quotas>,
}

impl QuotaBook {
    /// The defaults, until it is read what is set.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { store, known: RwLock::default() })
    }

    /// Reads what is set. Where the store does not answer, the defaults count until it does.
    pub async fn open(store: Arc<dyn Store>) -> Arc<Self> {
        let book = Self::new(store);
        book.look().await;
        book
    }

    /// What a tenant may take.
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> Quotas {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.tenants.get(tenant).copied().unwrap_or_else(|| Quotas::of(tenant, &QuotaSettings::default()))
    }

    /// Counts up with each change.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.known.read().unwrap_or_else(PoisonError::into_inner).changes
    }

    /// What every tenant may take.
    #[must_use]
    pub fn all(&self) -> Vec<(TenantId, Quotas)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.tenants.iter().map(|(tenant, quotas)| (tenant.clone(), *quotas)).collect()
    }

    /// Reads again what is set.
    ///
    /// # Errors
    /// Where the store does not say.
    pub async fn refresh(&self) -> store::Result<()> {
        let tenants = self.store.tenants().await?;
        let tenants = tenants.into_iter().map(|tenant| (tenant.id.clone(), Quotas::of(&tenant.id, &tenant.quotas)));
        let tenants: HashMap<_, _> = tenants.collect();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.tenants != tenants {
            *known = Known { changes: known.changes + 1, tenants };
        }
        Ok(())
    }

    /// Keeps up with what is set, until `stop`.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut changes = self.store.identity_changes();
        let told = async {
            loop {
                if let Ok(Err(_)) = tokio::time::timeout(BELIEVED, changes.changed()).await {
                    // The store tells of no changes any more.
                    tokio::time::sleep(BELIEVED).await;
                }
                self.look().await;
            }
        };
        stop.run_until_cancelled(told).await;
    }

    async fn look(&self) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(%error, "cannot read what tenants may take; what was known counts on");
        }
    }
}
