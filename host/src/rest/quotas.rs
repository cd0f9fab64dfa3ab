//! Quotas of a tenant: get and set. For the operator only.

use axum::{Json, extract::State};
use fusebox_api::quotas::{QuotaValues, QuotasView};
use fusebox_core::name::TenantId;

use super::{
    Shared,
    body::SmallJson,
    error::Problem,
    extract::Path,
    keys::outcome,
    tenants::{absent, problem},
};
use crate::tenancy::{
    Caller, admin,
    audit::{self, Act},
};

/// Get a tenant's quotas
///
/// With the bytes that it stores.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/quotas", tag = "tenants",
    params(("tenant" = String, Path, description = "Name of the tenant")),
    responses((status = 200, body = QuotasView), (status = 404, description = "tenant-not-found")))]
pub async fn get(State(app): State<Shared>, Path(tenant): Path<String>) -> Result<Json<QuotasView>, Problem> {
    let id: TenantId = tenant.parse().map_err(|_| absent(&tenant))?;
    let set = admin::quotas(&*app.store, &id).await.map_err(|error| problem(error, &tenant))?;
    Ok(Json(admin::quotas_view(&*app.store, &id, set, app.meter.quotas().keep()).await?))
}

/// Set a tenant's quotas
///
/// Replaces all quotas that were set; one left out returns to its default. Every node applies them within 5 s. Whatever
/// already exceeds a lowered quota stays, but nothing is added.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/quotas", tag = "tenants", request_body = QuotaValues,
    params(("tenant" = String, Path, description = "Name of the tenant")),
    responses((status = 200, body = QuotasView), (status = 404, description = "tenant-not-found"),
        (status = 422, description = "unprocessable-request: unknown quota, or one outside of `min` and `max`")))]
pub async fn set(
    State(app): State<Shared>,
    caller: Caller,
    Path(tenant): Path<String>,
    SmallJson(values): SmallJson<QuotaValues>,
) -> Result<Json<QuotasView>, Problem> {
    let id: TenantId = tenant.parse().map_err(|_| absent(&tenant))?;
    let keep = app.meter.quotas().keep();
    let done = admin::set_quotas(&*app.store, caller.acting(), &id, values.into(), keep).await;
    let done = done.map_err(|error| problem(error, &tenant));
    audit::record(&caller, Act::QuotasSet, &id, &id, outcome(&done));
    done?;
    app.meter.quotas().refresh().await?;
    Ok(Json(admin::quotas_view(&*app.store, &id, values.into(), keep).await?))
}
