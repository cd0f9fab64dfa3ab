//! Tenants and API keys in the embedded store.

use async_trait::async_trait;
use fusebox_core::{name::TenantId, quota::QuotaSettings};
use tokio::sync::watch;

use super::{
    EmbeddedStore,
    engine::{Snapshot, Space},
    keys,
    reads::Reads,
    records,
};
use crate::{Acted, Acting, Cleared, Identity, Key, KeyAdded, KeyId, KnownKey, NewKey, Result, Tenant, TenantAdded};

#[async_trait]
impl Identity for EmbeddedStore {
    async fn add_tenant(&self, by: Acting, tenant: TenantId) -> Result<Acted<TenantAdded>> {
        self.writer.step(0, move |steps| steps.add_tenant(by, tenant.clone())).await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>> {
        self.reads.aside(Reads::tenants).await
    }

    async fn delete_tenant(&self, by: Acting, tenant: &TenantId) -> Result<Acted<bool>> {
        let tenant = tenant.clone();
        self.writer.step(0, move |steps| steps.delete_tenant(by, &tenant)).await
    }

    async fn clear_tenant(&self, tenant: &TenantId) -> Result<Cleared> {
        let tenant = tenant.clone();
        self.writer.step(0, move |steps| steps.clear_tenant(&tenant)).await
    }

    async fn set_quotas(&self, by: Acting, tenant: &TenantId, quotas: QuotaSettings) -> Result<Acted<bool>> {
        let tenant = tenant.clone();
        self.writer.step(0, move |steps| steps.set_quotas(by, &tenant, quotas)).await
    }

    async fn add_key(&self, by: Acting, new: NewKey) -> Result<Acted<KeyAdded>> {
        self.writer.step(0, move |steps| steps.add_key(by, &new)).await
    }

    async fn key(&self, key: KeyId) -> Result<Option<KnownKey>> {
        let found = key_of(&self.reads.snapshot()?, key)?;
        Ok(found.map(|key| KnownKey { key, at: self.clock.now() }))
    }

    async fn keys(&self, tenant: &TenantId) -> Result<Vec<Key>> {
        let tenant = tenant.clone();
        self.reads.aside(move |reads| reads.keys(&tenant)).await
    }

    async fn revoke_key(&self, by: Acting, tenant: &TenantId, key: KeyId) -> Result<Acted<Option<Key>>> {
        let tenant = tenant.clone();
        self.writer.step(0, move |steps| steps.revoke_key(by, &tenant, key)).await
    }

    async fn has_keys(&self) -> Result<bool> {
        Ok(self.reads.snapshot()?.get(Space::Records, &keys::keyed())?.is_some())
    }

    fn identity_changes(&self) -> watch::Receiver<u64> {
        self.hints.identity()
    }
}

impl Reads {
    fn tenants(&self) -> Result<Vec<Tenant>> {
        let prefix = keys::tenants();
        let mut tenants = Vec::new();
        let snapshot = self.snapshot()?;
        for entry in snapshot.entries(Space::Records, &prefix, &keys::past(&prefix))? {
            tenants.push(records::decode_open("a tenant", &entry?.1)?);
        }
        Ok(Tenant::with_default(tenants))
    }

    fn keys(&self, tenant: &TenantId) -> Result<Vec<Key>> {
        let prefix = keys::api_keys_of(tenant);
        let snapshot = self.snapshot()?;
        let mut found = Vec::new();
        for entry in snapshot.entries(Space::Records, &prefix, &keys::past(&prefix))? {
            let Some(id) = keys::last_api_key(&entry?.0) else { continue };
            found.extend(key_of(&snapshot, id)?);
        }
        Ok(Key::oldest_first(found))
    }
}

fn key_of(snapshot: &Snapshot, key: KeyId) -> Result<Option<Key>> {
    let bytes = snapshot.get(Space::Records, &keys::api_key(key))?;
    bytes.map(|bytes| records::decode_open("an API key", &bytes)).transpose()
}
