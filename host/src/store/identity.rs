//! Tenants and API keys, and what a store keeps of them. A store keeps no secret: of each key it has the secret's
//! SHA-256. Secrets are 256 random bits, which nobody can guess, so that a slow hash would protect nothing more.

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use fusebox_core::{id::to_hex, name::TenantId, quota::QuotaSettings, time::Millis};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use tokio::sync::watch;

use super::{Result, Scope};

/// A tenant. Stores keep it as JSON, so that it may get more fields: each with a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its name.
    pub id: TenantId,
    /// When it was made; 0 of the default tenant, which nobody makes.
    pub created_at: Millis,
    /// When it was deleted. Its name is never given again, since what it left behind would be the next one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Millis>,
    /// What an operator has set of what it may take.
    #[serde(default, skip_serializing_if = "QuotaSettings::is_none")]
    pub quotas: QuotaSettings,
}

impl Tenant {
    /// A new tenant.
    #[must_use]
    pub const fn new(id: TenantId, created_at: Millis) -> Self {
        Self { id, created_at, deleted_at: None, quotas: QuotaSettings::NONE }
    }

    /// The tenant that is always there.
    #[must_use]
    pub fn default_tenant() -> Self {
        Self::new(TenantId::default_tenant(), Millis(0))
    }

    /// These tenants and the default one, by name.
    pub(super) fn with_default(mut tenants: Vec<Self>) -> Vec<Self> {
        let default = Self::default_tenant();
        if !tenants.iter().any(|tenant| tenant.id == default.id) {
            tenants.push(default);
        }
        tenants.sort_by(|one, other| one.id.cmp(&other.id));
        tenants
    }
}

/// What became of a tenant to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantAdded {
    /// It is there.
    Added(Tenant),
    /// There is one of this name, or there was.
    Taken,
    /// There are as many as may be.
    Full,
}

/// An API key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Names it.
    pub id: KeyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The requests that it is good for.
    pub scope: Scope,
    /// Its name for people.
    pub name: String,
    /// Of its secret.
    pub digest: SecretDigest,
    /// When it was made.
    pub created_at: Millis,
    /// From when on it is good no more, if ever.
    pub expires_at: Option<Millis>,
    /// When it was revoked.
    pub revoked_at: Option<Millis>,
}

impl Key {
    /// Since when it is good no more.
    #[must_use]
    pub fn ended_at(&self, now: Millis) -> Option<Millis> {
        let expired = self.expires_at.filter(|at| *at <= now);
        [self.revoked_at, expired].into_iter().flatten().min()
    }

    /// These keys by age.
    pub(super) fn oldest_first(mut keys: Vec<Self>) -> Vec<Self> {
        keys.sort_by_key(|key| (key.created_at, key.id));
        keys
    }
}

/// The SHA-256 of a key's secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretDigest(pub [u8; 32]);

impl fmt::Display for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

/// Nobody needs to read it.
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

/// On whose authority something is done to tenants and keys. The step that does it decides whether that is enough: what
/// was looked up before may be over by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acting {
    /// A key's. It must be good in that moment and of scope `admin`, and reaches its own tenant's keys; the default
    /// tenant's reaches every tenant and key.
    Key(KeyId),
    /// Nobody's, as long as there has never been a key.
    Keyless,
    /// Of whoever holds the store itself, with no host between.
    Store,
}

/// The authority that was named is not enough, or not any more. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied;

/// The answer of a step that needs authority.
pub type Acted<T> = std::result::Result<T, Denied>;

/// A key to be. The store's clock says when it is made and when it ends.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its id.
    pub id: KeyId,
    /// The tenant that it will belong to.
    pub tenant: TenantId,
    /// The requests that it is good for.
    pub scope: Scope,
    /// Its name for people.
    pub name: String,
    /// The SHA-256 of its secret.
    pub digest: SecretDigest,
    /// How long it is good, in milliseconds; for ever where there is none.
    pub life_ms: Option<u64>,
    /// The key that it takes the place of.
    pub replaces: Option<Replaced>,
}

impl NewKey {
    /// The key that it becomes when it is made.
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

/// The key that a new one takes the place of.
#[derive(Clone, Copy, Debug)]
pub struct Replaced {
    /// The old one.
    pub id: KeyId,
    /// How long it stays good beside the new one, in milliseconds.
    pub grace_ms: u64,
}

/// What became of a key to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAdded {
    /// It is there.
    Added(Key),
    /// There is no such tenant.
    NoTenant,
    /// The tenant has no such key to be replaced, or it is good no more.
    NoKey,
    /// The tenant has as many good keys as it may have.
    Full,
}

/// A key, and the store's time at which it was so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// The key.
    pub key: Key,
    /// The store's time.
    pub at: Millis,
}

/// Tenants and their keys. Each step decides by the store's clock, and checks the authority that it is done on.
#[async_trait]
pub trait Identity: Send + Sync + 'static {
    /// Makes a tenant. The default tenant is always there.
    async fn add_tenant(&self, by: Acting, tenant: TenantId) -> Result<Acted<TenantAdded>>;
    /// Every tenant, by name, deleted ones included.
    async fn tenants(&self) -> Result<Vec<Tenant>>;
    /// Deletes a tenant and revokes its keys, in one step. Whether there was one; the default tenant always stays.
    async fn delete_tenant(&self, by: Acting, tenant: &TenantId) -> Result<Acted<bool>>;
    /// Sets what a tenant may take; replaces what was set. Whether there is one.
    async fn set_quotas(&self, by: Acting, tenant: &TenantId, quotas: QuotaSettings) -> Result<Acted<bool>>;

    /// Keeps a new key, and sets the end of the one whose place it takes, in one step. Where the tenant has
    /// [`fusebox_core::limits::KEYS_PER_TENANT_MAX`], the one that ended first is forgotten. The same key again answers
    /// the one that was made before.
    async fn add_key(&self, by: Acting, new: NewKey) -> Result<Acted<KeyAdded>>;
    /// A key of any tenant: how a request's tenant is found.
    async fn key(&self, key: KeyId) -> Result<Option<KnownKey>>;
    /// A tenant's keys, the oldest first.
    async fn keys(&self, tenant: &TenantId) -> Result<Vec<Key>>;
    /// Revokes a key, once: it keeps the moment of the first time. `None` where the tenant has none of this id. A key may
    /// ask again for its own end.
    async fn revoke_key(&self, by: Acting, tenant: &TenantId, key: KeyId) -> Result<Acted<Option<Key>>>;
    /// Whether there has ever been a key. Never becomes false again: keys that end must not open the host.
    async fn has_keys(&self) -> Result<bool>;
    /// Changes when a tenant or a key may have. A hint: whoever remembers keys looks again now and then.
    fn identity_changes(&self) -> watch::Receiver<u64>;
}

/// Names a key; no secret. 64 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
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

/// What could not be read as an id.
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

/// `N` bytes from their lowercase hexadecimal digits, and from no other text.
#[must_use]
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_with_the_first_of_its_ends() {
        let mut key = Key {
            id: KeyId([1; 8]),
            tenant: TenantId::default_tenant(),
            scope: Scope::Invoke,
            name: String::new(),
            digest: SecretDigest([2; 32]),
            created_at: Millis(10),
            expires_at: None,
            revoked_at: None,
        };
        assert_eq!(key.ended_at(Millis(u64::MAX)), None);
        key.expires_at = Some(Millis(20));
        assert_eq!((key.ended_at(Millis(19)), key.ended_at(Millis(20))), (None, Some(Millis(20))));
        key.revoked_at = Some(Millis(15));
        assert_eq!(key.ended_at(Millis(16)), Some(Millis(15)));
        assert!(!format!("{key:?}").contains("02"), "a digest is not shown");
    }

    #[test]
    fn a_record_of_a_tenant_may_have_fields_that_are_not_known_here() {
        let tenant: Tenant = serde_json::from_str(r#"{"id":"acme","created_at":7,"quotas":{"fuel":9}}"#).unwrap();
        assert_eq!(tenant, Tenant::new("acme".parse().unwrap(), Millis(7)));
    }

    #[test]
    fn an_id_has_one_form() {
        let id = KeyId([0xa5; 8]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(serde_json::from_str::<KeyId>("\"a5a5a5a5a5a5a5a5\"").unwrap(), id);
        for bad in ["", "a5", "A5A5A5A5A5A5A5A5", "a5a5a5a5a5a5a5a5a5", "+5a5a5a5a5a5a5a5", "a5a5a5a5a5a5a5aé"] {
            assert_eq!(bad.parse::<KeyId>(), Err(NoHex), "{bad}");
        }
    }
}
