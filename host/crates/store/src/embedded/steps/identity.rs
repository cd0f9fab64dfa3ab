//! Changes of tenants and API keys: few, small, and rare.

use bytes::Bytes;
use fusebox_core::{
    limits::{KEYS_PER_TENANT_MAX, TENANTS_MAX},
    name::TenantId,
    quota::QuotaSettings,
};

use super::Steps;
use crate::{
    Acted, Acting, Denied, Key, KeyAdded, KeyId, NewKey, Replaced, Result, Scope, Tenant, TenantAdded,
    embedded::{engine::Space, keys, records},
    hints::Event,
};

impl Steps<'_> {
    /// Creates a tenant.
    pub(in crate::embedded) fn add_tenant(&mut self, by: Acting, id: TenantId) -> Result<Acted<TenantAdded>> {
        if !self.reaches(by, &TenantId::default_tenant())? {
            return Ok(Err(Denied));
        }
        if self.tenant(&id)?.is_some() || self.group.contains(Space::Records, &keys::tombstone(&id))? {
            return Ok(Ok(TenantAdded::Taken));
        }
        let prefix = keys::tenants();
        if self.group.keys(Space::Records, &prefix, &keys::past(&prefix), TENANTS_MAX)?.len() >= TENANTS_MAX {
            return Ok(Ok(TenantAdded::Full));
        }
        let tenant = Tenant::new(id, self.now);
        self.put_tenant(&tenant)?;
        Ok(Ok(TenantAdded::Added(tenant)))
    }

    /// Replaces a tenant's quotas.
    pub(in crate::embedded) fn set_quotas(
        &mut self,
        by: Acting,
        id: &TenantId,
        quotas: QuotaSettings,
    ) -> Result<Acted<bool>> {
        if !self.reaches(by, &TenantId::default_tenant())? {
            return Ok(Err(Denied));
        }
        let Some(tenant) = self.tenant(id)?.filter(|tenant| tenant.deleted_at.is_none()) else { return Ok(Ok(false)) };
        self.put_tenant(&Tenant { quotas, ..tenant })?;
        Ok(Ok(true))
    }

    /// Stores a new key, and sets the expiry of the key that it replaces.
    pub(in crate::embedded) fn add_key(&mut self, by: Acting, new: &NewKey) -> Result<Acted<KeyAdded>> {
        let known = self.key_of(&new.tenant, new.id)?;
        if let Some(known) = known.filter(|known| known.digest == new.digest) {
            return Ok(Ok(KeyAdded::Added(known)));
        }
        if !self.reaches(by, &new.tenant)? {
            return Ok(Err(Denied));
        }
        if self.tenant(&new.tenant)?.is_none_or(|tenant| tenant.deleted_at.is_some()) {
            return Ok(Ok(KeyAdded::NoTenant));
        }
        let now = self.now;
        let replaced = match new.replaces {
            None => None,
            Some(Replaced { id, grace_ms }) => match self.key_of(&new.tenant, id)? {
                Some(old) if old.ended_at(now).is_none() => {
                    let until = now.plus(grace_ms);
                    let until = old.expires_at.map_or(until, |expires_at| expires_at.min(until));
                    Some(Key { expires_at: Some(until), ..old })
                }
                _ => return Ok(Ok(KeyAdded::NoKey)),
            },
        };
        let known = self.keys_of(&new.tenant)?;
        if known.len() >= KEYS_PER_TENANT_MAX {
            let ended = known.iter().filter_map(|key| Some((key.ended_at(now)?, key.id)));
            let Some((_, first)) = ended.min() else { return Ok(Ok(KeyAdded::Full)) };
            self.group.remove(Space::Records, keys::api_key(first));
            self.group.remove(Space::Records, keys::api_key_of(&new.tenant, first));
        }
        if let Some(replaced) = replaced {
            self.put_key(&replaced)?;
        }
        let key = new.clone().made(now);
        self.group.put(Space::Records, keys::keyed(), Bytes::new());
        self.group.put(Space::Records, keys::api_key_of(&key.tenant, key.id), Bytes::new());
        self.put_key(&key)?;
        Ok(Ok(KeyAdded::Added(key)))
    }

    /// Revokes a key.
    pub(in crate::embedded) fn revoke_key(
        &mut self,
        by: Acting,
        tenant: &TenantId,
        id: KeyId,
    ) -> Result<Acted<Option<Key>>> {
        let key = self.key_of(tenant, id)?;
        let is_its_own_end = by == Acting::Key(id) && key.as_ref().is_some_and(|key| key.revoked_at.is_some());
        if !is_its_own_end && !self.reaches(by, tenant)? {
            return Ok(Err(Denied));
        }
        let Some(mut key) = key else { return Ok(Ok(None)) };
        if key.revoked_at.is_none() {
            key.revoked_at = Some(self.now);
            self.put_key(&key)?;
        }
        Ok(Ok(Some(key)))
    }

    /// Returns true if the authority covers a tenant's records. Records of the host itself belong to the default
    /// tenant.
    pub(super) fn reaches(&self, by: Acting, tenant: &TenantId) -> Result<bool> {
        let id = match by {
            Acting::Store => return Ok(true),
            Acting::Keyless => return Ok(!self.group.contains(Space::Records, &keys::keyed())?),
            Acting::Key(id) => id,
        };
        let Some(bytes) = self.group.get(Space::Records, &keys::api_key(id))? else { return Ok(false) };
        let key: Key = records::decode_open("an API key", &bytes)?;
        let is_near = key.tenant == *tenant || key.tenant == TenantId::default_tenant();
        Ok(is_near && key.scope == Scope::Admin && key.ended_at(self.now).is_none())
    }

    pub(super) fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>> {
        match self.group.get(Space::Records, &keys::tenant(id))? {
            Some(bytes) => records::decode_open("a tenant", &bytes).map(Some),
            None => Ok(Some(Tenant::default_tenant()).filter(|tenant| tenant.id == *id)),
        }
    }

    pub(super) fn put_tenant(&mut self, tenant: &Tenant) -> Result<()> {
        self.group.put(Space::Records, keys::tenant(&tenant.id), records::encode_open(tenant)?);
        self.events.push(Event::Identity);
        Ok(())
    }

    fn key_of(&self, tenant: &TenantId, id: KeyId) -> Result<Option<Key>> {
        let Some(bytes) = self.group.get(Space::Records, &keys::api_key(id))? else { return Ok(None) };
        let key: Key = records::decode_open("an API key", &bytes)?;
        Ok((key.tenant == *tenant).then_some(key))
    }

    pub(super) fn keys_of(&self, tenant: &TenantId) -> Result<Vec<Key>> {
        let prefix = keys::api_keys_of(tenant);
        let found = self.group.keys(Space::Records, &prefix, &keys::past(&prefix), usize::MAX)?;
        let ids = found.iter().filter_map(|key| keys::last_api_key(key));
        ids.filter_map(|id| self.key_of(tenant, id).transpose()).collect()
    }

    pub(super) fn put_key(&mut self, key: &Key) -> Result<()> {
        self.group.put(Space::Records, keys::api_key(key.id), records::encode_open(key)?);
        self.events.push(Event::Identity);
        Ok(())
    }
}
