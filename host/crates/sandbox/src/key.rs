//! Key of a directory of artifacts, with which its files are authenticated.

use crate::{artifact::ArtifactKey, disk::Disk};

/// Returns the directory's key, creating one if there is none; files authenticated with another key count as missing.
/// The key file is created atomically and the first one wins, so processes that share a directory may start at the same
/// time.
pub(crate) fn key(disk: &Disk) -> std::io::Result<ArtifactKey> {
    const NAME: &str = "key";
    loop {
        if let Some(bytes) = disk.read(NAME)? {
            if let Ok(key) = bytes.try_into() {
                return Ok(ArtifactKey(key));
            }
            disk.remove(NAME)?;
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| std::io::Error::other(error.to_string()))?;
        if disk.write_first(NAME, &key)? {
            return Ok(ArtifactKey(key));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn processes_that_start_at_once_have_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let of = |dir: &Path| key(&Disk::open(dir, u64::MAX).unwrap()).unwrap();
        let keys = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| of(dir.path()).0)).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        fs::write(dir.path().join("key"), b"cut short").unwrap();
        assert_ne!(of(dir.path()).0, keys[0], "what is no key is replaced");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
