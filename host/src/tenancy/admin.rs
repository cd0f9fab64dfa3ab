//! Administration of tenants and keys, shared by the REST routes and the commands that work on the store directly.

use std::time::{Duration, Instant};

use fusebox_api::quotas::{QuotaUse, QuotasView};
use fusebox_core::{
    keep::Keep,
    limits::{KEY_NAME_CHARS_MAX, PAGE_ROWS_MAX},
    name::TenantId,
    quota::{QuotaError, QuotaSettings, Quotas, UNLIMITED},
    room,
};

use super::ApiKey;
use fusebox_store::{
    Acting, Cleared, Identity, Key, KeyAdded, KeyId, PageRequest, Replaced, Scope, Store, Tenant, TenantAdded,
};

/// Time after which a deletion returns to its caller, below the time-outs of clients and proxies.
const DELETION: Duration = Duration::from_secs(5);

/// Request for a key.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Tenant of the key.
    pub tenant: TenantId,
    /// Scope of the key.
    pub scope: Scope,
    /// Display name.
    pub name: String,
    /// Milliseconds until the key expires; `None` for never.
    pub life_ms: Option<u64>,
}

/// Reason why an act failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AdminError {
    /// The authority is insufficient, or has ended meanwhile.
    #[error("a valid API key is required: the request's is expired or revoked, or the host now has keys")]
    Denied(Acting),
    /// The name of the key is too long or has control characters.
    #[error("a key's name has at most {KEY_NAME_CHARS_MAX} characters, none of them a control character")]
    BadName,
    /// The tenant does not exist.
    #[error("there is no tenant {0}: `fusebox tenants list` lists them, `fusebox tenants create {0}` creates it")]
    NoTenant(TenantId),
    /// The name is in use, or a deleted tenant had it.
    #[error("the name {0} is in use or was used by a deleted tenant: choose another one")]
    TenantTaken(TenantId),
    /// The default tenant cannot be deleted.
    #[error("the tenant {0} cannot be deleted: revoke its keys one by one instead")]
    TenantStays(TenantId),
    /// The limit of tenants is reached.
    #[error("the limit of tenants is reached: delete some")]
    TenantsFull,
    /// The key does not exist, or belongs to another tenant.
    #[error("there is no key {0}: `fusebox keys list` lists them")]
    NoKey(String),
    /// The key to rotate is expired, revoked or missing.
    #[error("the key {0} is expired, revoked or unknown: create a new one with `fusebox keys create`")]
    NotGood(KeyId),
    /// The tenant's limit of valid keys is reached.
    #[error("the tenant's limit of valid keys is reached: revoke some")]
    KeysFull,
    /// A quota is out of its bounds.
    #[error("{0}")]
    OutOfBounds(QuotaError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] fusebox_store::Error),
}

/// Result of an act.
pub type Done<T> = Result<T, AdminError>;

/// Creates a key. The secret is returned only here.
///
/// # Errors
/// `BadName`, `NoTenant`, `KeysFull`, `Denied` or `Store`.
pub async fn create_key(store: &dyn Identity, by: Acting, new: NewKey) -> Done<(Key, ApiKey)> {
    let is_bad = |letter: char| letter.is_control();
    if new.name.chars().count() > KEY_NAME_CHARS_MAX || new.name.contains(is_bad) {
        return Err(AdminError::BadName);
    }
    add(store, by, new, None).await
}

/// Creates a key like `old`, which stays valid for at most `grace_ms` more.
///
/// # Errors
/// `NotGood` if `old` is expired or revoked; otherwise as [`create_key`].
pub async fn rotate_key(store: &dyn Identity, by: Acting, old: Key, grace_ms: u64) -> Done<(Key, ApiKey)> {
    let life_ms = old.expires_at.map(|at| at.since(old.created_at));
    let new = NewKey { tenant: old.tenant, scope: old.scope, name: old.name, life_ms };
    add(store, by, new, Some(Replaced { id: old.id, grace_ms })).await
}

async fn add(store: &dyn Identity, by: Acting, new: NewKey, replaces: Option<Replaced>) -> Done<(Key, ApiKey)> {
    let secret = ApiKey::random();
    let (id, digest) = (secret.id(), secret.digest());
    let NewKey { tenant, scope, name, life_ms } = new;
    let new = fusebox_store::NewKey { id, tenant: tenant.clone(), scope, name, digest, life_ms, replaces };
    match store.add_key(by, new).await?.map_err(|_| AdminError::Denied(by))? {
        KeyAdded::Added(key) => Ok((key, secret)),
        KeyAdded::NoTenant => Err(AdminError::NoTenant(tenant)),
        KeyAdded::NoKey => Err(AdminError::NotGood(replaces.map_or(id, |old| old.id))),
        KeyAdded::Full => Err(AdminError::KeysFull),
    }
}

/// Returns the key of this id that a caller may manage: one of `tenant`, or any with `None`. A whole key is accepted in
/// place of an id, since the owner of a leaked key may know nothing else; errors repeat only its id.
///
/// # Errors
/// `NoKey` if there is none, or `Store`.
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
/// `NoKey`, `Denied` or `Store`.
pub async fn revoke_key(store: &dyn Identity, by: Acting, key: &Key) -> Done<Key> {
    let revoked = store.revoke_key(by, &key.tenant, key.id).await?.map_err(|_| AdminError::Denied(by))?;
    revoked.ok_or_else(|| AdminError::NoKey(key.id.to_string()))
}

/// Returns the keys of a tenant.
///
/// # Errors
/// `NoTenant` or `Store`.
pub async fn keys(store: &dyn Identity, tenant: &TenantId) -> Done<Vec<Key>> {
    let keys = store.keys(tenant).await?;
    if keys.is_empty() && !tenants(store).await?.iter().any(|known| known.id == *tenant) {
        return Err(AdminError::NoTenant(tenant.clone()));
    }
    Ok(keys)
}

/// Returns every tenant that is not deleted, sorted by name.
///
/// # Errors
/// `Store` if the store does not answer.
pub async fn tenants(store: &dyn Identity) -> Done<Vec<Tenant>> {
    let tenants = store.tenants().await?;
    Ok(tenants.into_iter().filter(|tenant| tenant.deleted_at.is_none()).collect())
}

/// Creates a tenant.
///
/// # Errors
/// `TenantTaken`, `TenantsFull`, `Denied` or `Store`.
pub async fn create_tenant(store: &dyn Identity, by: Acting, id: TenantId) -> Done<Tenant> {
    match store.add_tenant(by, id.clone()).await?.map_err(|_| AdminError::Denied(by))? {
        TenantAdded::Added(tenant) => Ok(tenant),
        TenantAdded::Taken => Err(AdminError::TenantTaken(id)),
        TenantAdded::Full => Err(AdminError::TenantsFull),
    }
}

/// Returns the quotas set for a tenant, without the defaults.
///
/// # Errors
/// `NoTenant` or `Store`.
pub async fn quotas(store: &dyn Identity, id: &TenantId) -> Done<QuotaSettings> {
    let tenants = tenants(store).await?;
    let found = tenants.into_iter().find(|tenant| tenant.id == *id);
    found.map(|tenant| tenant.quotas).ok_or_else(|| AdminError::NoTenant(id.clone()))
}

/// Returns the quotas of a tenant for which these are set, on a host with this retention, and what it uses of them.
///
/// # Errors
/// `Store`.
pub async fn quotas_view(store: &dyn Store, id: &TenantId, set: QuotaSettings, keep: Keep) -> Done<QuotasView> {
    let room_bytes = room::total_bytes(&store.room().await?);
    let per_hour_ms = Quotas::of(id, &set, room_bytes, keep).compile_s_per_hour.saturating_mul(1_000);
    let left_ms = store.charge_compile(id, per_hour_ms, 0).await?;
    let used_ms = per_hour_ms.saturating_sub(left_ms.max(0).unsigned_abs());
    // A budget without a bound is not charged.
    let compile_s_per_hour = if per_hour_ms == UNLIMITED { 0 } else { used_ms.div_ceil(1_000) };
    let used = QuotaUse { stored_bytes: store.stored_bytes(id).await?, compile_s_per_hour };
    Ok(QuotasView::new(id, set, used, room_bytes, keep))
}

/// Replaces the quotas set for a tenant; `keep` is the longest retention.
///
/// # Errors
/// `OutOfBounds`, `NoTenant`, `Denied` or `Store`.
pub async fn set_quotas(
    store: &dyn Identity,
    by: Acting,
    id: &TenantId,
    quotas: QuotaSettings,
    keep: Keep,
) -> Done<()> {
    quotas.check(keep).map_err(AdminError::OutOfBounds)?;
    match store.set_quotas(by, id, quotas).await?.map_err(|_| AdminError::Denied(by))? {
        true => Ok(()),
        false => Err(AdminError::NoTenant(id.clone())),
    }
}

/// Returns a tenant, and the numbers of its functions and keys and of its queued and running tasks.
///
/// # Errors
/// `NoTenant` or `Store`.
pub async fn details(store: &dyn Store, id: &TenantId) -> Done<(Tenant, [u64; 4])> {
    let known = store.tenants().await?.into_iter().find(|tenant| tenant.id == *id);
    let tenant = known.ok_or_else(|| AdminError::NoTenant(id.clone()))?;
    let (mut functions, mut page) = (0, PageRequest { cursor: None, rows: PAGE_ROWS_MAX });
    loop {
        let read = store.functions(id, &page).await?;
        functions += read.items.len() as u64;
        page.cursor = read.next;
        if page.cursor.is_none() {
            break;
        }
    }
    let keys = store.keys(id).await?.len() as u64;
    let backlog = store.backlog().await?.into_iter().find(|backlog| backlog.tenant == *id);
    let (queued, running) = backlog.map_or((0, 0), |backlog| (backlog.ready + backlog.delayed, backlog.running));
    Ok((tenant, [functions, keys, queued, running]))
}

/// Deletes a tenant with all it has, or of a large one as much as fits into 5 s; returns what went. Once this was
/// called, its keys are revoked and nothing new of it is accepted, and ticks delete the rest; a repeated call goes on.
///
/// # Errors
/// `TenantStays` for the default tenant, `NoTenant`, also if it is gone by now, `Denied` or `Store`.
pub async fn delete_tenant(store: &dyn Identity, by: Acting, id: &TenantId) -> Done<Cleared> {
    if *id == TenantId::default_tenant() {
        return Err(AdminError::TenantStays(id.clone()));
    }
    if !store.delete_tenant(by, id).await?.map_err(|_| AdminError::Denied(by))? {
        return Err(AdminError::NoTenant(id.clone()));
    }
    let (until, mut all) = (Instant::now() + DELETION, Cleared::default());
    while !all.is_done && Instant::now() < until {
        all += store.clear_tenant(id).await?;
    }
    Ok(all)
}
