//! Artifacts on disk: one file each, written whole or not at all, within a bound. What has to go is what was written
//! first: it is compiled again where it is still needed. Knows bytes, not what they are.

use std::{
    fs::{self, DirBuilder},
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use fusebox_core::limits::ARTIFACT_BYTES_MAX;

/// See the module's documentation.
pub(crate) struct Disk {
    dir: PathBuf,
    bytes_max: u64,
    /// What all files take; so a directory is read only when something has to go.
    bytes: Mutex<u64>,
}

struct Artifact {
    path: PathBuf,
    bytes: u64,
    written: SystemTime,
}

impl Disk {
    /// Opens a directory, making it where it is not there.
    pub(crate) fn open(dir: &Path, bytes_max: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let bytes = artifacts(dir)?.iter().map(|artifact| artifact.bytes).sum();
        Ok(Self { dir: dir.to_owned(), bytes_max, bytes: Mutex::new(bytes) })
    }

    /// A file's bytes; `None` where there is no such file.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::File::open(self.dir.join(name)) {
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(ARTIFACT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a file, and removes the oldest ones where all together take too much.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut temporary = tempfile::NamedTempFile::new_in(&self.dir)?;
        temporary.write_all(bytes)?;
        temporary.as_file().sync_data()?;
        temporary.persist(self.dir.join(name)).map_err(|error| error.error)?;
        let mut total = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *total += bytes.len() as u64;
        if *total > self.bytes_max {
            *total = self.shrink()?;
        }
        Ok(())
    }

    /// Removes the oldest files until nine tenths of the bound are left, so that not every write has to; gives what is
    /// left.
    fn shrink(&self) -> io::Result<u64> {
        let mut artifacts = artifacts(&self.dir)?;
        artifacts.sort_by_key(|artifact| artifact.written);
        let mut left: u64 = artifacts.iter().map(|artifact| artifact.bytes).sum();
        let enough = self.bytes_max / 10 * 9;
        for artifact in artifacts {
            if left <= enough {
                break;
            }
            fs::remove_file(&artifact.path)?;
            left -= artifact.bytes;
        }
        Ok(left)
    }
}

fn artifacts(dir: &Path) -> io::Result<Vec<Artifact>> {
    let mut artifacts = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "cwasm") {
            let metadata = fs::metadata(&path)?;
            artifacts.push(Artifact { bytes: metadata.len(), written: metadata.modified()?, path });
        }
    }
    Ok(artifacts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_files_go_where_all_take_too_much() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), 1_000).unwrap();
        for n in 0..20 {
            disk.write(&format!("{n:02}.cwasm"), &[n; 100]).unwrap();
            assert!(*disk.bytes.lock().unwrap() <= 1_000);
        }
        assert_eq!(disk.read("00.cwasm").unwrap(), None);
        assert_eq!(disk.read("19.cwasm").unwrap(), Some(vec![19; 100]));
        let again = Disk::open(dir.path(), 1_000).unwrap();
        assert_eq!(*again.bytes.lock().unwrap(), *disk.bytes.lock().unwrap(), "the sum is kept true");
    }
}
