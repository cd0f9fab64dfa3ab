//! Tenants: create, list, delete. For the operator only.

use axum::{Json, extract::State, http::StatusCode};
use fusebox_core::name::TenantId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Shared,
    body::SmallJson,
    error::Problem,
    extract::{Path, Query},
    functions::Paging,
    keys::outcome,
    view::rfc3339,
};
use crate::{
    store::Tenant,
    tenancy::{
        Caller,
        admin::{self, AdminError},
        audit::{self, Act},
    },
};

/// Request for a tenant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTenant {
    /// Name of the tenant: 1 to 64 characters of `a-z`, `0-9`, `-`, `_`.
    pub name: String,
}

/// Tenant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TenantView {
    /// Name of the tenant.
    pub name: String,
    /// Time of creation; absent for the default tenant, which always exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
}

/// Page of tenants.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tenants {
    /// Tenants, sorted by name.
    pub items: Vec<TenantView>,
    /// `cursor` of the next page; null on the last.
    #[serde(default)]
    pub next: Option<String>,
}

impl From<&Tenant> for TenantView {
    fn from(tenant: &Tenant) -> Self {
        let created_at = (tenant.created_at.0 > 0).then(|| rfc3339(tenant.created_at));
        Self { name: tenant.id.to_string(), created_at }
    }
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
    Ok((StatusCode::CREATED, Json(TenantView::from(&made?))))
}

/// List tenants
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", params(Paging),
    responses((status = 200, body = Tenants)))]
pub async fn list(State(app): State<Shared>, Query(paging): Query<Paging>) -> Result<Json<Tenants>, Problem> {
    let (page, next) = paging.of(admin::tenants(&*app.store).await?, |tenant| tenant.id.to_string());
    Ok(Json(Tenants { items: page.iter().map(Into::into).collect(), next }))
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
