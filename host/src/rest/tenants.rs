//! Tenants: create, list, delete. For the operator only.

use axum::{Json, extract::State, http::StatusCode};
use fusebox_api::{
    Paging, rfc3339,
    tenants::{CreateTenant, TenantView, Tenants},
};
use fusebox_core::name::TenantId;

use super::{
    Shared,
    body::SmallJson,
    error::Problem,
    extract::{Path, Query},
    keys::outcome,
    paging,
};
use crate::tenancy::{
    Caller,
    admin::{self, AdminError},
    audit::{self, Act},
};
use fusebox_store::Tenant;

/// Returns the view of a tenant.
#[must_use]
pub fn view(tenant: &Tenant) -> TenantView {
    let created_at = (tenant.created_at.0 > 0).then(|| rfc3339(tenant.created_at));
    TenantView { name: tenant.id.to_string(), created_at }
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
    let (page, next) = paging::of(paging, admin::tenants(&*app.store).await?, |tenant| tenant.id.to_string());
    Ok(Json(Tenants { items: page.iter().map(view).collect(), next }))
}

/// Delete a tenant
///
/// Revokes its keys and deletes its functions. Tasks accepted before still run, and their records expire as usual. The
/// name is not reused.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path, description = "Name of the tenant")),
    responses((status = 204, description = "Deleted"), (status = 404, description = "tenant-not-found"),
        (status = 409, description = "tenant-stays: the default tenant")))]
pub async fn delete(
    State(app): State<Shared>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<StatusCode, Problem> {
    let absent =
        || Problem::new(fusebox_core::error::ErrorCode::TenantNotFound, format!("there is no tenant {tenant:?}"));
    let id: TenantId = tenant.parse().map_err(|_| absent())?;
    let deleted = admin::delete_tenant(&*app.store, caller.acting(), &id).await.map_err(|error| match error {
        AdminError::NoTenant(_) => absent(),
        error => error.into(),
    });
    audit::record(&caller, Act::TenantDeleted, &id, &id, outcome(&deleted));
    deleted.map(|()| StatusCode::NO_CONTENT)
}
