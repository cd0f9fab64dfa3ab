//! Who asks, and what they may do. The guard of REST makes a [`Caller`] of each request before its body is read; every
//! handler takes one, so that no route can forget whose records it may touch.
//!
//! | file | holds |
//! |---|---|
//! | `gate` | from a request's credentials to its caller |
//! | `secret` | the text of a key |
//! | `quotas`, `fuel` | what tenants may take; fuel of runs that no dispatcher sees |
//! | [`admin`] | what may be done to tenants and keys |
//! | [`audit`] | who did what |

use std::time::Instant;

use fusebox_core::name::TenantId;

use crate::store::{Acting, KeyId, Scope};

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

/// On whose behalf a request is made, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose records it may touch.
    pub tenant: TenantId,
    /// What its key may be used for.
    pub scope: Scope,
    /// The key; none where there are no keys at all.
    pub key: Option<KeyId>,
    /// When that was so.
    pub checked: Checked,
}

/// When something was read of keys, and of which epoch of them that tells: each change of a key or a tenant begins one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    at: Instant,
    epoch: u64,
}

#[cfg(test)]
impl Checked {
    /// For callers that no gate has let in.
    pub(crate) fn now() -> Self {
        Self { at: Instant::now(), epoch: 0 }
    }
}

impl Caller {
    /// Everyone, where there are no keys: who reaches the machine's loopback is its operator.
    #[must_use]
    pub fn without_keys(checked: Checked) -> Self {
        Self { tenant: TenantId::default_tenant(), scope: Scope::Admin, key: None, checked }
    }

    /// The authority that its acts are done on.
    #[must_use]
    pub fn acting(&self) -> Acting {
        self.key.map_or(Acting::Keyless, Acting::Key)
    }

    /// Whether it may manage the whole host: the default tenant's admin.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.scope == Scope::Admin && self.tenant == TenantId::default_tenant()
    }
}

/// What a request must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it tells nobody's secrets and changes nothing.
    Nothing,
    /// A key of this scope or a wider one; it reaches its own tenant.
    Scope(Scope),
    /// An admin key of the default tenant; it reaches the whole host.
    Operator,
}

impl Needs {
    /// Whether a caller has it.
    #[must_use]
    pub fn are_met_by(self, caller: &Caller) -> bool {
        match self {
            Self::Nothing => true,
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
        let caller = |tenant: &str, scope| Caller { tenant: tenant.parse().unwrap(), scope, key: None, checked };
        let needs = [
            Needs::Nothing,
            Needs::Scope(Scope::Invoke),
            Needs::Scope(Scope::Deploy),
            Needs::Scope(Scope::Admin),
            Needs::Operator,
        ];
        let met = |caller: &Caller| needs.iter().filter(|needs| needs.are_met_by(caller)).count();
        for tenant in ["acme", "default"] {
            assert_eq!(met(&caller(tenant, Scope::Invoke)), 2);
            assert_eq!(met(&caller(tenant, Scope::Deploy)), 3);
        }
        assert_eq!((met(&caller("acme", Scope::Admin)), met(&caller("default", Scope::Admin))), (4, 5));
        assert_eq!(met(&Caller::without_keys(checked)), 5);
    }
}
