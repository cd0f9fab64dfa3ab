//! Checksums of values, since the engine has none: a value is stored with one behind it.

use super::Space;
use crate::{Error, Result};

/// Length of a checksum, in bytes.
pub(super) const CHECKSUM_BYTES: usize = 4;

/// Returns the value of what is stored under a key. Entries of the index have none to protect.
pub(super) fn checked<'a>(space: Space, key: &[u8], stored: &'a [u8]) -> Result<&'a [u8]> {
    if space == Space::Index {
        return Ok(stored);
    }
    match stored.split_last_chunk::<CHECKSUM_BYTES>() {
        Some((value, found)) if *found == of(key, value) => Ok(value),
        _ => Err(Error::Corrupt("its checksum is wrong: the disk or the memory has changed it".to_owned())),
    }
}

/// Returns the checksum of a key and its value, so that a value in the place of another is noticed as well.
pub(super) fn of(key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize().to_be_bytes()
}
