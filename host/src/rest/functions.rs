//! Functions: register, list, get, delete.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use fusebox_api::{
    Paging,
    functions::{FunctionPage, FunctionView, GrantParams, LimitParams, Registration},
    setup::SetupParams,
};
use fusebox_core::{
    capability::Grant,
    error::ErrorCode,
    function::{FunctionVersion, Grants, RunLimits},
    id::FunctionId,
    name::{FunctionName, TenantId},
    setup::Setup,
};

use super::{
    App, Shared,
    body::RegistrationBody,
    error::Problem,
    extract::{Path, Query},
    grants,
    keys::outcome,
    paging,
    quota::{DELETED_MS, bytes_reached, refused},
    setup::SetupQuery,
};
use crate::tenancy::{
    Caller, Refusal,
    audit::{self, Act},
};
use fusebox_store::{FunctionRef, NewFunction, Registered, kv::Namespace};
use fusebox_system::random;

/// Register a function
///
/// The body is a core WebAssembly module of at most 16 MiB that follows the core or the command ABI. It is checked and
/// compiled before the response. The body may also be a form (`multipart/form-data`) with the module as part `module`, a tar
/// of the files that runs see as part `files`, and the setup's parameters as further parts. Each registration creates a new immutable version with its own id; a name resolves to
/// its newest version. The module's imports determine the grants it needs.
#[utoipa::path(post, path = "/v1/functions", tag = "functions", params(Registration, LimitParams, GrantParams, SetupParams),
    request_body(content((Vec<u8> = "application/wasm"), (Vec<u8> = "multipart/form-data"))),
    responses(
        (status = 201, body = FunctionView, headers(("location" = String, description = "The version's path"))),
        (status = 400, description = "Refused: invalid-module, unsupported-module, unknown-import, \
            module-too-complex, compile-limit, invalid-name, invalid-limits or invalid-setup; or grant-required, with the \
            missing grants"),
        (status = 413, description = "payload-too-large"),
        (status = 429, description = "function-quota or storage-quota"),
        (status = 503, description = "overloaded, store-full or store-unavailable; see Retry-After")))]
pub async fn register(
    State(app): State<Shared>,
    caller: Caller,
    Query(asked): Query<Registration>,
    Query(limits): Query<LimitParams>,
    Query(grants): Query<GrantParams>,
    setup: SetupQuery,
    body: RegistrationBody,
) -> Result<Response, Problem> {
    let RegistrationBody { module, files, setup: form, room: _room } = body;
    let mut setup = setup.with(form)?;
    let files = match files {
        Some(tar) => Some(app.modules.archive(tar).await?),
        None => None,
    };
    if let Some(archive) = &files {
        (setup.files, setup.files_bytes) = (Some(archive.digest), archive.bytes.len() as u64);
    }
    let files = files.map(|archive| archive.bytes).unwrap_or_default();
    let limits = limits.over(app.settings.limits, &app.settings.ceiling)?;
    let asked_for = Asked { limits, grants: grants.read()?, setup, files };
    let (function, added) = add(&app, &caller, &asked.name, asked_for, module).await?;
    let location = format!("/v1/functions/{}", function.id);
    let new_grants = added.new_grants.map(|grants| grants.iter().map(ToString::to_string).collect());
    let view = FunctionView { compile_ms: Some(added.compile_ms), new_grants, ..FunctionView::from(&function) };
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(view)).into_response())
}

/// List functions
///
/// The newest version of each name, sorted by name.
#[utoipa::path(get, path = "/v1/functions", tag = "functions", params(Paging),
    responses((status = 200, body = FunctionPage)))]
pub async fn list(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    Query(paging): Query<Paging>,
) -> Result<Json<FunctionPage>, Problem> {
    let page = app.store.functions(&tenant, &paging::request(paging)).await?;
    Ok(Json(FunctionPage { items: page.items.iter().map(Into::into).collect(), next: page.next }))
}

/// Get a function
///
/// By version id, or by name for the newest version.
#[utoipa::path(get, path = "/v1/functions/{function}", tag = "functions",
    params(("function" = String, Path, description = "Version id or name")),
    responses((status = 200, body = FunctionView), (status = 404, description = "function-not-found")))]
pub async fn get(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    Path(function): Path<String>,
) -> Result<Json<FunctionView>, Problem> {
    Ok(Json(FunctionView::from(&find(&app, &tenant, &function).await?)))
}

/// List the versions of a function
///
/// Newest first.
#[utoipa::path(get, path = "/v1/functions/{function}/versions", tag = "functions",
    params(("function" = String, Path, description = "Name"), Paging),
    responses((status = 200, body = FunctionPage), (status = 404, description = "function-not-found")))]
pub async fn versions(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    Path(function): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<FunctionPage>, Problem> {
    let name = find(&app, &tenant, &function).await?.name;
    let page = app.store.versions(&tenant, &name, &paging::request(paging)).await?;
    Ok(Json(FunctionPage { items: page.items.iter().map(Into::into).collect(), next: page.next }))
}

/// Delete a function
///
/// One version by its id, or every version of a name. Tasks accepted before still run. Deleting the last version of a
/// name also deletes its configuration, secrets and key-value namespace.
#[utoipa::path(delete, path = "/v1/functions/{function}", tag = "functions",
    params(("function" = String, Path, description = "Version id or name")),
    responses((status = 204, description = "Deleted"), (status = 404, description = "function-not-found")))]
pub async fn delete(
    State(app): State<Shared>,
    caller: Caller,
    Path(function): Path<String>,
) -> Result<StatusCode, Problem> {
    let key = reference(&function)?;
    let deleted = delete_with_settings(&app, &caller.tenant, &function, &key).await;
    audit::record(&caller, Act::FunctionDeleted, &caller.tenant, &function.escape_debug(), outcome(&deleted));
    deleted
}

/// Deletes the version or name; with the last version of a name, also its settings and key-value entries.
async fn delete_with_settings(
    app: &App,
    tenant: &TenantId,
    function: &str,
    key: &FunctionRef,
) -> Result<StatusCode, Problem> {
    let name = match key {
        FunctionRef::Name(name) => name.clone(),
        FunctionRef::Id(_) => find(app, tenant, function).await?.name,
    };
    if !app.store.delete_function(tenant, key).await? {
        return Err(not_found(function));
    }
    if app.store.function(tenant, &FunctionRef::Name(name.clone())).await?.is_none() {
        app.store.forget(&Namespace { tenant: tenant.clone(), function: name }).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Parameters of a registration.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Limits of each run.
    pub(super) limits: RunLimits,
    /// Capabilities granted to the function.
    pub(super) grants: Grants,
    /// Way to start the module.
    pub(super) setup: Setup,
    /// Archive of the setup's files; empty without files.
    pub(super) files: Bytes,
}

/// Facts about a registration that the version's record does not hold.
pub(super) struct Added {
    /// Time that the module took to compile, in milliseconds.
    compile_ms: u64,
    /// Grants that the previous version did not have; `None` for the first version.
    new_grants: Option<Vec<Grant>>,
}

/// Checks, compiles and registers a module, and writes the audit log.
pub(super) async fn add(
    app: &App,
    caller: &Caller,
    name: &str,
    asked: Asked,
    wasm: Bytes,
) -> Result<(FunctionVersion, Added), Problem> {
    let name: FunctionName = name.parse()?;
    let added = compile_and_register(app, caller, name.clone(), asked, wasm).await;
    let id = added.as_ref().map(|(function, _)| function.id.to_string()).unwrap_or_default();
    let subject = format!("{} {id}", name.as_str().escape_debug());
    audit::record(caller, Act::FunctionRegistered, &caller.tenant, &subject.trim_end(), outcome(&added));
    added
}

async fn compile_and_register(
    app: &App,
    caller: &Caller,
    name: FunctionName,
    Asked { limits, grants, setup, files }: Asked,
    wasm: Bytes,
) -> Result<(FunctionVersion, Added), Problem> {
    let tenant = caller.tenant.clone();
    let newest = app.store.function(&tenant, &FunctionRef::Name(name.clone())).await?;
    let runs = newest.as_ref().map(|version| version.module);
    let prepared = app.modules.upload(tenant.clone(), runs, wasm.clone()).await?;
    let needs = &prepared.inspected.needs;
    // The previous version matters only where grants do.
    let before = newest.filter(|_| !needs.is_empty() || grants != Grants::default());
    grants::check(needs, &grants, before.as_ref())?;
    let new_grants = before.map(|before| grants.beyond(&before.grants));
    let quotas = app.meter.quotas().of(&tenant);
    let new = NewFunction {
        id: random::function_id(app.clock.now()),
        tenant,
        name,
        module: prepared.inspected.digest,
        abi: prepared.inspected.abi,
        limits,
        grants,
        setup,
        files,
        versions_max: quotas.functions,
        stored_max: quotas.stored_bytes,
    };
    app.gate.confirm(caller).await?;
    match app.store.register(new, wasm).await? {
        Registered::Version(function) => {
            app.metrics.function_registered();
            let compile_ms = u64::try_from(prepared.compile.as_millis()).unwrap_or(u64::MAX);
            Ok((function, Added { compile_ms, new_grants }))
        }
        // Its key was valid when the request arrived.
        Registered::NoTenant => Err(Refusal::BadKey.into()),
        Registered::QuotaReached { max } => {
            let detail = format!("the tenant has {max} function versions, its quota: delete some");
            Err(refused(ErrorCode::FunctionQuota, detail, max, DELETED_MS).with("max", max))
        }
        Registered::BytesReached { max } => Err(bytes_reached(app.meter.quotas(), &caller.tenant, max)),
    }
}

/// Returns the function version that a path names.
pub(super) async fn find(app: &App, tenant: &TenantId, text: &str) -> Result<FunctionVersion, Problem> {
    let key = reference(text)?;
    app.store.function(tenant, &key).await?.ok_or_else(|| not_found(text))
}

pub(super) fn reference(text: &str) -> Result<FunctionRef, Problem> {
    match text.parse::<FunctionId>() {
        Ok(id) => Ok(FunctionRef::Id(id)),
        Err(_) => Ok(FunctionRef::Name(text.parse().map_err(|_| not_found(text))?)),
    }
}

/// Returns the same problem for a missing function and for another tenant's.
pub(super) fn not_found(text: &str) -> Problem {
    let detail = format!("there is no function {text:?}: GET /v1/functions lists yours");
    Problem::new(ErrorCode::FunctionNotFound, detail)
}
