//! Tenants.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::tasks::WaitingFor;

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
    /// True while the tenant is being deleted; otherwise absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleting: bool,
}

/// Tenant, with the number of its most important records.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TenantDetails {
    /// Name of the tenant.
    pub name: String,
    /// Time of creation; absent for the default tenant, which always exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// True while the tenant is being deleted; otherwise absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleting: bool,
    /// Names of functions.
    pub functions: u64,
    /// API keys, ended ones included.
    pub keys: u64,
    /// Queued tasks.
    pub queued_tasks: u64,
    /// Running tasks.
    pub running_tasks: u64,
    /// Reason for which its queued tasks wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<WaitingFor>,
}

/// Numbers of the records deleted with a tenant, by this request.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TenantDeleted {
    /// Name of the tenant.
    pub name: String,
    /// True if nothing is left. Otherwise the host goes on by itself, and so does a repeated request.
    pub done: bool,
    /// Tasks, ended ones included.
    pub tasks: u64,
    /// Function versions.
    pub functions: u64,
    /// Values of functions' namespaces.
    pub values: u64,
    /// Configuration values and secrets.
    pub settings: u64,
    /// API keys.
    pub keys: u64,
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
