//! What functions keep between their runs, and what they are told: a key-value namespace, configuration and secrets, each
//! a tenant's function's own. Every version of a name has the same.

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    capability::{Expects, KvKey, KvValue, Refusal, Revision, SettingName, Ttl},
    name::{FunctionName, TenantId},
};

use super::Result;

/// Whose values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Namespace {
    /// The tenant.
    pub tenant: TenantId,
    /// Its function.
    pub function: FunctionName,
}

/// A value to be set.
#[derive(Clone, Debug)]
pub struct NewValue {
    /// Where.
    pub key: KvKey,
    /// What.
    pub value: KvValue,
    /// For how long; for ever where there is none.
    pub ttl: Option<Ttl>,
    /// Only where this is there now.
    pub expects: Expects,
}

/// A value that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Never used again in its namespace.
    pub revision: Revision,
    /// The value.
    pub value: Bytes,
}

/// What people set for a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SettingKind {
    /// Configuration, kept as it is.
    Config,
    /// Secrets, which come to the store sealed: it knows no key.
    Secret,
}

/// The answer of a store that works: what was asked for, or why not.
pub type Granted<T> = std::result::Result<T, Refusal>;

/// See the module's documentation. A value whose time is over looks absent; it counts against the bounds until the next
/// set in its namespace, which removes some of them.
#[async_trait]
pub trait Kv: Send + Sync + 'static {
    /// A value.
    async fn value(&self, of: &Namespace, key: &KvKey) -> Result<Option<Value>>;
    /// Sets a value, where what is expected is there: [`Refusal::Conflict`] where not, [`Refusal::Quota`] where the
    /// namespace would have more than it may. An error says nothing of whether it was set.
    async fn set_value(&self, of: &Namespace, new: NewValue) -> Result<Granted<Revision>>;
    /// Removes a value, where what is expected is there: [`Refusal::Conflict`] where not. Whether there was one. An error
    /// says nothing of whether it was removed.
    async fn delete_value(&self, of: &Namespace, key: &KvKey, expects: Expects) -> Result<Granted<bool>>;

    /// A setting.
    async fn setting(&self, of: &Namespace, kind: SettingKind, name: &SettingName) -> Result<Option<Bytes>>;
    /// All settings of a kind, by name.
    async fn settings(&self, of: &Namespace, kind: SettingKind) -> Result<Vec<(SettingName, Bytes)>>;
    /// Sets one: [`Refusal::Quota`] where the function has as many as it may.
    async fn set_setting(
        &self,
        of: &Namespace,
        kind: SettingKind,
        name: &SettingName,
        value: Bytes,
    ) -> Result<Granted<()>>;
    /// Removes one. Whether there was one.
    async fn unset(&self, of: &Namespace, kind: SettingKind, name: &SettingName) -> Result<bool>;

    /// Forgets everything of a function, when its last version is deleted. A run that is still going on may set values
    /// afterwards; they are there for the next function of this name.
    async fn forget(&self, of: &Namespace) -> Result<()>;
}
