//! Encryption of secrets at rest: XChaCha20-Poly1305 under a key that the store never sees. Tenant, function and name
//! are authenticated with each secret, so that a sealed secret is useless in another place.

use std::{
    fmt, fs,
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead as _, KeyInit as _, Payload},
};
use fusebox_core::capability::{Redacted, SettingName};

use fusebox_store::kv::Namespace;
use fusebox_system::random;

/// First byte of a sealed secret; identifies the format.
const LAYOUT: u8 = 1;
/// Size of the nonce, random for each secret: long enough that none repeats.
const NONCE_BYTES: usize = 24;

/// Key that seals and opens secrets. With it and the store, all secrets can be read.
#[derive(Clone)]
pub struct SecretsKey([u8; 32]);

/// Reason why a key could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SecretsKeyError {
    /// The file cannot be read or created.
    #[error("cannot use the secrets key {}: {error}; make one with: {}", .path.display(), how_to_make(.path))]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        error: io::Error,
    },
    /// The file does not contain a key.
    #[error("{} contains no secrets key of 64 hexadecimal digits; make one with: {}", .0.display(), how_to_make(.0))]
    NoKey(PathBuf),
}

/// Returns the shell command that creates a key.
fn how_to_make(path: &Path) -> String {
    format!("(umask 077; openssl rand -hex 32 > {})", path.display())
}

impl SecretsKey {
    /// Reads a key from a file.
    ///
    /// # Errors
    /// Fails if the file cannot be read or does not contain a key.
    pub fn read(path: &Path) -> Result<Self, SecretsKeyError> {
        let failed = |error| SecretsKeyError::File { path: path.to_owned(), error };
        let text = fs::read_to_string(path).map_err(failed)?;
        // Some editors write a byte order mark.
        Self::parse(text.trim_start_matches('\u{feff}').trim()).ok_or_else(|| SecretsKeyError::NoKey(path.to_owned()))
    }

    /// Reads a key from a file, and creates one first if there is no such file. The new file is readable only by its
    /// owner, appears atomically, and never replaces an existing one.
    ///
    /// # Errors
    /// Fails if the file cannot be read or created, or does not contain a key.
    pub fn read_or_make(path: &Path) -> Result<Self, SecretsKeyError> {
        let failed = |error| SecretsKeyError::File { path: path.to_owned(), error };
        let make = || {
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
            fs::create_dir_all(dir)?;
            // Created with mode 0600.
            let mut file = tempfile::NamedTempFile::new_in(dir)?;
            writeln!(file, "{}", hex::encode(random::bytes::<32>()))?;
            file.as_file().sync_all()?;
            match file.persist_noclobber(path) {
                Err(error) if error.error.kind() != ErrorKind::AlreadyExists => Err(error.error),
                _ => Ok(()),
            }
        };
        if !path.try_exists().map_err(failed)? {
            make().map_err(failed)?;
        }
        Self::read(path)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut key = [0; 32];
        hex::decode_to_slice(text, &mut key).ok().map(|()| Self(key))
    }

    /// Seals a secret for the store; `None` if it is longer than the cipher allows, far above any limit here.
    #[must_use]
    pub fn seal(&self, of: &Namespace, name: &SettingName, secret: &[u8]) -> Option<Vec<u8>> {
        let nonce = random::bytes::<NONCE_BYTES>();
        let place = place(of, name);
        let payload = Payload { msg: secret, aad: &place };
        let sealed = self.cipher().encrypt(XNonce::from_slice(&nonce), payload).ok()?;
        Some([&[LAYOUT], &nonce[..], &sealed].concat())
    }

    /// Opens a secret sealed for this function and name; `None` if it was sealed for another place or under another
    /// key.
    #[must_use]
    pub fn open(&self, of: &Namespace, name: &SettingName, sealed: &[u8]) -> Option<Redacted> {
        let (nonce, sealed) = sealed.strip_prefix(&[LAYOUT])?.split_at_checked(NONCE_BYTES)?;
        let place = place(of, name);
        let payload = Payload { msg: sealed, aad: &place };
        self.cipher().decrypt(XNonce::from_slice(nonce), payload).ok().map(Redacted::from)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.0.into())
    }
}

/// Returns the data authenticated with a secret. None of the parts can contain a zero byte.
fn place(of: &Namespace, name: &SettingName) -> Vec<u8> {
    ["fusebox secret", of.tenant.as_str(), of.function.as_str(), name.as_str()].join("\0").into_bytes()
}

impl fmt::Debug for SecretsKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretsKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn of(tenant: &str, function: &str) -> Namespace {
        Namespace { tenant: tenant.parse().unwrap(), function: function.parse().unwrap() }
    }

    #[test]
    fn a_secret_is_opened_only_where_it_was_kept() {
        let (key, name) = (SecretsKey([1; 32]), "NAME".parse().unwrap());
        let sealed = key.seal(&of("acme", "f"), &name, b"hunter2").unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        assert_eq!(key.open(&of("acme", "f"), &name, &sealed), Some(Redacted::from(b"hunter2".to_vec())));
        assert_ne!(key.seal(&of("acme", "f"), &name, b"hunter2").unwrap(), sealed, "no nonce comes twice");
        for elsewhere in [of("other", "f"), of("acme", "g")] {
            assert_eq!(key.open(&elsewhere, &name, &sealed), None);
        }
        assert_eq!(key.open(&of("acme", "f"), &"OTHER".parse().unwrap(), &sealed), None);
        assert_eq!(SecretsKey([2; 32]).open(&of("acme", "f"), &name, &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open(&of("acme", "f"), &name, &changed), None, "byte {at}");
            assert_eq!(key.open(&of("acme", "f"), &name, &sealed[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn a_key_is_made_once_and_for_its_owner() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("deep").join("secrets.key");
        assert!(matches!(SecretsKey::read(&path), Err(SecretsKeyError::File { .. })));
        let made = SecretsKey::read_or_make(&path).unwrap();
        assert_eq!(SecretsKey::read_or_make(&path).unwrap().0, made.0);
        assert_eq!(SecretsKey::read(&path).unwrap().0, made.0);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for bad in ["", "00", &"0".repeat(63), &"g".repeat(64), &"0".repeat(66)] {
            fs::write(&path, bad).unwrap();
            let error = SecretsKey::read_or_make(&path).unwrap_err();
            assert!(error.to_string().contains("openssl rand -hex 32"), "{error}");
        }
        assert_eq!(format!("{made:?}"), "SecretsKey(..)");
    }
}
