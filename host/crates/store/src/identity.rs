//! Tenants and API keys, and their records in a store. The store keeps no secrets, only the SHA-256 of each key's
//! secret. A secret has 256 random bits and cannot be guessed, so a slow hash would add no protection.

use std::{fmt, ops::AddAssign, str::FromStr};

use async_trait::async_trait;
use fusebox_core::{name::TenantId, quota::QuotaSettings, time::Millis};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::{Result, Scope};

/// Tenant. Stores keep it as JSON so that fields can be added, each with a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Name, unique for ever.
    pub id: TenantId,
    /// Time of creation; 0 for the default tenant, which always exists.
    pub created_at: Millis,
    /// Time from which the tenant is being deleted. Its record goes last, and its name is never given again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Millis>,
    /// Quotas set by an operator; the defaults apply where none is set.
    #[serde(default, skip_serializing_if = "QuotaSettings::is_none")]
    pub quotas: QuotaSettings,
}

impl Tenant {
    /// Creates a tenant with default quotas.
    #[must_use]
    pub const fn new(id: TenantId, created_at: Millis) -> Self {
        Self { id, created_at, deleted_at: None, quotas: QuotaSettings::NONE }
    }

    /// Returns the default tenant, which always exists.
    #[must_use]
    pub fn default_tenant() -> Self {
        Self::new(TenantId::default_tenant(), Millis(0))
    }

    /// Adds the default tenant if it is missing, and sorts by name.
    pub(super) fn with_default(mut tenants: Vec<Self>) -> Vec<Self> {
        let default = Self::default_tenant();
        if !tenants.iter().any(|tenant| tenant.id == default.id) {
            tenants.push(default);
        }
        tenants.sort_by(|one, other| one.id.cmp(&other.id));
        tenants
    }
}

/// Outcome of creating a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantAdded {
    /// The tenant was created.
    Added(Tenant),
    /// A tenant with this name exists or existed.
    Taken,
    /// The largest number of tenants is reached.
    Full,
}

/// Numbers of the records deleted with a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
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
    /// True if nothing is left, and the tenant is gone.
    pub is_done: bool,
}

impl AddAssign for Cleared {
    /// Adds the next part.
    fn add_assign(&mut self, part: Self) {
        let Self { tasks, functions, values, settings, keys, is_done } = part;
        self.tasks += tasks;
        self.functions += functions;
        self.values += values;
        self.settings += settings;
        self.keys += keys;
        self.is_done = is_done;
    }
}

/// Digest of a deleted tenant's name, which keeps the name from being given again.
pub(super) type Tombstone = [u8; 16];

/// Returns the digest of a tenant's name: the first half of its SHA-256.
pub(super) fn tombstone(tenant: &TenantId) -> Tombstone {
    let digest = <[u8; 32]>::from(Sha256::digest(tenant.as_str()));
    digest.first_chunk().copied().unwrap_or_default()
}

/// API key without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Id, unique within the store; not secret.
    pub id: KeyId,
    /// Tenant that owns the key.
    pub tenant: TenantId,
    /// Scope of requests that the key may make.
    pub scope: Scope,
    /// Display name.
    pub name: String,
    /// Digest of the secret.
    pub digest: SecretDigest,
    /// Time of creation.
    pub created_at: Millis,
    /// Time from which the key is invalid; `None` if it does not expire.
    pub expires_at: Option<Millis>,
    /// Time of revocation.
    pub revoked_at: Option<Millis>,
}

impl Key {
    /// Returns the time since which the key is invalid, or `None` if it is valid at `now`.
    #[must_use]
    pub fn ended_at(&self, now: Millis) -> Option<Millis> {
        let expired = self.expires_at.filter(|at| *at <= now);
        [self.revoked_at, expired].into_iter().flatten().min()
    }

    /// Sorts keys by age.
    pub(super) fn oldest_first(mut keys: Vec<Self>) -> Vec<Self> {
        keys.sort_by_key(|key| (key.created_at, key.id));
        keys
    }
}

/// SHA-256 of a key's secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretDigest(pub [u8; 32]);

impl fmt::Display for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Hides the digest from logs.
impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(..)")
    }
}

impl Serialize for SecretDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        from_hex(&text).map(Self).ok_or_else(|| D::Error::custom("64 hexadecimal digits are expected"))
    }
}

/// Authority under which a change to tenants and keys is made. The step itself checks it, because a key that was valid
/// when it was looked up may have ended since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acting {
    /// A key. It must be valid at that moment, have scope `admin`, and covers its own tenant's keys; a key of the
    /// default tenant covers all tenants and keys.
    Key(KeyId),
    /// No key; sufficient while the store has never had one.
    Keyless,
    /// Direct access to the store, without a host between.
    Store,
}

/// Refusal: the authority does not cover the change or is no longer valid. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied;

/// Answer of a step that needs authority.
pub type Acted<T> = std::result::Result<T, Denied>;

/// Key to be created. The store's clock determines its creation and expiry.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Id of the new key.
    pub id: KeyId,
    /// Tenant that will own the key.
    pub tenant: TenantId,
    /// Scope of requests that the key may make.
    pub scope: Scope,
    /// Display name.
    pub name: String,
    /// SHA-256 of the secret.
    pub digest: SecretDigest,
    /// Lifetime in milliseconds; `None` if the key does not expire.
    pub life_ms: Option<u64>,
    /// Key that this one replaces.
    pub replaces: Option<Replaced>,
}

impl NewKey {
    /// Returns the record of this key, created at `at`.
    #[must_use]
    pub fn made(self, at: Millis) -> Key {
        Key {
            id: self.id,
            tenant: self.tenant,
            scope: self.scope,
            name: self.name,
            digest: self.digest,
            created_at: at,
            expires_at: self.life_ms.map(|ms| at.plus(ms)),
            revoked_at: None,
        }
    }
}

/// Key that is replaced by a new one.
#[derive(Clone, Copy, Debug)]
pub struct Replaced {
    /// Id of the old key.
    pub id: KeyId,
    /// Time for which the old key stays valid beside the new one, in milliseconds.
    pub grace_ms: u64,
}

/// Outcome of creating a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAdded {
    /// The key was created.
    Added(Key),
    /// The tenant does not exist.
    NoTenant,
    /// The key to be replaced does not exist in the tenant or is no longer valid.
    NoKey,
    /// The tenant has the largest number of valid keys.
    Full,
}

/// Key, with the store's time when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// The key.
    pub key: Key,
    /// Store's time of the read.
    pub at: Millis,
}

/// Tenants and their keys. Each step uses the store's clock and checks its authority.
#[async_trait]
pub trait Identity: Send + Sync + 'static {
    /// Creates a tenant.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error). The change may
    /// have been made all the same.
    async fn add_tenant(&self, by: Acting, tenant: TenantId) -> Result<Acted<TenantAdded>>;
    /// Returns all tenants, sorted by name, including those that are being deleted and the default tenant.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error).
    async fn tenants(&self) -> Result<Vec<Tenant>>;
    /// Begins to delete a tenant: revokes its keys, and from then on accepts no task, function, value, setting or key of
    /// it. [`Self::clear_tenant`] and the ticks delete the rest. Returns false if there is no such tenant, and for the
    /// default tenant, which cannot be deleted.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error). The change may
    /// have been made all the same.
    async fn delete_tenant(&self, by: Acting, tenant: &TenantId) -> Result<Acted<bool>>;
    /// Deletes a part of bounded size of the records of a tenant that is being deleted: tasks, of which running ones are
    /// cancelled, values, settings, functions, keys, and with the last part the tenant. Only a digest of its name stays,
    /// so that the name is never given again. It can be repeated, also after a crash at any point.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error). The change may
    /// have been made all the same.
    async fn clear_tenant(&self, tenant: &TenantId) -> Result<Cleared>;
    /// Replaces a tenant's quotas. Returns false if there is no such tenant.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error). The change may
    /// have been made all the same.
    async fn set_quotas(&self, by: Acting, tenant: &TenantId, quotas: QuotaSettings) -> Result<Acted<bool>>;

    /// Stores a new key and, in the same step, sets the expiry of the key that it replaces. At
    /// [`fusebox_core::limits::KEYS_PER_TENANT_MAX`] keys, the record of the key that ended first is removed. Sending
    /// the same key again returns the key that was created before.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error). The change may
    /// have been made all the same.
    async fn add_key(&self, by: Acting, new: NewKey) -> Result<Acted<KeyAdded>>;
    /// Returns a key of any tenant, to find the tenant of a request.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error).
    async fn key(&self, key: KeyId) -> Result<Option<KnownKey>>;
    /// Returns a tenant's keys, oldest first.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error).
    async fn keys(&self, tenant: &TenantId) -> Result<Vec<Key>>;
    /// Revokes a key. Repeating it keeps the time of the first revocation; a revoked key may repeat its own revocation.
    /// Answers `None` if the tenant has no key with this id.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error). The change may
    /// have been made all the same.
    async fn revoke_key(&self, by: Acting, tenant: &TenantId, key: KeyId) -> Result<Acted<Option<Key>>>;
    /// Returns true if there has ever been a key. Never becomes false again: the end of the last key must not open the
    /// host.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error).
    async fn has_keys(&self) -> Result<bool>;
    /// Counter that changes when a tenant or a key may have changed. A hint: callers that cache keys must also refresh
    /// them from time to time.
    fn identity_changes(&self) -> watch::Receiver<u64>;
}

/// Public identifier of a key: 64 random bits, not secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = NoHex;
    fn from_str(text: &str) -> std::result::Result<Self, NoHex> {
        from_hex(text).map(Self).ok_or(NoHex)
    }
}

/// Error of a text that is not a key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("16 lowercase hexadecimal digits are expected")]
pub struct NoHex;

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Decodes exactly `N` bytes from lowercase hexadecimal digits; `None` for any other text.
#[must_use]
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let is_lowercase = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    (is_lowercase && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

#[cfg(test)]
mod tests;
