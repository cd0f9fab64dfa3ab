//! The audit log: who did what to tenants, keys and functions, and what came of it. One event an act, of target `audit`.
//! No secret can be in one, since ids and names are all that is taken.

use std::fmt::Display;

use super::Caller;

/// What was done, or was to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A key was made.
    KeyCreated,
    /// A key was made in another one's place.
    KeyRotated,
    /// A key was revoked.
    KeyRevoked,
    /// A tenant was made.
    TenantCreated,
    /// A tenant was deleted.
    TenantDeleted,
    /// What a tenant may take was set.
    QuotasSet,
    /// A function version was registered.
    FunctionRegistered,
    /// A function or a version of one was deleted.
    FunctionDeleted,
    /// A configuration value was set.
    ConfigSet,
    /// A configuration value was unset.
    ConfigUnset,
    /// A secret was set.
    SecretSet,
    /// A secret was unset.
    SecretUnset,
    /// A route was asked for with a key that is not for it.
    Denied,
}

impl Act {
    const fn as_str(self) -> &'static str {
        match self {
            Self::KeyCreated => "key-created",
            Self::KeyRotated => "key-rotated",
            Self::KeyRevoked => "key-revoked",
            Self::TenantCreated => "tenant-created",
            Self::TenantDeleted => "tenant-deleted",
            Self::QuotasSet => "quotas-set",
            Self::FunctionRegistered => "function-registered",
            Self::FunctionDeleted => "function-deleted",
            Self::ConfigSet => "config-set",
            Self::ConfigUnset => "config-unset",
            Self::SecretSet => "secret-set",
            Self::SecretUnset => "secret-unset",
            Self::Denied => "denied",
        }
    }
}

/// Writes down an act: who asked, upon what of which tenant, and `ok` or the code of the refusal. Where there are no keys,
/// there is nobody to be named, and it is only a detail.
pub fn record(by: &Caller, act: Act, tenant: &dyn Display, subject: &dyn Display, outcome: &str) {
    let (act, by_tenant) = (act.as_str(), by.tenant.as_str());
    match by.key {
        Some(by_key) => {
            tracing::info!(target: "audit", act, %tenant, %subject, by_tenant, %by_key, outcome, "{act}");
        }
        None => tracing::debug!(target: "audit", act, %tenant, %subject, by_tenant, outcome, "{act}"),
    }
}
