//! Compiled modules as files, and as what one host gives another. Native code is trusted blindly once it is loaded, so it
//! is loaded only where its authentication code is right for these very bytes, this module and this engine: made with the
//! directory's key, or with the one that both hosts know.

use std::fmt;

use fusebox_core::id::ModuleDigest;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The first bytes of a file; another layout gets another number.
const MAGIC: &[u8; 8] = b"FUSEBOX1";
const MAC_BYTES: usize = 32;

/// What an artifact must match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity<'a> {
    /// The module that was compiled.
    pub(crate) digest: &'a ModuleDigest,
    /// The engine's version and settings.
    pub(crate) engine: u64,
}

/// Authenticates compiled code: whoever has it decides what runs here. Each directory has one of its own; hosts that give
/// each other artifacts share one more.
#[derive(Clone)]
pub struct ArtifactKey(pub [u8; 32]);

impl fmt::Debug for ArtifactKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ArtifactKey(..)")
    }
}

impl ArtifactKey {
    /// A file of compiled code.
    pub(crate) fn seal(&self, identity: Identity<'_>, code: &[u8]) -> Vec<u8> {
        let mac = self.mac(identity, code).finalize().into_bytes();
        [MAGIC.as_slice(), &mac, code].concat()
    }

    /// The compiled code of a file; `None` where it is not authentic.
    pub(crate) fn open<'a>(&self, identity: Identity<'_>, file: &'a [u8]) -> Option<&'a [u8]> {
        let sealed = file.strip_prefix(MAGIC)?;
        let (mac, code) = sealed.split_at_checked(MAC_BYTES)?;
        self.mac(identity, code).verify_slice(mac).ok()?;
        Some(code)
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn mac(&self, identity: Identity<'_>, code: &[u8]) -> Hmac<Sha256> {
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
        let identity = Identity { digest: &digest, engine: 3 };
        let file = key.seal(identity, b"native code");
        assert_eq!(key.open(identity, &file), Some(b"native code".as_slice()));
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert_eq!(key.open(identity, &changed), None, "byte {at}");
            assert_eq!(key.open(identity, &file[..at]), None, "cut at {at}");
        }
        let other = ModuleDigest([9; 32]);
        assert_eq!(key.open(Identity { digest: &other, ..identity }, &file), None);
        assert_eq!(key.open(Identity { engine: 4, ..identity }, &file), None);
        assert_eq!(ArtifactKey([9; 32]).open(identity, &file), None);
    }
}
