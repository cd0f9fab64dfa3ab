//! Settings of functions: configuration values, and secrets, which no route returns. They belong to the function's
//! name, so all its versions share them, and exist only as long as the name has a version.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use fusebox_api::{
    Paging,
    settings::{ConfigPage, ConfigValue, SecretName, SecretPage},
};
use fusebox_core::{capability::SettingName, error::ErrorCode, limits::SETTINGS_MAX, name::TenantId};

use super::{
    App, Shared,
    body::SettingBody,
    error::Problem,
    extract::{Path, Query},
    functions,
    keys::outcome,
    paging,
    quota::bytes_reached,
};
use crate::tenancy::{
    Caller, Refusal,
    audit::{self, Act},
};
use fusebox_store::kv::{Namespace, SettingAnswer, SettingKind};

/// List a function's configuration
#[utoipa::path(get, path = "/v1/functions/{function}/config", tag = "settings",
    params(("function" = String, Path, description = "Name or version id"), Paging),
    responses((status = 200, body = ConfigPage), (status = 404, description = "function-not-found")))]
pub async fn list_config(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    Path(function): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<ConfigPage>, Problem> {
    let of = namespace(&app, tenant, &function).await?;
    let all = app.store.settings(&of, SettingKind::Config).await?;
    let item = |(name, value): (SettingName, Bytes)| ConfigValue {
        name: name.to_string(),
        value: String::from_utf8_lossy(&value).into_owned(),
    };
    let (page, next) = paging::of(paging, all, |(name, _)| name.to_string());
    Ok(Json(ConfigPage { items: page.into_iter().map(item).collect(), next }))
}

/// Get a configuration value
#[utoipa::path(get, path = "/v1/functions/{function}/config/{setting}", tag = "settings",
    params(("function" = String, Path, description = "Name or version id"),
        ("setting" = String, Path, description = "Name of the value")),
    responses((status = 200, description = "The value", body = String, content_type = "text/plain"),
        (status = 404, description = "function-not-found or setting-not-found")))]
pub async fn get_config(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    Path((function, setting)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let of = namespace(&app, tenant, &function).await?;
    let found = match setting.parse() {
        Ok(name) => app.store.setting(&of, SettingKind::Config, &name).await?,
        Err(_) => None,
    };
    let value = found.ok_or_else(|| not_found(&setting))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], value).into_response())
}

/// Set a configuration value
///
/// The body is the value: text of at most 16 KiB. Runs of functions with the grant `config` see it the next time they
/// read it.
#[utoipa::path(put, path = "/v1/functions/{function}/config/{setting}", tag = "settings",
    params(("function" = String, Path, description = "Name or version id"),
        ("setting" = String, Path, description = "1 to 128 characters of A-Z, a-z, 0-9, -, _ and .")),
    request_body(content = String, content_type = "text/plain"),
    responses((status = 204, description = "Set"),
        (status = 400, description = "invalid-name, or invalid-request: the value is not UTF-8"),
        (status = 404, description = "function-not-found"), (status = 413, description = "payload-too-large"),
        (status = 429, description = "setting-quota or storage-quota")))]
pub async fn set_config(
    State(app): State<Shared>,
    caller: Caller,
    Path((function, setting)): Path<(String, String)>,
    SettingBody(value): SettingBody,
) -> Result<StatusCode, Problem> {
    set(&app, &caller, SettingKind::Config, (&function, &setting), value).await
}

/// Unset a configuration value
#[utoipa::path(delete, path = "/v1/functions/{function}/config/{setting}", tag = "settings",
    params(("function" = String, Path, description = "Name or version id"),
        ("setting" = String, Path, description = "Name of the value")),
    responses((status = 204, description = "Removed"),
        (status = 404, description = "function-not-found or setting-not-found")))]
pub async fn unset_config(
    State(app): State<Shared>,
    caller: Caller,
    Path((function, setting)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    unset(&app, &caller, SettingKind::Config, (&function, &setting)).await
}

/// List a function's secrets
///
/// Only their names: the content is available to the function's runs alone.
#[utoipa::path(get, path = "/v1/functions/{function}/secrets", tag = "settings",
    params(("function" = String, Path, description = "Name or version id"), Paging),
    responses((status = 200, body = SecretPage), (status = 404, description = "function-not-found")))]
pub async fn list_secrets(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    Path(function): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<SecretPage>, Problem> {
    let of = namespace(&app, tenant, &function).await?;
    let all = app.store.settings(&of, SettingKind::Secret).await?;
    let (page, next) = paging::of(paging, all, |(name, _)| name.to_string());
    let items = page.into_iter().map(|(name, _)| SecretName { name: name.to_string() }).collect();
    Ok(Json(SecretPage { items, next }))
}

/// Set a secret
///
/// The body is the secret: any bytes, at most 16 KiB. It is stored encrypted, and only runs of functions with the grant
/// `secrets` can read it.
#[utoipa::path(put, path = "/v1/functions/{function}/secrets/{setting}", tag = "settings",
    params(("function" = String, Path, description = "Name or version id"),
        ("setting" = String, Path, description = "1 to 128 characters of A-Z, a-z, 0-9, -, _ and .")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 204, description = "Set"), (status = 400, description = "invalid-name"),
        (status = 404, description = "function-not-found"), (status = 413, description = "payload-too-large"),
        (status = 429, description = "setting-quota or storage-quota"),
        (status = 501, description = "no-secrets-key: the host was started without --secrets-key")))]
pub async fn set_secret(
    State(app): State<Shared>,
    caller: Caller,
    Path((function, setting)): Path<(String, String)>,
    SettingBody(value): SettingBody,
) -> Result<StatusCode, Problem> {
    set(&app, &caller, SettingKind::Secret, (&function, &setting), value).await
}

/// Unset a secret
#[utoipa::path(delete, path = "/v1/functions/{function}/secrets/{setting}", tag = "settings",
    params(("function" = String, Path, description = "Name or version id"),
        ("setting" = String, Path, description = "Name of the secret")),
    responses((status = 204, description = "Removed"),
        (status = 404, description = "function-not-found or setting-not-found")))]
pub async fn unset_secret(
    State(app): State<Shared>,
    caller: Caller,
    Path((function, setting)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    unset(&app, &caller, SettingKind::Secret, (&function, &setting)).await
}

async fn namespace(app: &App, tenant: TenantId, function: &str) -> Result<Namespace, Problem> {
    let version = functions::find(app, &tenant, function).await?;
    Ok(Namespace { tenant, function: version.name })
}

/// Names of a function and of a setting, as in the path.
type Place<'a> = (&'a str, &'a str);

async fn set(app: &App, by: &Caller, kind: SettingKind, place: Place<'_>, value: Bytes) -> Result<StatusCode, Problem> {
    let done = keep(app, by, kind, place, value).await;
    record(by, [Act::ConfigSet, Act::SecretSet], kind, place, &done);
    done
}

async fn keep(
    app: &App,
    by: &Caller,
    kind: SettingKind,
    (function, setting): Place<'_>,
    value: Bytes,
) -> Result<StatusCode, Problem> {
    let name = parse(setting)?;
    let sealing = match kind {
        SettingKind::Config if std::str::from_utf8(&value).is_err() => {
            return Err(Problem::new(ErrorCode::InvalidRequest, "a configuration value must be UTF-8 text"));
        }
        SettingKind::Config => None,
        SettingKind::Secret => Some(app.secrets.as_ref().ok_or_else(no_key)?),
    };
    let of = namespace(app, by.tenant.clone(), function).await?;
    let value = match sealing.map(|key| key.seal(&of, &name, &value)) {
        None => value,
        Some(sealed) => sealed.ok_or_else(|| Problem::new(ErrorCode::Internal, "the secret cannot be sealed"))?.into(),
    };
    let stored_max = app.meter.quotas().of(&of.tenant).stored_bytes;
    match app.store.set_setting(&of, kind, &name, value, stored_max).await? {
        SettingAnswer::Set => Ok(StatusCode::NO_CONTENT),
        SettingAnswer::Full => {
            let detail = format!("the function already has {SETTINGS_MAX}, the maximum: unset one");
            Err(Problem::new(ErrorCode::SettingQuota, detail).with("max", SETTINGS_MAX))
        }
        SettingAnswer::BytesReached => Err(bytes_reached(app.meter.quotas(), &of.tenant, stored_max)),
        // Its key was valid when the request arrived.
        SettingAnswer::NoTenant => Err(Refusal::BadKey.into()),
    }
}

async fn unset(app: &App, by: &Caller, kind: SettingKind, place: Place<'_>) -> Result<StatusCode, Problem> {
    let done = remove(app, by, kind, place).await;
    record(by, [Act::ConfigUnset, Act::SecretUnset], kind, place, &done);
    done
}

async fn remove(
    app: &App,
    by: &Caller,
    kind: SettingKind,
    (function, setting): Place<'_>,
) -> Result<StatusCode, Problem> {
    let of = namespace(app, by.tenant.clone(), function).await?;
    let there = match setting.parse() {
        Ok(name) => app.store.unset(&of, kind, &name).await?,
        Err(_) => false,
    };
    if there { Ok(StatusCode::NO_CONTENT) } else { Err(not_found(setting)) }
}

/// Writes the audit log, without the value.
fn record(
    by: &Caller,
    [config, secret]: [Act; 2],
    kind: SettingKind,
    (function, setting): Place<'_>,
    done: &Result<StatusCode, Problem>,
) {
    let act = match kind {
        SettingKind::Config => config,
        SettingKind::Secret => secret,
    };
    // Both are client input; escaped, a line break cannot forge an event.
    let subject = format!("{} {}", function.escape_debug(), setting.escape_debug());
    audit::record(by, act, &by.tenant, &subject, outcome(done));
}

fn parse(setting: &str) -> Result<SettingName, Problem> {
    setting.parse().map_err(|error: fusebox_core::capability::SettingNameError| {
        Problem::new(ErrorCode::InvalidName, format!("{setting:?} is not a valid name: {error}"))
    })
}

fn not_found(setting: &str) -> Problem {
    Problem::new(ErrorCode::SettingNotFound, format!("the function has no setting {setting:?}: list those that it has"))
}

fn no_key() -> Problem {
    let detail = "this host has no key to encrypt secrets with: make one with \
                  (umask 077; openssl rand -hex 32 > secrets.key), and start each serve and dispatcher with --secrets-key \
                  secrets.key";
    Problem::new(ErrorCode::NoSecretsKey, detail)
}
