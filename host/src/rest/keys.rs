//! API keys: create, list, revoke, rotate. Callers manage the keys of their own tenant, the operator those of all.

use axum::{Json, extract::State, http::StatusCode};
use fusebox_api::{
    Paging,
    keys::{CreateKey, GRACE_MS_DEFAULT, KeyFilter, KeyView, Keys, NewKeyView, RotateKey},
    rfc3339,
};
use fusebox_core::{error::ErrorCode, name::TenantId, time::Millis};

use super::{
    Shared,
    body::SmallJson,
    error::Problem,
    extract::{Path, Query},
    paging,
};
use crate::tenancy::{
    ApiKey, Caller,
    admin::{self, AdminError, NewKey},
    audit::{self, Act},
};
use fusebox_store::{Key, Scope};

/// Returns the view of a key, with its status at `now`.
#[must_use]
pub fn view(key: &Key, now: Millis) -> KeyView {
    let status = match (key.revoked_at, key.ended_at(now)) {
        (Some(_), _) => "revoked",
        (None, Some(_)) => "expired",
        (None, None) => "good",
    };
    KeyView {
        id: key.id.to_string(),
        tenant: key.tenant.to_string(),
        scope: key.scope,
        name: key.name.clone(),
        status: status.to_owned(),
        created_at: rfc3339(key.created_at),
        expires_at: key.expires_at.map(rfc3339),
        revoked_at: key.revoked_at.map(rfc3339),
    }
}

/// Returns the view of a key that was just created, with its secret.
#[must_use]
pub fn new_view(key: &Key, secret: &ApiKey) -> NewKeyView {
    NewKeyView { key: secret.reveal(), view: view(key, key.created_at) }
}

/// Create a key
///
/// The response contains the key, which is shown only once. The first key of a host must be an `admin` key of the
/// default tenant, the operator's; from then on every request requires a key.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = CreateKey,
    responses((status = 201, body = NewKeyView), (status = 400, description = "invalid-name or invalid-request"),
        (status = 404, description = "tenant-not-found"),
        (status = 422, description = "unprocessable-request: unknown scope, or an invalid name"),
        (status = 429, description = "key-quota")))]
pub async fn create(
    State(app): State<Shared>,
    caller: Caller,
    SmallJson(CreateKey { scope, name, tenant, life_ms }): SmallJson<CreateKey>,
) -> Result<(StatusCode, Json<NewKeyView>), Problem> {
    let tenant = whose(&caller, tenant)?;
    if caller.key.is_none() && !(scope == Scope::Admin && tenant == TenantId::default_tenant()) {
        let detail = "the first key must be the operator's, an `admin` key of the default tenant";
        return Err(Problem::new(ErrorCode::InvalidRequest, detail));
    }
    let new = NewKey { tenant: tenant.clone(), scope, name, life_ms };
    let made = admin::create_key(&*app.store, caller.acting(), new).await.map_err(Problem::from);
    let id = made.as_ref().map(|(key, _)| key.id.to_string()).unwrap_or_default();
    audit::record(&caller, Act::KeyCreated, &tenant, &id, outcome(&made));
    let (key, secret) = made?;
    Ok((StatusCode::CREATED, Json(new_view(&key, &secret))))
}

/// List keys
///
/// The keys of a tenant, the oldest first, including expired and revoked ones.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", params(KeyFilter, Paging),
    responses((status = 200, body = Keys), (status = 404, description = "tenant-not-found")))]
pub async fn list(
    State(app): State<Shared>,
    caller: Caller,
    Query(KeyFilter { tenant }): Query<KeyFilter>,
    Query(paging): Query<Paging>,
) -> Result<Json<Keys>, Problem> {
    let keys = admin::keys(&*app.store, &whose(&caller, tenant)?).await?;
    let now = app.store.now().await?;
    let (page, next) = paging::of(paging, keys, |key| format!("{:016x}-{}", key.created_at.0, key.id));
    Ok(Json(Keys { items: page.iter().map(|key| view(key, now)).collect(), next }))
}

/// Revoke a key
///
/// The node that answers refuses the key at once, every other node within a second.
#[utoipa::path(delete, path = "/v1/keys/{key}", tag = "keys",
    params(("key" = String, Path, description = "Key id")),
    responses((status = 200, body = KeyView), (status = 404, description = "key-not-found")))]
pub async fn revoke(
    State(app): State<Shared>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<KeyView>, Problem> {
    let key = admin::find_key(&*app.store, reach(&caller), &key).await?;
    let revoked = admin::revoke_key(&*app.store, caller.acting(), &key).await.map_err(Problem::from);
    audit::record(&caller, Act::KeyRevoked, &key.tenant, &key.id, outcome(&revoked));
    let revoked = revoked?;
    Ok(Json(view(&revoked, revoked.created_at)))
}

/// Rotate a key
///
/// Creates a key with the tenant, scope, name and lifetime of this one, which expires after `grace_ms`.
#[utoipa::path(post, path = "/v1/keys/{key}/rotate", tag = "keys", request_body = RotateKey,
    params(("key" = String, Path, description = "Key id")),
    responses((status = 201, body = NewKeyView), (status = 404, description = "key-not-found"),
        (status = 409, description = "key-ended: the key is expired or revoked"),
        (status = 422, description = "unprocessable-request"), (status = 429, description = "key-quota")))]
pub async fn rotate(
    State(app): State<Shared>,
    caller: Caller,
    Path(key): Path<String>,
    SmallJson(RotateKey { grace_ms }): SmallJson<RotateKey>,
) -> Result<(StatusCode, Json<NewKeyView>), Problem> {
    let old = admin::find_key(&*app.store, reach(&caller), &key).await?;
    let (tenant, old_id) = (old.tenant.clone(), old.id);
    let grace_ms = grace_ms.unwrap_or(GRACE_MS_DEFAULT);
    let made = admin::rotate_key(&*app.store, caller.acting(), old, grace_ms).await.map_err(Problem::from);
    let id = made.as_ref().map(|(key, _)| format!("{old_id} {}", key.id)).unwrap_or_else(|_| old_id.to_string());
    audit::record(&caller, Act::KeyRotated, &tenant, &id, outcome(&made));
    let (key, secret) = made?;
    Ok((StatusCode::CREATED, Json(new_view(&key, &secret))))
}

/// Returns the tenant that a request is about. Other tenants look absent to everyone but the operator.
pub(super) fn whose(caller: &Caller, named: Option<TenantId>) -> Result<TenantId, Problem> {
    match named {
        Some(named) if named != caller.tenant && !caller.is_operator() => Err(AdminError::NoTenant(named).into()),
        Some(named) => Ok(named),
        None => Ok(caller.tenant.clone()),
    }
}

/// Returns the tenant whose keys a caller manages; `None` for all tenants.
fn reach(caller: &Caller) -> Option<&TenantId> {
    (!caller.is_operator()).then_some(&caller.tenant)
}

/// Returns the outcome for the audit log: `ok` or the error's code.
pub(super) fn outcome<T>(done: &Result<T, Problem>) -> &'static str {
    done.as_ref().map_or_else(|problem| problem.code().as_str(), |_| "ok")
}
