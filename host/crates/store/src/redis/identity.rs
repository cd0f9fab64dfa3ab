//! Tenants and API keys: the arguments and answers of each call.

use async_trait::async_trait;
use fusebox_core::{
    limits::{KEYS_PER_TENANT_MAX, TENANTS_MAX},
    name::TenantId,
    quota::QuotaSettings,
    time::Millis,
};
use redis::Value;
use tokio::sync::watch;

use super::{RedisStore, answers, tenants};
use crate::{
    Acted, Acting, Cleared, Denied, Error, Identity, Key, KeyAdded, KeyId, KnownKey, NewKey, Result, SecretDigest,
    Tenant, TenantAdded,
    identity::{from_hex, tombstone},
};

/// Number of tries to change a tenant's record that others change at the same time.
const CHANGES_MAX: usize = 16;

#[async_trait]
impl Identity for RedisStore {
    async fn add_tenant(&self, by: Acting, tenant: TenantId) -> Result<Acted<TenantAdded>> {
        let tombstone = tombstone(&tenant);
        let call = self.caller.call(self.caller.layout().shared(), "add_tenant");
        let call = call.arg(authority(by)).arg(tenant.as_str()).arg(TENANTS_MAX).arg(&tombstone[..]);
        let (word, record) = worded(self.caller.ask(call.once()).await?)?;
        Ok(match (word.as_str(), record) {
            ("ADDED", Some(record)) => Ok(TenantAdded::Added(from_json(&answers::text(record)?)?)),
            ("TAKEN", _) => Ok(TenantAdded::Taken),
            ("FULL", _) => Ok(TenantAdded::Full),
            ("DENIED", _) => Err(Denied),
            _ => return Err(answers::unexpected("add_tenant")),
        })
    }

    async fn tenants(&self) -> Result<Vec<Tenant>> {
        let mut command = redis::cmd("HVALS");
        let shared = self.caller.layout().shared();
        command.arg(shared.accounts());
        let records = answers::list(self.caller.send(shared, &command).await?)?;
        let tenants: Result<Vec<_>> = records.into_iter().map(|record| from_json(&answers::text(record)?)).collect();
        Ok(Tenant::with_default(tenants?))
    }

    async fn delete_tenant(&self, by: Acting, tenant: &TenantId) -> Result<Acted<bool>> {
        let call = self.caller.call(self.caller.layout().shared(), "delete_tenant");
        let deleted = done(self.caller.ask(call.arg(authority(by)).arg(tenant.as_str())).await?)?;
        if deleted == Ok(true) {
            // Closes every place to the tenant.
            tenants::clear(&self.caller, tenant, 0).await?;
        }
        Ok(deleted)
    }

    async fn clear_tenant(&self, tenant: &TenantId) -> Result<Cleared> {
        tenants::clear_tenant(&self.caller, tenant).await
    }

    async fn set_quotas(&self, by: Acting, tenant: &TenantId, quotas: QuotaSettings) -> Result<Acted<bool>> {
        let shared = self.caller.layout().shared();
        for _ in 0..CHANGES_MAX {
            let mut command = redis::cmd("HGET");
            command.arg(shared.accounts()).arg(tenant.as_str());
            let read = answers::optional_text(self.caller.send(shared, &command).await?)?;
            let known = match &read {
                Some(read) => from_json(read)?,
                None if *tenant == TenantId::default_tenant() => Tenant::default_tenant(),
                None => Tenant { deleted_at: Some(Millis(0)), ..Tenant::new(tenant.clone(), Millis(0)) },
            };
            let is_there = known.deleted_at.is_none();
            let changed = to_json(&Tenant { quotas, ..known })?;
            let call = self.caller.call(shared, "change_tenant").arg(authority(by)).arg(tenant.as_str());
            let call = call.arg(read.unwrap_or_default()).arg(if is_there { changed.as_str() } else { "" });
            match done(self.caller.ask(call).await?)? {
                Ok(false) if is_there => {}
                answer => return Ok(answer),
            }
        }
        Err(Error::Unavailable("the tenant is being changed concurrently: try again".to_owned()))
    }

    async fn add_key(&self, by: Acting, new: NewKey) -> Result<Acted<KeyAdded>> {
        let (old, grace) = new.replaces.map(|old| (old.id.to_string(), old.grace_ms.to_string())).unwrap_or_default();
        let call = self
            .caller
            .call(self.caller.layout().shared(), "add_key")
            .arg(authority(by))
            .arg(new.id.to_string())
            .arg(new.tenant.as_str())
            .arg(new.scope.as_str())
            .arg(&new.name)
            .arg(new.digest.to_string())
            .arg(new.life_ms.map(|ms| ms.to_string()).unwrap_or_default())
            .arg(KEYS_PER_TENANT_MAX)
            .arg(old)
            .arg(grace);
        let (word, key) = worded(self.caller.ask(call).await?)?;
        Ok(match (word.as_str(), key) {
            ("ADDED", Some(key)) => Ok(KeyAdded::Added(read(key)?)),
            ("NO_TENANT", _) => Ok(KeyAdded::NoTenant),
            ("NO_KEY", _) => Ok(KeyAdded::NoKey),
            ("FULL", _) => Ok(KeyAdded::Full),
            ("DENIED", _) => Err(Denied),
            _ => return Err(answers::unexpected("add_key")),
        })
    }

    async fn key(&self, key: KeyId) -> Result<Option<KnownKey>> {
        let call = self.caller.call(self.caller.layout().shared(), "key").arg(key.to_string());
        let [at, key] = answers::tuple(self.caller.ask(call).await?)?;
        let at = Millis(answers::number(at)?);
        Ok(optional(key)?.map(|key| KnownKey { key, at }))
    }

    async fn keys(&self, tenant: &TenantId) -> Result<Vec<Key>> {
        let call = self.caller.call(self.caller.layout().shared(), "keys").arg(tenant.as_str());
        let keys: Result<Vec<_>> = answers::list(self.caller.ask(call).await?)?.into_iter().map(read).collect();
        Ok(Key::oldest_first(keys?))
    }

    async fn revoke_key(&self, by: Acting, tenant: &TenantId, key: KeyId) -> Result<Acted<Option<Key>>> {
        let call = self.caller.call(self.caller.layout().shared(), "revoke_key");
        let call = call.arg(authority(by)).arg(tenant.as_str()).arg(key.to_string());
        let (word, key) = worded(self.caller.ask(call).await?)?;
        Ok(match (word.as_str(), key) {
            ("DENIED", _) => Err(Denied),
            ("REVOKED", Some(key)) => Ok(Some(read(key)?)),
            ("NO_KEY", _) => Ok(None),
            _ => return Err(answers::unexpected("revoke_key")),
        })
    }

    async fn has_keys(&self) -> Result<bool> {
        let mut command = redis::cmd("EXISTS");
        let shared = self.caller.layout().shared();
        command.arg(shared.keyed());
        Ok(answers::number(self.caller.send(shared, &command).await?)? > 0)
    }

    fn identity_changes(&self) -> watch::Receiver<u64> {
        self.pubsub.hints().identity()
    }
}

/// Returns an authority as the library expects it.
fn authority(by: Acting) -> String {
    match by {
        Acting::Key(id) => id.to_string(),
        Acting::Keyless => "keyless".to_owned(),
        Acting::Store => "store".to_owned(),
    }
}

/// Reads a word and the value that may follow it.
fn worded(answer: Value) -> Result<(String, Option<Value>)> {
    let mut answer = answers::list(answer)?.into_iter();
    Ok((answers::text(answer.next().unwrap_or_default())?, answer.next()))
}

/// Reads if a change was made, or [`Denied`].
fn done(answer: Value) -> Result<Acted<bool>> {
    match worded(answer)?.0.as_str() {
        "DONE" => Ok(Ok(true)),
        "NOT_DONE" => Ok(Ok(false)),
        "DENIED" => Ok(Err(Denied)),
        _ => Err(answers::unexpected("a change of a tenant")),
    }
}

fn to_json(tenant: &Tenant) -> Result<String> {
    serde_json::to_string(tenant).map_err(|error| Error::Corrupt(format!("a tenant to be written: {error}")))
}

fn from_json(text: &str) -> Result<Tenant> {
    serde_json::from_str(text).map_err(|error| Error::Corrupt(format!("a tenant: {error}")))
}

fn optional(answer: Value) -> Result<Option<Key>> {
    match answer {
        Value::Nil => Ok(None),
        key => read(key).map(Some),
    }
}

fn read(key: Value) -> Result<Key> {
    let [id, record] = answers::tuple(key)?;
    let [tenant, scope, name, digest, created_at, expires_at, revoked_at] = answers::tuple(record)?;
    let corrupt = || Error::Corrupt("an API key".to_owned());
    let time = |value| -> Result<Option<Millis>> {
        match answers::text(value)?.as_str() {
            "" => Ok(None),
            digits => digits.parse().map(|at| Some(Millis(at))).map_err(|_| corrupt()),
        }
    };
    Ok(Key {
        id: answers::text(id)?.parse().map_err(|_| corrupt())?,
        tenant: answers::text(tenant)?.parse().map_err(|_| corrupt())?,
        scope: answers::text(scope)?.parse().map_err(|_| corrupt())?,
        name: answers::text(name)?,
        digest: from_hex(&answers::text(digest)?).map(SecretDigest).ok_or_else(corrupt)?,
        created_at: time(created_at)?.ok_or_else(corrupt)?,
        expires_at: time(expires_at)?,
        revoked_at: time(revoked_at)?,
    })
}
