//! Files of artifacts, written atomically within a size limit. The oldest files are removed first and recompiled if
//! still needed. Treats contents as opaque bytes.
//!
//! The directory is opened once, and its files are accessed through the descriptor, which works after the process has
//! become a user who cannot resolve the path.

use std::{
    collections::BTreeSet,
    fs::{DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::{fd::OwnedFd, unix::fs::DirBuilderExt as _},
    path::Path,
    sync::{Mutex, PoisonError},
};

use fusebox_core::limits::{ARTIFACT_BYTES_MAX, KIB};
use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, fstat, linkat, openat, renameat, unlinkat},
    io::Errno,
};

/// File name extensions of artifacts and of archives of files.
const ENDINGS: [&str; 2] = [".cwasm", ".files"];
/// Size of what is read of a file: an artifact and its tail.
const FILE_BYTES_MAX: u64 = ARTIFACT_BYTES_MAX + KIB;

/// Directory of artifacts. See the module's documentation.
pub(crate) struct Disk {
    dir: OwnedFd,
    bytes_max: u64,
    /// Total size of all files, so that the directory is read only when files must be removed.
    bytes: Mutex<u64>,
    /// Names of files that stay, whatever the total.
    pinned: Mutex<BTreeSet<String>>,
}

struct Artifact {
    name: String,
    bytes: u64,
    /// Modification time in seconds and nanoseconds.
    written: (i64, u64),
}

impl Disk {
    /// Opens a directory, creating it if missing.
    pub(crate) fn open(dir: &Path, bytes_max: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let dir = rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let disk = Self { dir, bytes_max, bytes: Mutex::new(0), pinned: Mutex::default() };
        let bytes = disk.artifacts()?.iter().map(|artifact| artifact.bytes).sum();
        Ok(Self { bytes: Mutex::new(bytes), ..disk })
    }

    /// Opens a file for reading; `None` if it does not exist or belongs to another user.
    pub(crate) fn open_file(&self, name: &str) -> io::Result<Option<File>> {
        match openat(&self.dir, name, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::NOENT | Errno::ACCESS) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns a file's content; `None` if it does not exist or belongs to another user.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Writes a file of these parts, and removes the oldest ones if the total exceeds the limit.
    pub(crate) fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let temporary = self.write_temporary(parts)?;
        if let Err(error) = renameat(&self.dir, &temporary, &self.dir, name) {
            self.remove(&temporary)?;
            return Err(error.into());
        }
        let mut total = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *total += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        if *total > self.bytes_max {
            *total = self.shrink()?;
        }
        Ok(())
    }

    /// Writes a small file beside the artifacts unless it exists; returns whether it was written.
    pub(crate) fn write_first(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        let temporary = self.write_temporary(&[bytes])?;
        let linked = linkat(&self.dir, &temporary, &self.dir, name, AtFlags::empty());
        self.remove(&temporary)?;
        match linked {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps a file, also one that is written later, however old it gets.
    pub(crate) fn pin(&self, name: String) {
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
    }

    /// Removes a file if it exists.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a new file, synced and readable only by its owner; returns its name.
    fn write_temporary(&self, parts: &[&[u8]]) -> io::Result<String> {
        let mut number = [0; 8];
        getrandom::fill(&mut number).map_err(|error| io::Error::other(error.to_string()))?;
        let name = format!("writing-{:016x}", u64::from_le_bytes(number));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.dir, &name, flags, Mode::RUSR | Mode::WUSR)?);
        let written = parts.iter().try_for_each(|part| file.write_all(part));
        if let Err(error) = written.and_then(|()| file.sync_data()) {
            self.remove(&name)?;
            return Err(error);
        }
        Ok(name)
    }

    /// Removes the oldest files until nine tenths of the limit remain, which makes removals rare; returns the remaining
    /// size.
    fn shrink(&self) -> io::Result<u64> {
        let mut artifacts = self.artifacts()?;
        artifacts.sort_by_key(|artifact| artifact.written);
        let mut left: u64 = artifacts.iter().map(|artifact| artifact.bytes).sum();
        let enough = self.bytes_max / 10 * 9;
        let pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        for artifact in artifacts.into_iter().filter(|artifact| !pinned.contains(&artifact.name)) {
            if left <= enough {
                break;
            }
            self.remove(&artifact.name)?;
            left -= artifact.bytes;
        }
        Ok(left)
    }

    /// Returns the artifacts readable by this user.
    fn artifacts(&self) -> io::Result<Vec<Artifact>> {
        let mut artifacts = Vec::new();
        for entry in Dir::read_from(&self.dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            if !ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                continue;
            }
            // Uses a descriptor, since a jailed process may not query paths.
            let opened = openat(&self.dir, &name, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty());
            let Ok(about) = opened.and_then(fstat) else { continue };
            artifacts.push(Artifact {
                name,
                bytes: u64::try_from(about.st_size).unwrap_or_default(),
                written: (about.st_mtime, about.st_mtime_nsec),
            });
        }
        Ok(artifacts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_files_go_where_all_take_too_much() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), 1_000).unwrap();
        for n in 0..20 {
            disk.write(&format!("{n:02}.cwasm"), &[&[n; 60], &[n; 40]]).unwrap();
            assert!(*disk.bytes.lock().unwrap() <= 1_000);
        }
        assert_eq!(disk.read("00.cwasm").unwrap(), None);
        assert_eq!(disk.read("19.cwasm").unwrap(), Some(vec![19; 100]));
        disk.pin("19.cwasm".to_owned());
        (20..40).for_each(|n| disk.write(&format!("{n:02}.cwasm"), &[&[n; 100]]).unwrap());
        assert_eq!(disk.read("20.cwasm").unwrap(), None);
        assert_eq!(disk.read("19.cwasm").unwrap(), Some(vec![19; 100]), "it is pinned");
        let again = Disk::open(dir.path(), 1_000).unwrap();
        assert_eq!(*again.bytes.lock().unwrap(), *disk.bytes.lock().unwrap(), "the sum is kept true");
    }
}
