//! Quotas of a tenant.

use fusebox_core::{
    keep::Keep,
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
    /// Bytes stored: inputs, outputs and logs of tasks, values, settings and modules. At most half of the store's size;
    /// the default is a tenth of it.
    pub stored_bytes: Option<u64>,
    /// Queued tasks.
    pub queued_tasks: Option<u64>,
    /// Leased attempts per dispatcher; concurrent synchronous invocations per REST node.
    pub running_tasks: Option<u64>,
    /// Fuel that runs may reserve per minute. A run reserves its whole limit; unused fuel is returned if it ends
    /// normally.
    pub fuel_per_minute: Option<u64>,
    /// Requests per second to one REST node.
    pub requests_per_second: Option<u64>,
    /// Seconds per hour that the compilation of registered modules may use.
    pub compile_s_per_hour: Option<u64>,
    /// Seconds for which completed and cancelled tasks are kept; at most the host's own.
    pub keep_results_s: Option<u64>,
    /// Seconds for which dead letters are kept; at most the host's own.
    pub keep_failed_s: Option<u64>,
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
    /// Amounts that the tenant uses of them.
    pub used: QuotaUse,
}

/// Part of the quotas that a tenant uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuotaUse {
    /// Bytes stored: those of inputs, outputs, logs, values, settings and modules, with 512 for each task and version, and
    /// 128 for each value and setting.
    pub stored_bytes: u64,
    /// Seconds of compilation that the hour's budget lacks; 0 without a bound.
    #[serde(default)]
    pub compile_s_per_hour: u64,
}

impl QuotasView {
    /// Returns the view of a tenant's quotas, given those set for it and what it uses, in a store of this size in bytes, on a
    /// host that keeps ended tasks for `keep`.
    #[must_use]
    pub fn new(tenant: &TenantId, set: QuotaSettings, used: QuotaUse, room_bytes: u64, keep: Keep) -> Self {
        let may = Quotas::of(tenant, &set, room_bytes, keep);
        let may = may.map(|value| (value != UNLIMITED).then_some(value)).into();
        Self { tenant: tenant.to_string(), set: set.into(), may, used }
    }
}

impl From<QuotaSettings> for QuotaValues {
    fn from(set: QuotaSettings) -> Self {
        let QuotaSettings {
            functions,
            stored_bytes,
            queued_tasks,
            running_tasks,
            fuel_per_minute,
            requests_per_second,
            compile_s_per_hour,
            keep_results_s,
            keep_failed_s,
        } = set;
        Self {
            functions,
            stored_bytes,
            queued_tasks,
            running_tasks,
            fuel_per_minute,
            requests_per_second,
            compile_s_per_hour,
            keep_results_s,
            keep_failed_s,
        }
    }
}

impl From<QuotaValues> for QuotaSettings {
    fn from(values: QuotaValues) -> Self {
        let QuotaValues {
            functions,
            stored_bytes,
            queued_tasks,
            running_tasks,
            fuel_per_minute,
            requests_per_second,
            compile_s_per_hour,
            keep_results_s,
            keep_failed_s,
        } = values;
        Self {
            functions,
            stored_bytes,
            queued_tasks,
            running_tasks,
            fuel_per_minute,
            requests_per_second,
            compile_s_per_hour,
            keep_results_s,
            keep_failed_s,
        }
    }
}
