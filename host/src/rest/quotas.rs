//! Quotas of a tenant: get and set. For the operator only.

use axum::{Json, extract::State};
use fusebox_core::{
    error::ErrorCode,
    name::TenantId,
    quota::{QuotaSettings, Quotas, UNLIMITED},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Shared, body::SmallJson, error::Problem, extract::Path, keys::outcome};
use crate::tenancy::{
    Caller,
    admin::{self, AdminError},
    audit::{self, Act},
};

/// Quotas of a tenant. A member that is left out, or null, is the default; in `may`, null means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaValues {
    /// Function versions.
    pub functions: Option<u64>,
    /// Wasm bytes of all versions together.
    pub module_bytes: Option<u64>,
    /// Queued tasks.
    pub queued_tasks: Option<u64>,
    /// Leased attempts per dispatcher; concurrent synchronous invocations per REST node.
    pub running_tasks: Option<u64>,
    /// Fuel that runs may reserve per minute. A run reserves its whole limit; unused fuel is returned if it ends
    /// normally.
    pub fuel_per_minute: Option<u64>,
    /// Requests per second to one REST node.
    pub requests_per_second: Option<u64>,
}

/// Quotas of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuotasView {
    /// Name of the tenant.
    pub tenant: String,
    /// Quotas set by the operator.
    pub set: QuotaValues,
    /// Effective quotas: those set, completed by the defaults.
    pub may: QuotaValues,
}

impl QuotasView {
    /// Returns the view of a tenant's quotas, given those set for it.
    #[must_use]
    pub fn new(tenant: &TenantId, set: QuotaSettings) -> Self {
        let may = Quotas::of(tenant, &set);
        let bound = |value: u64| (value != UNLIMITED).then_some(value);
        let may = QuotaValues {
            functions: bound(may.functions),
            module_bytes: bound(may.module_bytes),
            queued_tasks: bound(may.queued_tasks),
            running_tasks: bound(may.running_tasks),
            fuel_per_minute: bound(may.fuel_per_minute),
            requests_per_second: bound(may.requests_per_second),
        };
        Self { tenant: tenant.to_string(), set: set.into(), may }
    }
}

impl From<QuotaSettings> for QuotaValues {
    fn from(set: QuotaSettings) -> Self {
        let QuotaSettings {
            functions,
            module_bytes,
            queued_tasks,
            running_tasks,
            fuel_per_minute,
            requests_per_second,
        } = set;
        Self { functions, module_bytes, queued_tasks, running_tasks, fuel_per_minute, requests_per_second }
    }
}

impl From<QuotaValues> for QuotaSettings {
    fn from(values: QuotaValues) -> Self {
        let QuotaValues { functions, module_bytes, queued_tasks, running_tasks, fuel_per_minute, requests_per_second } =
            values;
        Self { functions, module_bytes, queued_tasks, running_tasks, fuel_per_minute, requests_per_second }
    }
}

/// Get a tenant's quotas
#[utoipa::path(get, path = "/v1/tenants/{tenant}/quotas", tag = "tenants",
    params(("tenant" = String, Path, description = "Name of the tenant")),
    responses((status = 200, body = QuotasView), (status = 404, description = "tenant-not-found")))]
pub async fn get(State(app): State<Shared>, Path(tenant): Path<String>) -> Result<Json<QuotasView>, Problem> {
    let id: TenantId = tenant.parse().map_err(|_| absent(&tenant))?;
    let set = admin::quotas(&*app.store, &id).await.map_err(|error| problem(error, &tenant))?;
    Ok(Json(QuotasView::new(&id, set)))
}

/// Set a tenant's quotas
///
/// Replaces all quotas that were set; one left out returns to its default. Every node applies them within 5 s. Whatever
/// already exceeds a lowered quota stays, but nothing is added.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/quotas", tag = "tenants", request_body = QuotaValues,
    params(("tenant" = String, Path, description = "Name of the tenant")),
    responses((status = 200, body = QuotasView), (status = 404, description = "tenant-not-found"),
        (status = 422, description = "unprocessable-request: unknown quota, or one above the maximum in `max`")))]
pub async fn set(
    State(app): State<Shared>,
    caller: Caller,
    Path(tenant): Path<String>,
    SmallJson(values): SmallJson<QuotaValues>,
) -> Result<Json<QuotasView>, Problem> {
    let id: TenantId = tenant.parse().map_err(|_| absent(&tenant))?;
    let done = admin::set_quotas(&*app.store, caller.acting(), &id, values.into()).await;
    let done = done.map_err(|error| problem(error, &tenant));
    audit::record(&caller, Act::QuotasSet, &id, &id, outcome(&done));
    done?;
    app.meter.quotas().refresh().await?;
    Ok(Json(QuotasView::new(&id, values.into())))
}

fn absent(tenant: &str) -> Problem {
    Problem::new(ErrorCode::TenantNotFound, format!("there is no tenant {tenant:?}"))
}

fn problem(error: AdminError, tenant: &str) -> Problem {
    match error {
        AdminError::NoTenant(_) => absent(tenant),
        error => error.into(),
    }
}
