//! API keys: make, list, revoke, rotate. Each caller manages its own tenant's; the operator everyone's.

use axum::{Json, extract::State, http::StatusCode};
use fusebox_core::{error::ErrorCode, name::TenantId, time::Millis};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Shared,
    body::SmallJson,
    error::Problem,
    extract::{Path, Query},
    functions::Paging,
    view::rfc3339,
};
use crate::{
    store::{Key, Scope},
    tenancy::{
        ApiKey, Caller,
        admin::{self, AdminError, NewKey},
        audit::{self, Act},
    },
};

/// How long a rotated key stays good where the request does not say: a day, in which whoever has it takes the new one.
pub const GRACE_MS_DEFAULT: u64 = 24 * 60 * 60 * 1_000;

/// A key to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// What it is to be used for: `invoke`, `deploy` or `admin`; each includes those before it.
    #[schema(value_type = String)]
    pub scope: Scope,
    /// What people call it, at most 128 characters.
    #[serde(default)]
    pub name: String,
    /// Whose it is to be; only the operator may name another tenant than its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
    /// For how many milliseconds it is to be good; for ever where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life_ms: Option<u64>,
}

/// How a key is rotated.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// For how many milliseconds the old key stays good; a day where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}

/// Whose keys.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Whose {
    /// Only the operator may name another tenant than its own.
    #[param(value_type = Option<String>)]
    tenant: Option<TenantId>,
}

/// A key, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// What it may be used for.
    #[schema(value_type = String)]
    pub scope: Scope,
    /// What people call it.
    pub name: String,
    /// `good`, `expired` or `revoked`.
    pub status: String,
    /// When it was made.
    pub created_at: String,
    /// From when on it is good no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
}

/// A new key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NewKeyView {
    /// The whole key, `fb_<id>_<secret>`. It is shown here and never again.
    pub key: String,
    /// What is known of it.
    #[serde(flatten)]
    pub view: KeyView,
}

/// Keys.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Keys {
    /// The keys, the oldest first.
    pub items: Vec<KeyView>,
    /// The `cursor` of the next page; null on the last.
    #[serde(default)]
    pub next: Option<String>,
}

impl KeyView {
    /// A key as it is now.
    #[must_use]
    pub fn new(key: &Key, now: Millis) -> Self {
        let status = match (key.revoked_at, key.ended_at(now)) {
            (Some(_), _) => "revoked",
            (None, Some(_)) => "expired",
            (None, None) => "good",
        };
        Self {
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
}

impl NewKeyView {
    /// A key that was just made.
    #[must_use]
    pub fn new(key: &Key, secret: &ApiKey) -> Self {
        Self { key: secret.reveal(), view: KeyView::new(key, key.created_at) }
    }
}

/// Make a key
///
/// The answer has the key, which is shown once. The first key of a host must be an `admin` key of the default tenant, the
/// operator's; from then on every request needs a key.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = CreateKey,
    responses((status = 201, body = NewKeyView), (status = 400, description = "invalid-name or invalid-request"),
        (status = 404, description = "tenant-not-found"),
        (status = 422, description = "unprocessable-request: no such scope, or a name that is none"),
        (status = 429, description = "key-quota")))]
pub async fn create(
    State(app): State<Shared>,
    caller: Caller,
    SmallJson(CreateKey { scope, name, tenant, life_ms }): SmallJson<CreateKey>,
) -> Result<(StatusCode, Json<NewKeyView>), Problem> {
    let tenant = whose(&caller, tenant)?;
    if caller.key.is_none() && !(scope == Scope::Admin && tenant == TenantId::default_tenant()) {
        let detail = "the first key must be the operator's, an `admin` key of the default tenant: it closes the host";
        return Err(Problem::new(ErrorCode::InvalidRequest, detail));
    }
    let new = NewKey { tenant: tenant.clone(), scope, name, life_ms };
    let made = admin::create_key(&*app.store, caller.acting(), new).await.map_err(Problem::from);
    let id = made.as_ref().map(|(key, _)| key.id.to_string()).unwrap_or_default();
    audit::record(&caller, Act::KeyCreated, &tenant, &id, outcome(&made));
    let (key, secret) = made?;
    Ok((StatusCode::CREATED, Json(NewKeyView::new(&key, &secret))))
}

/// List keys
///
/// The tenant's keys, the oldest first, ended ones included.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", params(Whose, Paging),
    responses((status = 200, body = Keys), (status = 404, description = "tenant-not-found")))]
pub async fn list(
    State(app): State<Shared>,
    caller: Caller,
    Query(Whose { tenant }): Query<Whose>,
    Query(paging): Query<Paging>,
) -> Result<Json<Keys>, Problem> {
    let keys = admin::keys(&*app.store, &whose(&caller, tenant)?).await?;
    let now = app.store.now().await?;
    let (page, next) = paging.of(keys, |key| format!("{:016x}-{}", key.created_at.0, key.id));
    Ok(Json(Keys { items: page.iter().map(|key| KeyView::new(key, now)).collect(), next }))
}

/// Revoke a key
///
/// It is refused at once by the node that answers this, and within a second by every other one.
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
    Ok(Json(KeyView::new(&revoked, revoked.created_at)))
}

/// Rotate a key
///
/// Makes a key with the tenant, scope, name and life of this one, and lets this one expire after `grace_ms`.
#[utoipa::path(post, path = "/v1/keys/{key}/rotate", tag = "keys", request_body = RotateKey,
    params(("key" = String, Path, description = "Key id")),
    responses((status = 201, body = NewKeyView), (status = 404, description = "key-not-found"),
        (status = 409, description = "key-ended: it is expired or revoked"),
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
    Ok((StatusCode::CREATED, Json(NewKeyView::new(&key, &secret))))
}

/// The tenant that a request is about. Another one looks absent to whom it is none of the business.
fn whose(caller: &Caller, named: Option<TenantId>) -> Result<TenantId, Problem> {
    match named {
        Some(named) if named != caller.tenant && !caller.is_operator() => Err(AdminError::NoTenant(named).into()),
        Some(named) => Ok(named),
        None => Ok(caller.tenant.clone()),
    }
}

/// Whose keys a caller manages; `None` is everyone's.
fn reach(caller: &Caller) -> Option<&TenantId> {
    (!caller.is_operator()).then_some(&caller.tenant)
}

/// What the audit log says came of it.
pub(super) fn outcome<T>(done: &Result<T, Problem>) -> &'static str {
    done.as_ref().map_or_else(|problem| problem.code().as_str(), |_| "ok")
}
