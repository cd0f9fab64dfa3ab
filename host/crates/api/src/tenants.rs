//! Tenants.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
