//! Authenticated form of compiled modules, as files and in transfers between hosts. Loaded native code is trusted
//! blindly, so it is loaded only if its authentication code matches exactly these bytes, this module and this engine.
//! The key is that of the cache directory, or one shared by both hosts.

use std::fmt;

use fusebox_core::id::ModuleDigest;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// First bytes of a file; a new layout gets a new number.
const MAGIC: &[u8; 8] = b"FUSEBOX1";
const MAC_BYTES: usize = 32;

/// Properties that an artifact must match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ArtifactIdentity<'a> {
    /// Digest of the module.
    pub(crate) digest: &'a ModuleDigest,
    /// Hash of the engine's version and settings.
    pub(crate) engine: u64,
}

/// Key that authenticates compiled code; its holders can execute native code on this host. Each directory has its own
/// key, and hosts that exchange artifacts share another.
#[derive(Clone)]
pub struct ArtifactKey(pub [u8; 32]);

impl fmt::Debug for ArtifactKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ArtifactKey(..)")
    }
}

impl ArtifactKey {
    /// Returns compiled code in its authenticated form.
    pub(crate) fn seal(&self, identity: ArtifactIdentity<'_>, code: &[u8]) -> Vec<u8> {
        let mac = self.mac(identity, code).finalize().into_bytes();
        [MAGIC.as_slice(), &mac, code].concat()
    }

    /// Returns the compiled code of an authenticated form, or `None` if it is not authentic.
    pub(crate) fn open<'a>(&self, identity: ArtifactIdentity<'_>, file: &'a [u8]) -> Option<&'a [u8]> {
        let sealed = file.strip_prefix(MAGIC)?;
        let (mac, code) = sealed.split_at_checked(MAC_BYTES)?;
        self.mac(identity, code).verify_slice(mac).ok()?;
        Some(code)
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn mac(&self, identity: ArtifactIdentity<'_>, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length");
        mac.update(MAGIC);
        mac.update(&identity.digest.0);
        mac.update(&identity.engine.to_le_bytes());
        mac.update(code);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_is_noticed() {
        let key = ArtifactKey([1; 32]);
        let digest = ModuleDigest([2; 32]);
        let identity = ArtifactIdentity { digest: &digest, engine: 3 };
        let file = key.seal(identity, b"native code");
        assert_eq!(key.open(identity, &file), Some(b"native code".as_slice()));
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert_eq!(key.open(identity, &changed), None, "byte {at}");
            assert_eq!(key.open(identity, &file[..at]), None, "cut at {at}");
        }
        let other = ModuleDigest([9; 32]);
        assert_eq!(key.open(ArtifactIdentity { digest: &other, ..identity }, &file), None);
        assert_eq!(key.open(ArtifactIdentity { engine: 4, ..identity }, &file), None);
        assert_eq!(ArtifactKey([9; 32]).open(identity, &file), None);
    }
}
