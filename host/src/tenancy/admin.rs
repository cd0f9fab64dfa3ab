//! What may be done to tenants and keys, in whichever way it is asked for: over REST, or at the store.

use fusebox_core::{
    limits::{KEY_NAME_CHARS_MAX, PAGE_ROWS_MAX},
    name::TenantId,
    quota::{QuotaError, QuotaSettings},
};

use super::ApiKey;
use crate::store::{
    self, Acting, FunctionRef, Identity, Key, KeyAdded, KeyId, PageRequest, Replaced, Scope, Store, Tenant, TenantAdded,
};

/// A key to be.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Whose it is to be.
    pub tenant: TenantId,
    /// What it is to be used for.
    pub scope: Scope,
    /// What people call it.
    pub name: String,
    /// How long it is to be good, if not for ever.
    pub life_ms: Option<u64>,
}

/// Why something was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AdminError {
    /// The authority is not enough, or not any more.
    #[error("the API key is expired or revoked, or the host has one by now and the request none: send a good one")]
    Denied(Acting),
    /// The key's name cannot be one.
    #[error("a key's name has at most {KEY_NAME_CHARS_MAX} characters, none of them a control character")]
    BadName,
    /// There is no such tenant.
    #[error("there is no tenant {0}: `fusebox tenants list` lists them, `fusebox tenants create {0}` makes it")]
    NoTenant(TenantId),
    /// The name is taken.
    #[error("there is a tenant {0}, or there was: take another name")]
    TenantTaken(TenantId),
    /// It must stay.
    #[error("the tenant {0} is always there: revoke its keys one by one, or leave it alone")]
    TenantStays(TenantId),
    /// No more tenants.
    #[error("there are as many tenants as there may be, deleted ones included")]
    TenantsFull,
    /// There is no such key.
    #[error("there is no key {0}: `fusebox keys list` lists them")]
    NoKey(String),
    /// It cannot be replaced.
    #[error("the key {0} is expired or revoked, or there is none: make a new one with `fusebox keys create`")]
    NotGood(KeyId),
    /// No more keys.
    #[error("the tenant has as many good keys as it may have: revoke some")]
    KeysFull,
    /// A tenant's bound is above its ceiling.
    #[error("{0}")]
    AboveCeiling(QuotaError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What an attempt gave.
pub type Done<T> = Result<T, AdminError>;

/// Makes a key; its secret is told here, and never again.
///
/// # Errors
/// See [`AdminError`].
pub async fn create_key(store: &dyn Identity, by: Acting, new: NewKey) -> Done<(Key, ApiKey)> {
    let is_bad = |letter: char| letter.is_control();
    if new.name.chars().count() > KEY_NAME_CHARS_MAX || new.name.contains(is_bad) {
        return Err(AdminError::BadName);
    }
    add(store, by, new, None).await
}

/// Makes a key like another one, which stays good for `grace_ms` at most.
///
/// # Errors
/// See [`AdminError`].
pub async fn rotate_key(store: &dyn Identity, by: Acting, old: Key, grace_ms: u64) -> Done<(Key, ApiKey)> {
    let life_ms = old.expires_at.map(|at| at.since(old.created_at));
    let new = NewKey { tenant: old.tenant, scope: old.scope, name: old.name, life_ms };
    add(store, by, new, Some(Replaced { id: old.id, grace_ms })).await
}

async fn add(store: &dyn Identity, by: Acting, new: NewKey, replaces: Option<Replaced>) -> Done<(Key, ApiKey)> {
    let secret = ApiKey::random();
    let (id, digest) = (secret.id(), secret.digest());
    let NewKey { tenant, scope, name, life_ms } = new;
    let new = store::NewKey { id, tenant: tenant.clone(), scope, name, digest, life_ms, replaces };
    match store.add_key(by, new).await?.map_err(|_| AdminError::Denied(by))? {
        KeyAdded::Added(key) => Ok((key, secret)),
        KeyAdded::NoTenant => Err(AdminError::NoTenant(tenant)),
        KeyAdded::NoKey => Err(AdminError::NotGood(replaces.map_or(id, |old| old.id))),
        KeyAdded::Full => Err(AdminError::KeysFull),
    }
}

/// The key of this id that a caller may manage: its tenant's, or with `None` anyone's. Who has lost a key may have nothing
/// but the whole of it, which is taken for its id; an error never has the rest.
///
/// # Errors
/// Where there is none.
pub async fn find_key(store: &dyn Identity, tenant: Option<&TenantId>, id: &str) -> Done<Key> {
    let id = id.strip_prefix("fb_").map_or(id, |key| key.split('_').next().unwrap_or_default());
    let none = || AdminError::NoKey(id.to_owned());
    let found = store.key(id.parse().map_err(|_| none())?).await?;
    let found = found.map(|known| known.key);
    found.filter(|key| tenant.is_none_or(|tenant| key.tenant == *tenant)).ok_or_else(none)
}

/// Revokes a key.
///
/// # Errors
/// See [`AdminError`].
pub async fn revoke_key(store: &dyn Identity, by: Acting, key: &Key) -> Done<Key> {
    let revoked = store.revoke_key(by, &key.tenant, key.id).await?.map_err(|_| AdminError::Denied(by))?;
    revoked.ok_or_else(|| AdminError::NoKey(key.id.to_string()))
}

/// A tenant's keys.
///
/// # Errors
/// Where there is no such tenant.
pub async fn keys(store: &dyn Identity, tenant: &TenantId) -> Done<Vec<Key>> {
    let keys = store.keys(tenant).await?;
    if keys.is_empty() && !tenants(store).await?.iter().any(|known| known.id == *tenant) {
        return Err(AdminError::NoTenant(tenant.clone()));
    }
    Ok(keys)
}

/// Every tenant that is not deleted, by name.
///
/// # Errors
/// See [`AdminError`].
pub async fn tenants(store: &dyn Identity) -> Done<Vec<Tenant>> {
    let tenants = store.tenants().await?;
    Ok(tenants.into_iter().filter(|tenant| tenant.deleted_at.is_none()).collect())
}

/// Makes a tenant.
///
/// # Errors
/// See [`AdminError`].
pub async fn create_tenant(store: &dyn Identity, by: Acting, id: TenantId) -> Done<Tenant> {
    match store.add_tenant(by, id.clone()).await?.map_err(|_| AdminError::Denied(by))? {
        TenantAdded::Added(tenant) => Ok(tenant),
        TenantAdded::Taken => Err(AdminError::TenantTaken(id)),
        TenantAdded::Full => Err(AdminError::TenantsFull),
    }
}

/// What is set of what a tenant may take.
///
/// # Errors
/// See [`AdminError`].
pub async fn quotas(store: &dyn Identity, id: &TenantId) -> Done<QuotaSettings> {
    let tenants = tenants(store).await?;
    let found = tenants.into_iter().find(|tenant| tenant.id == *id);
    found.map(|tenant| tenant.quotas).ok_or_else(|| AdminError::NoTenant(id.clone()))
}

/// Sets what a tenant may take; replaces what was set.
///
/// # Errors
/// See [`AdminError`].
pub async fn set_quotas(store: &dyn Identity, by: Acting, id: &TenantId, quotas: QuotaSettings) -> Done<()> {
    quotas.check().map_err(AdminError::AboveCeiling)?;
    match store.set_quotas(by, id, quotas).await?.map_err(|_| AdminError::Denied(by))? {
        true => Ok(()),
        false => Err(AdminError::NoTenant(id.clone())),
    }
}

/// Deletes a tenant: its keys are revoked at once, its functions are deleted then. Tasks that were accepted before still
/// run and are forgotten in their time, out of everyone's reach. Where it fails midway, it may be asked for again.
///
/// # Errors
/// See [`AdminError`].
pub async fn delete_tenant(store: &dyn Store, by: Acting, id: &TenantId) -> Done<()> {
    if *id == TenantId::default_tenant() {
        return Err(AdminError::TenantStays(id.clone()));
    }
    let deleted = store.delete_tenant(by, id).await?.map_err(|_| AdminError::Denied(by))?;
    if !deleted && !store.tenants().await?.iter().any(|tenant| tenant.id == *id) {
        return Err(AdminError::NoTenant(id.clone()));
    }
    let page = PageRequest { cursor: None, rows: PAGE_ROWS_MAX };
    let mut any = deleted;
    loop {
        let functions = store.functions(id, &page).await?.items;
        if functions.is_empty() {
            return if any { Ok(()) } else { Err(AdminError::NoTenant(id.clone())) };
        }
        any = true;
        for function in functions {
            store.delete_function(id, &FunctionRef::Name(function.name)).await?;
        }
    }
}
