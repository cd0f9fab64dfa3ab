//! Tenants: create, list, get, delete. For the operator only.

use axum::{Json, extract::State, http::StatusCode};
use fusebox_api::{
    Paging, rfc3339,
    tenants::{CreateTenant, TenantDeleted, TenantDetails, TenantView, Tenants},
};
use fusebox_core::{error::ErrorCode, name::TenantId};

use super::{
    Shared,
    body::SmallJson,
    error::Problem,
    extract::{Path, Query},
    keys::outcome,
    paging, waiting,
};
use crate::tenancy::{
    Caller,
    admin::{self, AdminError},
    audit::{self, Act},
};
use fusebox_store::{Cleared, Tenant};

/// Returns the view of a tenant.
#[must_use]
pub fn view(tenant: &Tenant) -> TenantView {
    let created_at = (tenant.created_at.0 > 0).then(|| rfc3339(tenant.created_at));
    TenantView { name: tenant.id.to_string(), created_at, deleting: tenant.deleted_at.is_some() }
}

/// Create a tenant
///
/// A new tenant has no keys.
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = CreateTenant,
    responses((status = 201, body = TenantView), (status = 400, description = "invalid-name"),
        (status = 409, description = "tenant-exists, or a deleted tenant had this name: names are not reused"),
        (status = 422, description = "unprocessable-request"), (status = 429, description = "tenant-quota")))]
pub async fn create(
    State(app): State<Shared>,
    caller: Caller,
    SmallJson(CreateTenant { name }): SmallJson<CreateTenant>,
) -> Result<(StatusCode, Json<TenantView>), Problem> {
    let id: TenantId = name.parse()?;
    let made = admin::create_tenant(&*app.store, caller.acting(), id.clone()).await.map_err(Problem::from);
    audit::record(&caller, Act::TenantCreated, &id, &id, outcome(&made));
    Ok((StatusCode::CREATED, Json(view(&made?))))
}

/// List tenants
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", params(Paging),
    responses((status = 200, body = Tenants)))]
pub async fn list(State(app): State<Shared>, Query(paging): Query<Paging>) -> Result<Json<Tenants>, Problem> {
    let (page, next) = paging::of(paging, app.store.tenants().await?, |tenant| tenant.id.to_string());
    Ok(Json(Tenants { items: page.iter().map(view).collect(), next }))
}

/// Get a tenant
///
/// With the number of its most important records, such as an operator wants to know before a deletion.
#[utoipa::path(get, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path, description = "Name of the tenant")),
    responses((status = 200, body = TenantDetails), (status = 404, description = "tenant-not-found")))]
pub async fn get(State(app): State<Shared>, Path(tenant): Path<String>) -> Result<Json<TenantDetails>, Problem> {
    let id: TenantId = tenant.parse().map_err(|_| absent(&tenant))?;
    let found = admin::details(&*app.store, &id).await.map_err(|error| problem(error, &tenant))?;
    let waiting_for = waiting::of_queue(&app, &id, 1).await;
    Ok(Json(TenantDetails { waiting_for, ..details(&found) }))
}

/// Delete a tenant
///
/// Deletes all that it has: tasks, of which running ones are cancelled, results, dead letters, functions, values,
/// configuration, secrets and keys. From the first request on its keys are revoked and nothing new of it is accepted. A large
/// tenant takes several requests, each of which answers 202 with the number of records deleted so far by it, or goes on by
/// itself. The name is not reused.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path, description = "Name of the tenant")),
    responses((status = 200, body = TenantDeleted, description = "Deleted"),
        (status = 202, body = TenantDeleted, description = "A part is deleted; the request can be repeated"),
        (status = 404, description = "tenant-not-found: or it is gone by now"),
        (status = 409, description = "tenant-stays: the default tenant")))]
pub async fn delete(
    State(app): State<Shared>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<(StatusCode, Json<TenantDeleted>), Problem> {
    let id: TenantId = tenant.parse().map_err(|_| absent(&tenant))?;
    let deleted = admin::delete_tenant(&*app.store, caller.acting(), &id).await;
    let deleted = deleted.map_err(|error| problem(error, &tenant));
    audit::record(&caller, Act::TenantDeleted, &id, &id, outcome(&deleted));
    let deleted = deleted?;
    let status = if deleted.is_done { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(gone(&id, &deleted))))
}

/// Returns the view of a tenant with the numbers of its records.
#[must_use]
pub fn details((tenant, [functions, keys, queued_tasks, running_tasks]): &(Tenant, [u64; 4])) -> TenantDetails {
    let [functions, keys, queued_tasks, running_tasks] = [*functions, *keys, *queued_tasks, *running_tasks];
    let TenantView { name, created_at, deleting } = view(tenant);
    TenantDetails { name, created_at, deleting, functions, keys, queued_tasks, running_tasks, waiting_for: None }
}

/// Returns the view of a deletion.
#[must_use]
pub fn gone(
    tenant: &TenantId,
    &Cleared { tasks, functions, values, settings, keys, is_done }: &Cleared,
) -> TenantDeleted {
    TenantDeleted { name: tenant.to_string(), done: is_done, tasks, functions, values, settings, keys }
}

/// Builds the problem of a tenant that does not exist.
pub(super) fn absent(tenant: &str) -> Problem {
    Problem::new(ErrorCode::TenantNotFound, format!("there is no tenant {tenant:?}"))
}

/// Builds the problem of an act on a tenant.
pub(super) fn problem(error: AdminError, tenant: &str) -> Problem {
    match error {
        AdminError::NoTenant(_) => absent(tenant),
        error => error.into(),
    }
}
