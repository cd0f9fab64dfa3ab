//! Functions: register, list, get, delete.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use fusebox_api::{
    Paging,
    functions::{FunctionPage, FunctionView, GrantParams, LimitParams, Registration},
    scripts::ScriptParams,
    setup::SetupParams,
};
use fusebox_core::{
    capability::Grant,
    error::ErrorCode,
    function::{FunctionVersion, Grants, RunLimits, VersionState},
    id::FunctionId,
    limits::{COMPILE_HOLD_MS, COMPILED_AT_ONCE_BYTES_MAX},
    name::{FunctionName, TenantId},
    setup::Setup,
};

use super::{
    App, Shared,
    body::{self, RegistrationBody},
    compiling,
    error::Problem,
    extract::{Path, Query},
    grants,
    keys::outcome,
    paging, prefer,
    quota::{DELETED_MS, bytes_reached, refused},
    scripts,
    setup::SetupQuery,
    tasks::PREFERENCE_APPLIED,
    wait, waiting,
};
use crate::tenancy::{
    Caller, Refusal,
    audit::{self, Act},
};
use fusebox_sandbox::Inspected;
use fusebox_store::{FunctionRef, NewFunction, Registered, kv::Namespace};
use fusebox_system::random;

/// Register a function
///
/// The body is a core WebAssembly module of at most 64 MiB, unless the host has another limit, that follows the core or
/// the command ABI; it may be compressed as gzip or zstd. It is checked before the response, and compiled unless it has
/// more than 3 MiB of code: then the answer is 202, and the version is `compiling` until it is `ready` or has `failed`.
/// With `Prefer: wait=N` the response waits for that. The body may also be a form (`multipart/form-data`) with the module
/// as part `module`, a tar of the files that runs see as part `files`, and the setup's parameters as further parts.
///
/// With `language`, or a body of type `text/javascript` or `text/x-python`, the body is instead a script of at most 1 MiB;
/// in a form it is the part `source`. It is run by the host's runtime of its language, with up to 5 s of CPU time and 128
/// MiB unless other limits are given, and lies in `/app` with the files of the form. It is loaded once before the response,
/// without grants: a script that fails there is refused with `file`, `line` and `column`.
///
/// Each registration creates a new immutable version with its own
/// id; a name resolves to its newest version that is ready. The module's imports determine the grants it needs.
#[utoipa::path(post, path = "/v1/functions", tag = "functions", params(Registration, LimitParams, GrantParams,
        SetupParams, ScriptParams,
        ("prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds for the compilation")),
    request_body(content((Vec<u8> = "application/wasm"), (String = "text/javascript"), (String = "text/x-python"),
        (Vec<u8> = "multipart/form-data"))),
    responses(
        (status = 201, body = FunctionView, headers(("location" = String, description = "The version's path"))),
        (status = 202, body = FunctionView, description = "The version is being compiled",
            headers(("location" = String, description = "The version's path"))),
        (status = 400, description = "Refused: invalid-module, unsupported-module, unknown-import, \
            module-too-complex, compile-limit, invalid-name, invalid-limits, invalid-setup, invalid-script or \
            runtime-unavailable; or grant-required, with the missing grants. If a version that was waited for has failed, `version` is its id"),
        (status = 413, description = "payload-too-large"),
        (status = 429, description = "function-quota, storage-quota or compile-quota; see Retry-After"),
        (status = 503, description = "overloaded, store-full or store-unavailable; see Retry-After")))]
#[expect(clippy::too_many_arguments, reason = "each is an extractor")]
pub async fn register(
    State(app): State<Shared>,
    caller: Caller,
    Query(Registration { name: asked_name }): Query<Registration>,
    Query(script): Query<ScriptParams>,
    Query(limits): Query<LimitParams>,
    Query(grants): Query<GrantParams>,
    setup: SetupQuery,
    headers: HeaderMap,
    body: RegistrationBody,
) -> Result<Response, Problem> {
    let waits = prefer::wait(&headers);
    // Reserved before anything is registered, so that a refused request can be repeated safely.
    let _room = waits.map(|_| app.room.wait(&caller, 1)).transpose()?;
    let RegistrationBody { content, files, setup: form, held: _held } = body;
    let mut setup = setup.with(form)?;
    let module = match content {
        body::Registered::Module(module) if script == ScriptParams::default() => module,
        body::Registered::Module(_) => return Err(scripts::no_script()),
        body::Registered::Script(source, of_type) => {
            let script = scripts::Script::of(&app, &script, of_type, source, files)?;
            let limits = scripts::limits(&app, limits)?;
            let asked = Asked { limits, grants: grants.read()?, setup, files: Bytes::new() };
            let (function, added) = scripts::add(&app, &caller, &asked_name, script, asked).await?;
            return Ok(created(&function, added, None));
        }
    };
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
    let (mut function, added) = add(&app, &caller, &asked_name, asked_for, module).await?;
    let mut applied = None;
    if let Some(seconds) = waits
        && function.state == VersionState::Compiling
    {
        function = compiling::for_end(&app, &caller, &FunctionRef::Id(function.id), seconds).await?;
        applied = Some(wait::applied(seconds));
    }
    match &function.state {
        VersionState::Failed(failure) => Err(compiling::failed(&function, failure)),
        VersionState::Ready | VersionState::Compiling => Ok(created(&function, added, applied)),
    }
}

/// Builds the answer about a new version. `applied` is the preference that was applied.
fn created(function: &FunctionVersion, added: Added, applied: Option<HeaderValue>) -> Response {
    let status = if function.state == VersionState::Compiling { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    let location = format!("/v1/functions/{}", function.id);
    let new_grants = added.new_grants.map(|grants| grants.iter().map(ToString::to_string).collect());
    let view = FunctionView { compile_ms: added.compile_ms, new_grants, ..FunctionView::from(function) };
    let applied = applied.map(|applied| [(PREFERENCE_APPLIED, applied)]);
    (status, [(header::LOCATION, location)], applied, Json(view)).into_response()
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
/// By version id, or by name for the newest version that is ready; if none is, for the newest. With `Prefer: wait=N` the
/// response waits for the end of its compilation.
#[utoipa::path(get, path = "/v1/functions/{function}", tag = "functions",
    params(("function" = String, Path, description = "Version id or name"),
        ("prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds for the compilation")),
    responses((status = 200, body = FunctionView), (status = 404, description = "function-not-found")))]
pub async fn get(
    State(app): State<Shared>,
    caller: Caller,
    Path(function): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(seconds) = prefer::wait(&headers) else {
        let found = find(&app, &caller.tenant, &function).await?;
        let waiting_for = waiting::of_function(&app, &found).await?;
        return Ok(Json(FunctionView { waiting_for, ..FunctionView::from(&found) }).into_response());
    };
    let _room = app.room.wait(&caller, 1)?;
    let found = compiling::for_end(&app, &caller, &reference(&function)?, seconds).await?;
    Ok(([(PREFERENCE_APPLIED, wait::applied(seconds))], Json(FunctionView::from(&found))).into_response())
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
    /// Time that the module took to compile, in milliseconds; `None` while it is being compiled.
    pub(super) compile_ms: Option<u64>,
    /// Grants that the previous version did not have; `None` for the first version.
    pub(super) new_grants: Option<Vec<Grant>>,
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
    record(caller, &name, &added);
    added
}

/// Writes a registration to the audit log.
pub(super) fn record(caller: &Caller, name: &FunctionName, added: &Result<(FunctionVersion, Added), Problem>) {
    let id = added.as_ref().map(|(function, _)| function.id.to_string()).unwrap_or_default();
    let subject = format!("{} {id}", name.as_str().escape_debug());
    audit::record(caller, Act::FunctionRegistered, &caller.tenant, &subject.trim_end(), outcome(added));
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
    let Inspected { digest, abi, needs, code_bytes } = app.modules.inspect(tenant.clone(), wasm.clone()).await?;
    let is_there = app.modules.is_there(&tenant, newest.as_ref().map(|version| version.module), digest).await?;
    if !is_there && let Some(refusal) = app.compilations.refusal(&tenant).await? {
        return Err(compiling::no_time(refusal));
    }
    // The previous version matters only where grants do.
    let before = newest.filter(|_| !needs.is_empty() || grants != Grants::default());
    grants::check(&needs, &grants, before.as_ref())?;
    let new_grants = before.map(|before| grants.beyond(&before.grants));
    let quotas = app.meter.quotas().of(&tenant);
    let new = NewFunction {
        id: random::function_id(app.clock.now()),
        tenant: tenant.clone(),
        name,
        module: digest,
        abi,
        limits,
        grants,
        setup,
        files,
        versions_max: quotas.functions,
        stored_max: quotas.stored_bytes,
    };
    let place = app.modules.enter(tenant.clone())?;
    if code_bytes > COMPILED_AT_ONCE_BYTES_MAX && !is_there {
        app.gate.confirm(caller).await?;
        let registered = app.store.register_compiling(new, wasm, COMPILE_HOLD_MS).await?;
        let function = registered_version(app, caller, registered)?;
        app.compilations.begin(function.clone(), place);
        return Ok((function, Added { compile_ms: None, new_grants }));
    }
    let prepared = app.compilations.compile_now(place, tenant, is_there, wasm.clone()).await?;
    let compile_ms = u64::try_from(prepared.compile.as_millis()).unwrap_or(u64::MAX);
    app.gate.confirm(caller).await?;
    let function = registered_version(app, caller, app.store.register(new, wasm).await?)?;
    Ok((function, Added { compile_ms: Some(compile_ms), new_grants }))
}

/// Returns the version that was registered.
///
/// # Errors
/// Fails if the store has refused it.
pub(super) fn registered_version(
    app: &App,
    caller: &Caller,
    registered: Registered,
) -> Result<FunctionVersion, Problem> {
    match registered {
        Registered::Version(function) => {
            app.metrics.function_registered();
            Ok(function)
        }
        Registered::NoModule => Err(Problem::new(ErrorCode::Overloaded, "the module was removed meanwhile: try again")),
        // Its key was valid when the request arrived.
        Registered::NoTenant => Err(Refusal::BadKey.into()),
        Registered::QuotaReached { max } => {
            let detail = format!("the tenant has {max} function versions, its quota: delete some");
            Err(refused(ErrorCode::FunctionQuota, detail, max, DELETED_MS).with("max", max))
        }
        Registered::BytesReached { max } => Err(bytes_reached(app.meter.quotas(), &caller.tenant, max)),
    }
}

/// Returns the function version that a path names, which can run.
///
/// # Errors
/// `FunctionNotFound`, `FunctionCompiling` or `FunctionFailed`.
pub(super) async fn find_ready(app: &App, tenant: &TenantId, text: &str) -> Result<FunctionVersion, Problem> {
    let function = find(app, tenant, text).await?;
    compiling::check(&function)?;
    Ok(function)
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
