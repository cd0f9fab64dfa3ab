//! Data of functions outside their runs: a key-value namespace, configuration and secrets. Each belongs to one function
//! name of a tenant and is shared by all versions of that name.

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    capability::{Expects, KvCursor, KvKey, KvPrefix, KvValue, Refusal, Revision, SettingName, Ttl},
    name::{FunctionName, TenantId},
};

use super::Result;

/// Owner of a set of values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Namespace {
    /// Tenant of the function.
    pub tenant: TenantId,
    /// Name of the function.
    pub function: FunctionName,
}

/// Value to be set.
#[derive(Clone, Debug)]
pub struct NewValue {
    /// Key within the namespace.
    pub key: KvKey,
    /// Bytes of the value.
    pub value: KvValue,
    /// Time to live; `None` keeps the value until it is deleted.
    pub ttl: Option<Ttl>,
    /// Precondition on the current value.
    pub expects: Expects,
    /// The tenant's limit of stored bytes.
    pub stored_max: u64,
}

/// Stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Revision of this write; unique within the namespace, never reused.
    pub revision: Revision,
    /// Bytes of the value.
    pub value: Bytes,
}

/// Page of a listing of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// Keys, possibly none, though others follow.
    pub keys: Vec<KvKey>,
    /// Place where the page ends; empty if it is the last one.
    pub next: KvCursor,
}

/// Kind of a setting that operators and tenants make for a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SettingKind {
    /// Configuration, stored as is.
    Config,
    /// Secret, sealed by the caller: the store has no key for it.
    Secret,
}

/// Answer to a new setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingAnswer {
    /// It is set.
    Set,
    /// The function has the largest number of settings of this kind.
    Full,
    /// The tenant's limit of stored bytes would be exceeded.
    BytesReached,
    /// The tenant is being deleted, or was deleted.
    NoTenant,
}

/// Answer of a call that the store performed or refused.
pub type Granted<T> = std::result::Result<T, Refusal>;

/// Values and settings of functions. An expired value looks absent; it counts against the bounds until a later set in
/// its namespace removes it. Each set removes a bounded number of expired values.
#[async_trait]
pub trait Kv: Send + Sync + 'static {
    /// Returns a value, or `None` if it does not exist or has expired.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error).
    async fn value(&self, of: &Namespace, key: &KvKey) -> Result<Option<Value>>;
    /// Sets a value if its precondition holds and returns its revision. Answers [`Refusal::Conflict`] if the
    /// precondition fails, [`Refusal::Quota`] if the namespace would exceed its bounds or the tenant its limit of stored
    /// bytes, and [`Refusal::Refused`] if the tenant is being deleted. A value that takes no more bytes than the one it
    /// replaces is within that limit.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error). The change may
    /// have been made all the same.
    async fn set_value(&self, of: &Namespace, new: NewValue) -> Result<Granted<Revision>>;
    /// Deletes a value if the precondition holds and returns true if it existed. Answers [`Refusal::Conflict`] if the
    /// precondition fails.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error). The change may
    /// have been made all the same.
    async fn delete_value(&self, of: &Namespace, key: &KvKey, expects: Expects) -> Result<Granted<bool>>;
    /// Returns keys that start with `prefix`, from the place on where a page before ended, in an order of the store's
    /// own. A key that has a value during the whole listing is in at least one of its pages; it may be in two. A page is
    /// what is live among about `seen_max` values. Answers [`Refusal::Invalid`] to a place that no page of this store has.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error).
    async fn list_keys(
        &self,
        of: &Namespace,
        prefix: &KvPrefix,
        after: &KvCursor,
        seen_max: usize,
    ) -> Result<Granted<KeyPage>>;

    /// Returns a setting.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error).
    async fn setting(&self, of: &Namespace, kind: SettingKind, name: &SettingName) -> Result<Option<Bytes>>;
    /// Returns all settings of a kind, sorted by name.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error).
    async fn settings(&self, of: &Namespace, kind: SettingKind) -> Result<Vec<(SettingName, Bytes)>>;
    /// Sets a setting. `stored_max` is the tenant's limit of stored bytes.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error). The change may
    /// have been made all the same.
    async fn set_setting(
        &self,
        of: &Namespace,
        kind: SettingKind,
        name: &SettingName,
        value: Bytes,
        stored_max: u64,
    ) -> Result<SettingAnswer>;
    /// Deletes a setting and returns true if it existed.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error). The change may
    /// have been made all the same.
    async fn unset(&self, of: &Namespace, kind: SettingKind, name: &SettingName) -> Result<bool>;

    /// Deletes all values and settings of a function, after its last version was deleted. A run that is still in
    /// progress may set values afterwards; the next function with this name will see them.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error). The change may
    /// have been made all the same.
    async fn forget(&self, of: &Namespace) -> Result<()>;
}
