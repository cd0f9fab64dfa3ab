//! Tenants and API keys: what each call asks of Redis and is answered.

use async_trait::async_trait;
use fusebox_core::{
    limits::{KEYS_PER_TENANT_MAX, TENANTS_MAX},
    name::TenantId,
    quota::QuotaSettings,
    time::Millis,
};
use redis::Value;
use tokio::sync::watch;

use super::{RedisStore, answers, caller::Caller};
use crate::store::{
    Error, Identity, Key, KeyAdded, KeyId, Replaced, Result, SecretDigest, Tenant, TenantAdded, identity::from_hex,
};

/// A tenant's record that others change at the same time is read again this often.
const CHANGES_MAX: usize = 16;

#[async_trait]
impl Identity for RedisStore {
    async fn add_tenant(&self, tenant: Tenant) -> Result<TenantAdded> {
        let call = self.caller.call(self.caller.layout().shared(), "add_tenant");
        let call = call.arg(tenant.id.as_str()).arg(to_json(&tenant)?).arg(TENANTS_MAX);
        match answers::text(self.caller.ask(call.once()).await?)?.as_str() {
            "ADDED" => Ok(TenantAdded::Added),
            "TAKEN" => Ok(TenantAdded::Taken),
            "FULL" => Ok(TenantAdded::Full),
            _ => Err(answers::unexpected("add_tenant")),
        }
    }

    async fn tenants(&self) -> Result<Vec<Tenant>> {
        let mut command = redis::cmd("HVALS");
        command.arg(self.caller.layout().shared().accounts());
        let records = answers::list(self.caller.send(&command).await?)?;
        let tenants: Result<Vec<_>> = records.into_iter().map(|record| from_json(&answers::text(record)?)).collect();
        Ok(Tenant::with_default(tenants?))
    }

    async fn delete_tenant(&self, tenant: &TenantId, now: Millis) -> Result<bool> {
        let delete = |tenant: &mut Tenant| match tenant.id == TenantId::default_tenant() || tenant.deleted_at.is_some()
        {
            true => false,
            false => tenant.deleted_at.replace(now).is_none(),
        };
        change_tenant(&self.caller, tenant, delete, Some(now)).await
    }

    async fn set_quotas(&self, tenant: &TenantId, quotas: QuotaSettings) -> Result<bool> {
        let set = |tenant: &mut Tenant| {
            tenant.quotas = quotas;
            tenant.deleted_at.is_none()
        };
        change_tenant(&self.caller, tenant, set, None).await
    }

    async fn add_key(&self, key: Key, replaces: Option<Replaced>) -> Result<KeyAdded> {
        let (old, until) = replaces.map(|old| (old.id.to_string(), old.until.0.to_string())).unwrap_or_default();
        let call = self
            .caller
            .call(self.caller.layout().shared(), "add_key")
            .arg(key.id.to_string())
            .arg(key.tenant.as_str())
            .arg(key.scope.as_str())
            .arg(&key.name)
            .arg(key.digest.to_string())
            .arg(key.created_at.0.to_string())
            .arg(key.expires_at.map(|at| at.0.to_string()).unwrap_or_default())
            .arg(key.revoked_at.map(|at| at.0.to_string()).unwrap_or_default())
            .arg(KEYS_PER_TENANT_MAX)
            .arg(old)
            .arg(until);
        match answers::text(self.caller.ask(call).await?)?.as_str() {
            "ADDED" => Ok(KeyAdded::Added),
            "NO_TENANT" => Ok(KeyAdded::NoTenant),
            "NO_KEY" => Ok(KeyAdded::NoKey),
            "FULL" => Ok(KeyAdded::Full),
            _ => Err(answers::unexpected("add_key")),
        }
    }

    async fn key(&self, key: KeyId) -> Result<Option<Key>> {
        let call = self.caller.call(self.caller.layout().shared(), "key").arg(key.to_string());
        optional(self.caller.ask(call).await?)
    }

    async fn keys(&self, tenant: &TenantId) -> Result<Vec<Key>> {
        let call = self.caller.call(self.caller.layout().shared(), "keys").arg(tenant.as_str());
        let keys: Result<Vec<_>> = answers::list(self.caller.ask(call).await?)?.into_iter().map(read).collect();
        Ok(Key::oldest_first(keys?))
    }

    async fn revoke_key(&self, tenant: &TenantId, key: KeyId, now: Millis) -> Result<Option<Key>> {
        let call = self.caller.call(self.caller.layout().shared(), "revoke_key");
        let call = call.arg(tenant.as_str()).arg(key.to_string()).arg(now.0.to_string());
        optional(self.caller.ask(call).await?)
    }

    async fn has_keys(&self) -> Result<bool> {
        let mut command = redis::cmd("EXISTS");
        command.arg(self.caller.layout().shared().keyed());
        Ok(answers::number(self.caller.send(&command).await?)? > 0)
    }

    fn identity_changes(&self) -> watch::Receiver<u64> {
        self.pubsub.hints().identity()
    }
}

/// Changes a tenant's record, unless `change` says that there is nothing to be changed; whether it was. With a time, its
/// keys are revoked in the same step.
async fn change_tenant(
    caller: &Caller,
    id: &TenantId,
    change: impl Fn(&mut Tenant) -> bool,
    revoked_at: Option<Millis>,
) -> Result<bool> {
    let shared = caller.layout().shared();
    for _ in 0..CHANGES_MAX {
        let mut command = redis::cmd("HGET");
        command.arg(shared.accounts()).arg(id.as_str());
        let read = answers::optional_text(caller.send(&command).await?)?;
        let mut tenant = match &read {
            Some(read) => from_json(read)?,
            None if *id == TenantId::default_tenant() => Tenant::default_tenant(),
            None => return Ok(false),
        };
        if !change(&mut tenant) {
            return Ok(false);
        }
        let call = caller.call(shared, "change_tenant").arg(id.as_str()).arg(read.unwrap_or_default());
        let call = call.arg(to_json(&tenant)?).arg(revoked_at.map(|at| at.0.to_string()).unwrap_or_default());
        if answers::number(caller.ask(call).await?)? > 0 {
            return Ok(true);
        }
    }
    Err(Error::Unavailable("others change the tenant at the same time: try again".to_owned()))
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
