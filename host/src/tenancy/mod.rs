//! Callers of the REST API and their authority. The guard of REST attaches a [`Caller`] to each request before its body
//! is read; every handler takes one, so that no route can forget whose records it may touch.
//!
//! | module | holds |
//! |---|---|
//! | `gate` | authentication of requests |
//! | `secret` | text form of a key |
//! | `quotas`, `fuel` | quotas of tenants; fuel of runs outside of a dispatcher |
//! | [`admin`] | administration of tenants and keys |
//! | [`audit`] | audit log |

use std::time::Instant;

use fusebox_core::name::TenantId;

use fusebox_store::{Acting, KeyId, Scope};

pub mod admin;
pub mod audit;
mod fuel;
mod gate;
mod quotas;
mod secret;

pub use self::{
    fuel::{FuelMeter, NoFuel},
    gate::{Gate, Refusal},
    quotas::QuotaBook,
    secret::ApiKey,
};

/// Caller of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Tenant whose records it may touch.
    pub tenant: TenantId,
    /// Scope of its key.
    pub scope: Scope,
    /// Id of its key; `None` on a host without keys, and for a request without one to a public function.
    pub key: Option<KeyId>,
    /// True for a request without a key to a public function. The tenant is the function's, which is charged.
    pub is_public: bool,
    /// Time of its authentication.
    pub checked: Checked,
}

/// Time at which keys were read, and their epoch then. Each change of a key or a tenant begins a new epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    at: Instant,
    epoch: u64,
}

#[cfg(test)]
impl Checked {
    /// Returns a check for callers that no gate has admitted.
    pub(crate) fn now() -> Self {
        Self { at: Instant::now(), epoch: 0 }
    }
}

impl Caller {
    /// Returns the caller of a host without keys: reaching loopback makes one its operator.
    #[must_use]
    pub fn without_keys(checked: Checked) -> Self {
        Self { tenant: TenantId::default_tenant(), scope: Scope::Admin, key: None, is_public: false, checked }
    }

    /// Returns the caller of public functions of a tenant.
    #[must_use]
    pub fn public(tenant: TenantId, checked: Checked) -> Self {
        Self { tenant, scope: Scope::Invoke, key: None, is_public: true, checked }
    }

    /// Returns the authority on which the store performs its acts.
    #[must_use]
    pub fn acting(&self) -> Acting {
        self.key.map_or(Acting::Keyless, Acting::Key)
    }

    /// Returns true for admins of the default tenant, who manage the whole host.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.scope == Scope::Admin && self.tenant == TenantId::default_tenant()
    }
}

/// Access rule of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// No key: the route reveals no tenant's data and changes nothing.
    Nothing,
    /// A key of scope `invoke` or a wider one, or none if the function that the request names is public.
    Endpoint,
    /// A key of this scope or a wider one; it reaches its own tenant.
    Scope(Scope),
    /// An admin key of the default tenant; it reaches the whole host.
    Operator,
}

impl Needs {
    /// Returns true if the caller satisfies the rule.
    #[must_use]
    pub fn are_met_by(self, caller: &Caller) -> bool {
        match self {
            Self::Nothing => true,
            Self::Endpoint => caller.scope >= Scope::Invoke,
            Self::Scope(scope) => caller.scope >= scope,
            Self::Operator => caller.is_operator(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wider_scope_will_do_but_only_the_default_tenants_admin_is_the_operator() {
        let checked = Checked { at: Instant::now(), epoch: 0 };
        let caller = |tenant: &str, scope| {
            let tenant = tenant.parse().unwrap();
            Caller { tenant, scope, key: None, is_public: false, checked }
        };
        let needs = [
            Needs::Nothing,
            Needs::Endpoint,
            Needs::Scope(Scope::Invoke),
            Needs::Scope(Scope::Deploy),
            Needs::Scope(Scope::Admin),
            Needs::Operator,
        ];
        let met = |caller: &Caller| needs.iter().filter(|needs| needs.are_met_by(caller)).count();
        for tenant in ["acme", "default"] {
            assert_eq!(met(&caller(tenant, Scope::Invoke)), 3);
            assert_eq!(met(&caller(tenant, Scope::Deploy)), 4);
        }
        assert_eq!((met(&caller("acme", Scope::Admin)), met(&caller("default", Scope::Admin))), (5, 6));
        assert_eq!(met(&Caller::without_keys(checked)), 6);
    }
}
