//! API keys and their scopes.

use fusebox_core::{name::TenantId, scope::Scope};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Grace of a rotated key by default: a day in which its users switch to the new key.
pub const GRACE_MS_DEFAULT: u64 = 24 * 60 * 60 * 1_000;

/// Request for an API key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// Scope: `invoke`, `deploy` or `admin`; each includes the previous ones.
    #[schema(value_type = String)]
    pub scope: Scope,
    /// Display name, at most 128 characters.
    #[serde(default)]
    pub name: String,
    /// Tenant of the key; only the operator may name a tenant other than its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
    /// Milliseconds until the key expires; never by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life_ms: Option<u64>,
}

/// Options of a rotation.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// Milliseconds until the old key expires; a day by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}

/// Tenant whose keys are listed.
#[derive(Clone, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct KeyFilter {
    /// Only the operator may name a tenant other than its own.
    #[param(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
}

/// API key without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// Id of the key.
    pub id: String,
    /// Tenant of the key.
    pub tenant: String,
    /// Scope of the key.
    #[schema(value_type = String)]
    pub scope: Scope,
    /// Display name.
    pub name: String,
    /// `good`, `expired` or `revoked`.
    pub status: String,
    /// Time of creation.
    pub created_at: String,
    /// Time from which the key is expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Time of revocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
}

/// API key that was just created.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NewKeyView {
    /// The whole key, `fb_<id>_<secret>`. It is shown only in this response.
    pub key: String,
    /// Record of the key.
    #[serde(flatten)]
    pub view: KeyView,
}

/// Page of API keys.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Keys {
    /// Keys, the oldest first.
    pub items: Vec<KeyView>,
    /// `cursor` of the next page; null on the last.
    #[serde(default)]
    pub next: Option<String>,
}
