//! The audit log: who did what to tenants, keys and functions, and what came of it. One event an act, of target `audit`;
//! of what a tenant was denied, one a second. No secret can be in one, since ids and names are all that is taken.

use std::{
    collections::HashMap,
    fmt::Display,
    sync::{Mutex, PoisonError},
};

use fusebox_core::{error::ErrorCode, limits::COUNTED_TENANTS_MAX, name::TenantId, time::Millis};

use super::Caller;

/// The least time between two lines about what one tenant was denied.
const DENIALS_MS: u64 = 1_000;

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

/// Denials of tenants: a client that asks in vain again and again must not fill the log, in which others' acts are
/// looked for. The next line says how many were left out before it.
#[derive(Default)]
pub struct Denials(Mutex<HashMap<TenantId, Denied>>);

/// A denial to a tenant.
struct Denied {
    written_at: Millis,
    left_out: u64,
}

impl Denials {
    /// Writes a denial down, or counts it.
    pub fn record(&self, by: &Caller, asked: &str, now: Millis) {
        let Some(left_out) = self.left_out(&by.tenant, now) else { return };
        let outcome = ErrorCode::Forbidden.as_str();
        if left_out == 0 {
            return record(by, Act::Denied, &by.tenant, &asked, outcome);
        }
        record(by, Act::Denied, &by.tenant, &format_args!("{asked} (and {left_out} denials before it)"), outcome);
    }

    /// How many were left out since the last line, where one is due.
    fn left_out(&self, tenant: &TenantId, now: Millis) -> Option<u64> {
        // A clock that was set back makes a line due.
        let is_due = |denied: &Denied| now < denied.written_at || now.since(denied.written_at) >= DENIALS_MS;
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() >= COUNTED_TENANTS_MAX && !tenants.contains_key(tenant) {
            tenants.retain(|_, denied| !is_due(denied) || denied.left_out > 0);
        }
        let Some(denied) = tenants.get_mut(tenant) else {
            // Without room to count it in, it is written.
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
