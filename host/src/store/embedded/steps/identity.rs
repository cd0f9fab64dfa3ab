//! Tenants and API keys: few, small, and seldom written.

use bytes::Bytes;
use fusebox_core::{
    limits::{KEYS_PER_TENANT_MAX, TENANTS_MAX},
    name::TenantId,
    quota::QuotaSettings,
    time::Millis,
};

use super::Steps;
use crate::store::{
    Key, KeyAdded, KeyId, Replaced, Result, Tenant, TenantAdded,
    embedded::{engine::Space, keys, records},
    hints::Event,
};

impl Steps<'_> {
    /// Makes a tenant.
    pub(in crate::store::embedded) fn add_tenant(&mut self, tenant: &Tenant) -> Result<TenantAdded> {
        if self.tenant(&tenant.id)?.is_some() {
            return Ok(TenantAdded::Taken);
        }
        let prefix = keys::tenants();
        if self.group.keys(Space::Records, &prefix, &keys::past(&prefix), TENANTS_MAX)?.len() >= TENANTS_MAX {
            return Ok(TenantAdded::Full);
        }
        self.put_tenant(tenant)?;
        Ok(TenantAdded::Added)
    }

    /// Deletes a tenant and revokes its keys.
    pub(in crate::store::embedded) fn delete_tenant(&mut self, id: &TenantId, now: Millis) -> Result<bool> {
        let is_default = *id == TenantId::default_tenant();
        let tenant = self.tenant(id)?.filter(|tenant| !is_default && tenant.deleted_at.is_none());
        let Some(mut tenant) = tenant else { return Ok(false) };
        tenant.deleted_at = Some(now);
        self.put_tenant(&tenant)?;
        for mut key in self.keys_of(id)? {
            key.revoked_at.get_or_insert(now);
            self.put_key(&key)?;
        }
        Ok(true)
    }

    /// Sets what a tenant may take.
    pub(in crate::store::embedded) fn set_quotas(&mut self, id: &TenantId, quotas: QuotaSettings) -> Result<bool> {
        let Some(tenant) = self.tenant(id)?.filter(|tenant| tenant.deleted_at.is_none()) else { return Ok(false) };
        self.put_tenant(&Tenant { quotas, ..tenant })?;
        Ok(true)
    }

    /// Keeps a new key, and sets the end of the one whose place it takes.
    pub(in crate::store::embedded) fn add_key(&mut self, key: &Key, replaces: Option<Replaced>) -> Result<KeyAdded> {
        if self.tenant(&key.tenant)?.is_none_or(|tenant| tenant.deleted_at.is_some()) {
            return Ok(KeyAdded::NoTenant);
        }
        let now = key.created_at;
        let replaced = match replaces {
            None => None,
            Some(Replaced { id, until }) => match self.key_of(&key.tenant, id)? {
                Some(old) if old.ended_at(now).is_none() => {
                    let until = old.expires_at.map_or(until, |expires_at| expires_at.min(until));
                    Some(Key { expires_at: Some(until), ..old })
                }
                _ => return Ok(KeyAdded::NoKey),
            },
        };
        let known = self.keys_of(&key.tenant)?;
        if known.len() >= KEYS_PER_TENANT_MAX {
            let ended = known.iter().filter_map(|key| Some((key.ended_at(now)?, key.id)));
            let Some((_, first)) = ended.min() else { return Ok(KeyAdded::Full) };
            self.group.remove(Space::Records, keys::api_key(first));
            self.group.remove(Space::Records, keys::api_key_of(&key.tenant, first));
        }
        if let Some(replaced) = replaced {
            self.put_key(&replaced)?;
        }
        self.group.put(Space::Records, keys::api_key_of(&key.tenant, key.id), Bytes::new());
        self.put_key(key)?;
        Ok(KeyAdded::Added)
    }

    /// Revokes a key.
    pub(in crate::store::embedded) fn revoke_key(
        &mut self,
        tenant: &TenantId,
        id: KeyId,
        now: Millis,
    ) -> Result<Option<Key>> {
        let Some(mut key) = self.key_of(tenant, id)? else { return Ok(None) };
        key.revoked_at.get_or_insert(now);
        self.put_key(&key)?;
        Ok(Some(key))
    }

    fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>> {
        match self.group.get(Space::Records, &keys::tenant(id))? {
            Some(bytes) => records::decode_open("a tenant", &bytes).map(Some),
            None => Ok(Some(Tenant::default_tenant()).filter(|tenant| tenant.id == *id)),
        }
    }

    fn put_tenant(&mut self, tenant: &Tenant) -> Result<()> {
        self.group.put(Space::Records, keys::tenant(&tenant.id), records::encode_open(tenant)?);
        self.events.push(Event::Identity);
        Ok(())
    }

    fn key_of(&self, tenant: &TenantId, id: KeyId) -> Result<Option<Key>> {
        let Some(bytes) = self.group.get(Space::Records, &keys::api_key(id))? else { return Ok(None) };
        let key: Key = records::decode_open("an API key", &bytes)?;
        Ok((key.tenant == *tenant).then_some(key))
    }

    fn keys_of(&self, tenant: &TenantId) -> Result<Vec<Key>> {
        let prefix = keys::api_keys_of(tenant);
        let found = self.group.keys(Space::Records, &prefix, &keys::past(&prefix), usize::MAX)?;
        let ids = found.iter().filter_map(|key| keys::last_api_key(key));
        ids.filter_map(|id| self.key_of(tenant, id).transpose()).collect()
    }

    fn put_key(&mut self, key: &Key) -> Result<()> {
        self.group.put(Space::Records, keys::api_key(key.id), records::encode_open(key)?);
        self.events.push(Event::Identity);
        Ok(())
    }
}
