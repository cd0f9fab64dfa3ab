//! Audit log: one event with the target `audit` for every act on tenants, keys, functions and settings, with its author
//! and outcome; for refused requests, at most one event per second and tenant. Events hold only ids and names, never
//! secrets.

use std::{
    collections::HashMap,
    fmt::Display,
    sync::{Mutex, PoisonError},
};

use fusebox_core::{error::ErrorCode, limits::COUNTED_TENANTS_MAX, name::TenantId, time::Millis};

use super::Caller;

/// Minimum time between two events about requests refused to one tenant, in milliseconds.
const DENIALS_MS: u64 = 1_000;

/// Act, whether it succeeded or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Creation of a key.
    KeyCreated,
    /// Rotation of a key.
    KeyRotated,
    /// Revocation of a key.
    KeyRevoked,
    /// Creation of a tenant.
    TenantCreated,
    /// Deletion of a tenant.
    TenantDeleted,
    /// Change of a tenant's quotas.
    QuotasSet,
    /// Registration of a function version.
    FunctionRegistered,
    /// Deletion of a function or of one of its versions.
    FunctionDeleted,
    /// Change of a configuration value.
    ConfigSet,
    /// Removal of a configuration value.
    ConfigUnset,
    /// Change of a secret.
    SecretSet,
    /// Removal of a secret.
    SecretUnset,
    /// Request refused because its key lacks the scope.
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

/// Writes an act with its caller, tenant, subject and outcome: `ok` or the code of the refusal. On a host without keys
/// there is no caller to name, and the event has level debug.
pub fn record(by: &Caller, act: Act, tenant: &dyn Display, subject: &dyn Display, outcome: &str) {
    let (act, by_tenant) = (act.as_str(), by.tenant.as_str());
    match by.key {
        Some(by_key) => {
            tracing::info!(target: "audit", act, %tenant, %subject, by_tenant, %by_key, outcome, "{act}");
        }
        None => tracing::debug!(target: "audit", act, %tenant, %subject, by_tenant, outcome, "{act}"),
    }
}

/// Refused requests per tenant, rate-limited: a client that keeps repeating one must not bury other events. The next
/// event has the number of those left out.
#[derive(Default)]
pub struct Denials(Mutex<HashMap<TenantId, Denied>>);

/// Refusals to one tenant.
struct Denied {
    written_at: Millis,
    left_out: u64,
}

impl Denials {
    /// Writes a refusal, or counts it.
    pub fn record(&self, by: &Caller, asked: &str, now: Millis) {
        let Some(left_out) = self.left_out(&by.tenant, now) else { return };
        let outcome = ErrorCode::Forbidden.as_str();
        if left_out == 0 {
            return record(by, Act::Denied, &by.tenant, &asked, outcome);
        }
        record(by, Act::Denied, &by.tenant, &format_args!("{asked} (and {left_out} denials before it)"), outcome);
    }

    /// Returns the number of refusals left out since the last event if another event is due; otherwise counts this one.
    fn left_out(&self, tenant: &TenantId, now: Millis) -> Option<u64> {
        // An event is also due if the clock was set back.
        let is_due = |denied: &Denied| now < denied.written_at || now.since(denied.written_at) >= DENIALS_MS;
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() >= COUNTED_TENANTS_MAX && !tenants.contains_key(tenant) {
            tenants.retain(|_, denied| !is_due(denied) || denied.left_out > 0);
        }
        let Some(denied) = tenants.get_mut(tenant) else {
            // Without room to count it, the refusal is written.
            if tenants.len() < COUNTED_TENANTS_MAX {
                tenants.insert(tenant.clone(), Denied { written_at: now, left_out: 0 });
            }
            return Some(0);
        };
        if !is_due(denied) {
            denied.left_out += 1;
            return None;
        }
        denied.written_at = now;
        Some(std::mem::take(&mut denied.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_of_a_tenant_are_written_once_a_second_and_none_is_forgotten() {
        let denials = Denials::default();
        let (one, other): (TenantId, TenantId) = ("one".parse().unwrap(), "other".parse().unwrap());
        assert_eq!(denials.left_out(&one, Millis(5_000)), Some(0));
        for ms in 0..500 {
            assert_eq!(denials.left_out(&one, Millis(5_000 + ms)), None);
        }
        assert_eq!(denials.left_out(&other, Millis(5_500)), Some(0), "another tenant's are its own");
        assert_eq!(denials.left_out(&one, Millis(6_000)), Some(500));
        assert_eq!(denials.left_out(&one, Millis(7_000)), Some(0));
        assert_eq!(denials.left_out(&one, Millis(1_000)), Some(0), "a clock that is set back silences nothing");
    }
}
