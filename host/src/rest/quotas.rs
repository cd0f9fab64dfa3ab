//! What a tenant may take: shown and set. The operator's alone.

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

/// Bounds of a tenant. One that is left out, or null, is the default; in an answer's `may`, null is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaValues {
    /// Function versions.
    pub functions: Option<u64>,
    /// Wasm bytes of all versions together.
    pub module_bytes: Option<u64>,
    /// Tasks that wait.
    pub queued_tasks: Option<u64>,
    /// Leased attempts at one dispatcher; sync invokes at one REST node.
    pub running_tasks: Option<u64>,
    /// Fuel that runs reserve. A run reserves its whole limit; what it has left comes back where it ends normally.
    pub fuel_per_minute: Option<u64>,
    /// Requests to one REST node.
    pub requests_per_second: Option<u64>,
}

/// What a tenant may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuotasView {
    /// The tenant.
    pub tenant: String,
    /// What is set.
    pub set: QuotaValues,
    /// What holds: what is set, and the defaults.
    pub may: QuotaValues,
}

impl QuotasView {
    /// What a tenant may take, with what is set for it.
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

/// What may a tenant take?
#[utoipa::path(get, path = "/v1/tenants/{tenant}/quotas", tag = "tenants",
    params(("tenant" = String, Path, description = "Its name")),
    responses((status = 200, body = QuotasView), (status = 404, description = "tenant-not-found")))]
pub async fn get(State(app): State<Shared>, Path(tenant): Path<String>) -> Result<Json<QuotasView>, Problem> {
    let id: TenantId = tenant.parse().map_err(|_| absent(&tenant))?;
    let set = admin::quotas(&*app.store, &id).await.map_err(|error| problem(error, &tenant))?;
    Ok(Json(QuotasView::new(&id, set)))
}

/// Set what a tenant may take
///
/// Replaces what was set; a bound that is left out is the default again. Every node follows within 5 s. What is above a
/// lowered bound stays, and nothing is added to it.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/quotas", tag = "tenants", request_body = QuotaValues,
    params(("tenant" = String, Path, description = "Its name")),
    responses((status = 200, body = QuotasView), (status = 404, description = "tenant-not-found"),
        (status = 422, description = "unprocessable-request: an unknown bound, or one above the ceiling in `max`")))]
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
