//! Quotas of a tenant.

use fusebox_core::{
    name::TenantId,
    quota::{QuotaSettings, Quotas, UNLIMITED},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
        let may = may.map(|value| (value != UNLIMITED).then_some(value)).into();
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
