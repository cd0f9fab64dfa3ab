//! Authenticated form of compiled modules, as files and in transfers between hosts. Loaded native code is trusted
//! blindly, so it is loaded only if its authentication code matches exactly these bytes, this module and this engine.
//! The key is that of the cache directory, or one shared by both hosts.
//!
//! The code comes first, as it is mapped, then the tail: the times that its compilation took, and the authentication
//! code over both.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    time::Duration,
};

use fusebox_core::{id::ModuleDigest, limits::ARTIFACT_BYTES_MAX};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::fs::fstat;
use sha2::Sha256;

use crate::{CompileTime, code::Code};

/// Last bytes of a file; a new layout gets a new number.
const MAGIC: &[u8; 8] = b"FUSEBOX2";
const TIME_BYTES: usize = 8;
const MAC_BYTES: usize = 32;
const TAIL_BYTES: usize = TIME_BYTES + MAC_BYTES + MAGIC.len();

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
    /// Returns what follows code in its authenticated form.
    pub(crate) fn tail(&self, identity: ArtifactIdentity<'_>, code: &[u8], took: CompileTime) -> [u8; TAIL_BYTES] {
        let time = in_bytes(took);
        let mut mac = self.mac(identity);
        mac.update(code);
        mac.update(&time);
        let mut tail = [0; TAIL_BYTES];
        let (first, magic) = tail.split_at_mut(TIME_BYTES + MAC_BYTES);
        let (at_time, at_mac) = first.split_at_mut(TIME_BYTES);
        at_time.copy_from_slice(&time);
        at_mac.copy_from_slice(&mac.finalize().into_bytes());
        magic.copy_from_slice(MAGIC);
        tail
    }

    /// Returns the code of an authenticated form and the times that its compilation took, or `None` if it is not
    /// authentic.
    pub(crate) fn open<'a>(&self, identity: ArtifactIdentity<'_>, sealed: &'a [u8]) -> Option<(&'a [u8], CompileTime)> {
        let (code, tail) = sealed.split_at_checked(sealed.len().checked_sub(TAIL_BYTES)?)?;
        let mut mac = self.mac(identity);
        mac.update(code);
        Some((code, verified(mac, tail)?))
    }

    /// Copies the code of an authenticated file into memory that can no longer change, and verifies the copy; `None` if
    /// it is not authentic.
    pub(crate) fn open_file(&self, identity: ArtifactIdentity<'_>, mut file: File) -> io::Result<Option<Code>> {
        // A jailed process may query descriptors only.
        let bytes = u64::try_from(fstat(&file)?.st_size).unwrap_or_default();
        let code_bytes = bytes.checked_sub(TAIL_BYTES as u64).filter(|bytes| *bytes <= ARTIFACT_BYTES_MAX);
        let Some(code_bytes) = code_bytes else { return Ok(None) };
        let code = Code::copy(&mut (&file).take(code_bytes), code_bytes)?;
        file.seek(SeekFrom::Start(code_bytes))?;
        let mut tail = [0; TAIL_BYTES];
        file.read_exact(&mut tail)?;
        let mut mac = self.mac(identity);
        code.read(|piece| mac.update(piece))?;
        Ok(verified(mac, &tail).map(|_| code))
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn mac(&self, identity: ArtifactIdentity<'_>) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length");
        mac.update(MAGIC);
        mac.update(&identity.digest.0);
        mac.update(&identity.engine.to_le_bytes());
        mac
    }
}

/// Returns the times of a compilation in a tail: wall and CPU time in microseconds, of 4 bytes each. The longest
/// compilation takes a quarter of what that holds.
fn in_bytes(CompileTime { wall, cpu }: CompileTime) -> [u8; TIME_BYTES] {
    let micros = |time: Duration| u64::from(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    (micros(wall) | micros(cpu) << 32).to_le_bytes()
}

/// Returns the times in a tail, if it authenticates the code that a MAC covers so far. Those of older releases have wall
/// time alone.
fn verified(mut mac: Hmac<Sha256>, tail: &[u8]) -> Option<CompileTime> {
    let (time, rest) = tail.split_first_chunk::<TIME_BYTES>()?;
    mac.update(time);
    mac.verify_slice(rest.strip_suffix(MAGIC)?).ok()?;
    let both = u64::from_le_bytes(*time);
    let micros = |micros: u64| Duration::from_micros(micros & u64::from(u32::MAX));
    Some(CompileTime { wall: micros(both), cpu: micros(both >> 32) })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const TOOK: CompileTime = CompileTime { wall: Duration::from_micros(5), cpu: Duration::from_secs(800) };

    /// Returns the code of an authentic file, read as a whole and as a file; both ways must agree.
    fn opened(key: &ArtifactKey, identity: ArtifactIdentity<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        let whole = key.open(identity, sealed).map(|(code, _)| code.to_vec());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(sealed).unwrap();
        file.rewind().unwrap();
        let mut copied = Vec::new();
        let code = key.open_file(identity, file).unwrap();
        let copied = code.map(|code| {
            code.read(|piece| copied.extend_from_slice(piece)).unwrap();
            copied
        });
        assert_eq!(whole, copied);
        whole
    }

    #[test]
    fn any_change_is_noticed() {
        let key = ArtifactKey([1; 32]);
        let digest = ModuleDigest([2; 32]);
        let identity = ArtifactIdentity { digest: &digest, engine: 3 };
        let code = b"native code".as_slice();
        let file = [code, &key.tail(identity, code, TOOK)].concat();
        assert_eq!(key.open(identity, &file), Some((code, TOOK)));
        assert_eq!(opened(&key, identity, &file).as_deref(), Some(code));
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert_eq!(opened(&key, identity, &changed), None, "byte {at}");
            assert_eq!(opened(&key, identity, &file[..at]), None, "cut at {at}");
        }
        let other = ModuleDigest([9; 32]);
        assert_eq!(opened(&key, ArtifactIdentity { digest: &other, ..identity }, &file), None);
        assert_eq!(opened(&key, ArtifactIdentity { engine: 4, ..identity }, &file), None);
        assert_eq!(opened(&ArtifactKey([9; 32]), identity, &file), None);
    }

    #[test]
    fn large_code_is_in_memory_that_nobody_can_change() {
        let key = ArtifactKey([1; 32]);
        let digest = ModuleDigest([2; 32]);
        let identity = ArtifactIdentity { digest: &digest, engine: 3 };
        let code = vec![7; 3 << 20];
        let mut file = [code.as_slice(), &key.tail(identity, &code, CompileTime::NONE)].concat();
        assert_eq!(opened(&key, identity, &file).as_deref(), Some(code.as_slice()));
        file[1_500_000] ^= 1;
        assert_eq!(opened(&key, identity, &file), None);
        let Code::Sealed(mut memory, bytes) = Code::copy(&mut code.as_slice(), code.len() as u64).unwrap() else {
            panic!("large code is sealed");
        };
        assert_eq!(bytes, 3 << 20);
        memory.rewind().unwrap();
        assert!(memory.write_all(b"changed").is_err() && memory.set_len(0).is_err());
    }
}
