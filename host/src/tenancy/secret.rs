//! Text form of an API key: `fb_<id>_<secret>`. Generated here, shown once and never stored; the store keeps only the
//! secret's digest.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use fusebox_store::{KeyId, SecretDigest, identity::from_hex};
use fusebox_system::random;

/// Prefix of every key, by which people and secret scanners recognize one.
const PREFIX: &str = "fb";

/// API key with its secret.
#[derive(Clone)]
pub struct ApiKey {
    id: KeyId,
    secret: [u8; 32],
}

impl ApiKey {
    /// Generates a key.
    #[must_use]
    pub fn random() -> Self {
        Self { id: KeyId(random::bytes()), secret: random::bytes() }
    }

    /// Parses a key; `None` if it is malformed.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('_');
        let (prefix, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
        if prefix != PREFIX || parts.next().is_some() {
            return None;
        }
        Some(Self { id: id.parse().ok()?, secret: from_hex(secret)? })
    }

    /// Returns true if a token is meant as a key, valid or not.
    #[must_use]
    pub fn looks_like(token: &str) -> bool {
        token.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('_'))
    }

    /// Returns the id.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Returns the digest that is stored.
    #[must_use]
    pub fn digest(&self) -> SecretDigest {
        SecretDigest(Sha256::digest(self.secret).into())
    }

    /// Compares the secret with a stored digest, in constant time.
    #[must_use]
    pub fn matches(&self, digest: &SecretDigest) -> bool {
        self.digest().0.ct_eq(&digest.0).into()
    }

    /// Returns the whole text, for the response that creates the key.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}_{}_{}", self.id, hex::encode(self.secret))
    }
}

/// Omits the secret.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}_{}_..", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_revealed_and_shown_without_its_secret() {
        let key = ApiKey::random();
        let text = key.reveal();
        assert_eq!(text.len(), 3 + 16 + 1 + 64);
        let read = ApiKey::read(&text).unwrap();
        assert_eq!((read.id, read.secret), (key.id, key.secret));
        assert!(read.matches(&key.digest()) && !ApiKey::random().matches(&key.digest()));
        assert_eq!(format!("{key:?}"), format!("fb_{}_..", key.id));
    }

    #[test]
    fn what_is_no_key_is_not_read() {
        let (id, secret) = ("a5".repeat(8), "0f".repeat(32));
        assert!(ApiKey::read(&format!("fb_{id}_{secret}")).is_some());
        for bad in [
            String::new(),
            "fb".to_owned(),
            "fb__".to_owned(),
            format!("fb_{id}"),
            format!("fb_{id}_{secret}_"),
            format!("fb_{id}_{secret}0"),
            format!("fb_{id}_{}", &secret[2..]),
            format!("fc_{id}_{secret}"),
            format!(" fb_{id}_{secret}"),
            format!("fb_{}_{secret}", id.to_uppercase()),
            format!("fb_{secret}_{id}"),
        ] {
            assert!(ApiKey::read(&bad).is_none(), "{bad}");
        }
    }
}
