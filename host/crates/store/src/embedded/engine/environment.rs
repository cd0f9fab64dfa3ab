//! One LMDB environment: three tables in a file that is mapped into memory. Independent of when it is opened.
//!
//! LMDB writes changed pages to free places of the file, flushes them, and then flushes the page that names the new
//! root. So a kill at any time leaves the last commit, and opening reads nothing but that page. It has no checksums of
//! its own, therefore each value of the records and blobs ends with one.

use std::{fs::OpenOptions, io, os::unix::fs::OpenOptionsExt as _, path::Path, sync::Arc};

use heed::{CompactionOption, Database, Env, EnvClosingEvent, EnvOpenOptions, MdbError, RoTxn, WithoutTls, types};
use rustix::process::{Resource, getrlimit};

use super::{
    FILE,
    batch::Batch,
    reserve::{Extent, Reserve},
    snapshot::Snapshot,
};
use crate::{Error, Result};

/// Address space that the file is mapped into, in bytes: the bound of its size. Costs nothing until it is used.
const MAP_BYTES: u64 = 1 << 40;
/// Smallest map that is of use, in bytes.
const MAP_BYTES_MIN: u64 = 256 << 20;
/// A map's size is a multiple of this, in bytes: more than a page of any system.
const MAP_BYTES_UNIT: u64 = 1 << 20;
/// Largest number of concurrent reads: more than the threads of a process for blocking work, and its others.
const READERS_MAX: u32 = 1_024;

pub(super) type Table = Database<types::Bytes, types::Bytes>;

/// Names of the tables, in the order of [`Space`].
const TABLES: [&str; 3] = ["records", "blobs", "index"];

/// Open environment; a clone is the same one.
#[derive(Clone)]
pub(in crate::embedded) struct Environment {
    env: Env<WithoutTls>,
    tables: [Table; 3],
    reserve: Arc<Reserve>,
}

impl Environment {
    /// Creates an environment in an empty directory.
    pub(super) fn make(dir: &Path) -> std::result::Result<(), String> {
        let env = map(dir, MAP_BYTES)?;
        let made = || -> heed::Result<()> {
            let mut write = env.write_txn()?;
            for name in TABLES {
                env.create_database::<types::Bytes, types::Bytes>(&mut write, Some(name))?;
            }
            write.commit()
        };
        made().map_err(|error| error.to_string())
    }

    /// Opens the environment in `dir`, which this process has locked.
    pub(super) fn open(dir: &Path) -> std::result::Result<Self, String> {
        Self::open_within(dir, MAP_BYTES)
    }

    fn open_within(dir: &Path, map_bytes: u64) -> std::result::Result<Self, String> {
        let env = map(dir, map_bytes)?;
        let table = |read: &RoTxn<'_>, name| match env.open_database(read, Some(name)) {
            Ok(Some(table)) => Ok(table),
            Ok(None) => Err(format!("its table {name:?} is missing")),
            Err(error) => Err(error.to_string()),
        };
        let read = env.read_txn().map_err(|error| error.to_string())?;
        let [records, blobs, index] = TABLES.map(|name| table(&read, name));
        let tables = [records?, blobs?, index?];
        // Keeps the handles of the tables.
        read.commit().map_err(|error| error.to_string())?;
        let reserve = Reserve::open(dir).map_err(|error| error.to_string())?;
        Ok(Self { env, tables, reserve: Arc::new(reserve) })
    }

    /// Begins a batch. There is one at a time: another thread's would wait for its end.
    pub(in crate::embedded) fn batch(&self) -> Result<Batch<'_>> {
        Ok(Batch { write: self.env.write_txn().map_err(failed)?, tables: self.tables })
    }

    /// Returns the current committed state.
    pub(super) fn snapshot(&self) -> Result<Snapshot> {
        let read = self.env.clone().static_read_txn().map_err(failed)?;
        Ok(Snapshot { read, tables: self.tables })
    }

    /// Returns the bytes that a batch may store before only those that need no more room go on.
    pub(in crate::embedded) fn growth(&self) -> Result<u64> {
        Ok(self.extent()?.growth())
    }

    /// Returns the extent of the file, and renews its reserve.
    pub(super) fn extent(&self) -> Result<Extent> {
        let info = self.env.info();
        let pages = (info.last_page_number as u64).saturating_add(1);
        let file = pages.saturating_mul(self.env.stat().page_size.into());
        self.reserve.extent(self.used_bytes()?, file, info.map_size as u64).map_err(|error| failed(error.into()))
    }

    /// Returns the size of the pages in use, in bytes.
    fn used_bytes(&self) -> Result<u64> {
        let read = self.env.read_txn().map_err(failed)?;
        let mut bytes = 0;
        for table in self.tables {
            let stat = table.stat(&read).map_err(failed)?;
            let pages = stat.branch_pages + stat.leaf_pages + stat.overflow_pages;
            bytes += pages as u64 * u64::from(stat.page_size);
        }
        Ok(bytes)
    }

    /// Writes the pages in use into a new file of a folder; they are durable when this returns.
    pub(super) fn copy(&self, folder: &Path) -> Result<()> {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(FILE));
        let mut file = made.map_err(|error| failed(error.into()))?;
        self.env.copy_to_file(&mut file, CompactionOption::Enabled).map_err(failed)?;
        file.sync_all().map_err(|error| failed(error.into()))
    }

    /// Returns the event of the environment's end, once it and its last snapshot are dropped.
    pub(super) fn closing(&self) -> EnvClosingEvent {
        self.env.clone().prepare_for_closing()
    }
}

/// Maps the file of a directory into memory. The size is set once, since a change would have to wait for every reader.
/// Where the address space is limited, takes half of it at most, and less if that is not free.
fn map(dir: &Path, bytes: u64) -> std::result::Result<Env<WithoutTls>, String> {
    let limit = getrlimit(Resource::As).current;
    let least = MAP_BYTES_MIN.min(bytes);
    let mut bytes = bytes.min(limit.unwrap_or(u64::MAX) / 2 / MAP_BYTES_UNIT * MAP_BYTES_UNIT);
    while bytes >= least {
        match map_exactly(dir, bytes) {
            Err(heed::Error::Io(error)) if error.kind() == io::ErrorKind::OutOfMemory => {
                bytes = bytes / 2 / MAP_BYTES_UNIT * MAP_BYTES_UNIT;
            }
            done => return done.map_err(|error| error.to_string()),
        }
    }
    Err(no_room(limit))
}

fn no_room(limit: Option<u64>) -> String {
    let limit = limit.map_or_else(|| "not limited".to_owned(), |limit| format!("{} MiB", limit >> 20));
    format!(
        "its file is mapped into memory, which takes {} MiB of address space and more as it grows: raise the limit of \
         the address space (`ulimit -v`), now {limit}",
        MAP_BYTES_MIN >> 20
    )
}

#[expect(unsafe_code, reason = "a file that is mapped into memory must not be changed by others")]
fn map_exactly(dir: &Path, bytes: u64) -> heed::Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    let bytes = usize::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    let tables = u32::try_from(TABLES.len()).unwrap_or(u32::MAX);
    options.map_size(bytes).max_readers(READERS_MAX).max_dbs(tables);
    // SAFETY: the store's lock keeps other processes away from the directory, no flag weakens LMDB's own locks, and
    // this process changes the file through LMDB alone.
    unsafe { options.open(dir) }
}

/// Returns true if the environment must be opened again before it is used: a flush may have failed, after which the
/// system no longer knows what is not on the disk.
pub(super) fn is_fatal(error: &heed::Error) -> bool {
    match error {
        heed::Error::Io(error) => !is_full(error),
        heed::Error::Mdb(error) => matches!(error, MdbError::Panic),
        _ => false,
    }
}

/// Returns true for the error of a write that the system performed in part. LMDB gives a failed flush the same one.
pub(super) fn is_short_write(error: &heed::Error) -> bool {
    matches!(error, heed::Error::Io(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()))
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// Converts an error of LMDB.
pub(super) fn failed(error: heed::Error) -> Error {
    match error {
        heed::Error::Mdb(error @ (MdbError::Corrupted | MdbError::PageNotFound | MdbError::Invalid)) => {
            Error::Corrupt(error.to_string())
        }
        heed::Error::Mdb(MdbError::MapFull) => {
            Error::Full("its file fills the address space that it could get".to_owned())
        }
        heed::Error::Io(error) if is_full(&error) => Error::Full(format!("its disk has no room ({error})")),
        error => Error::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::engine::Space;
    use std::fs;

    const KEY: &[u8] = b"key";

    fn put(environment: &Environment, value: impl AsRef<[u8]>) -> Result<()> {
        let mut batch = environment.batch()?;
        batch.put(Space::Blobs, KEY, value.as_ref())?;
        batch.commit().map_err(failed)
    }

    fn opened(map_bytes: u64) -> (tempfile::TempDir, Environment) {
        let dir = tempfile::tempdir().unwrap();
        Environment::make(dir.path()).unwrap();
        let environment = Environment::open_within(dir.path(), map_bytes).unwrap();
        (dir, environment)
    }

    #[test]
    fn a_value_that_the_disk_changed_is_corrupt() {
        let (dir, environment) = opened(MAP_BYTES);
        put(&environment, "canary").unwrap();
        drop(environment);
        let file = dir.path().join("data.mdb");
        let mut bytes = fs::read(&file).unwrap();
        let found: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"canary")).collect();
        assert_eq!(found.len(), 1);
        bytes[found[0]] ^= 1;
        fs::write(&file, bytes).unwrap();
        let snapshot = Environment::open(dir.path()).unwrap().snapshot().unwrap();
        assert!(matches!(snapshot.get(Space::Blobs, KEY), Err(Error::Corrupt(_))));
        assert!(matches!(snapshot.entries(Space::Blobs, b"k", b"l").unwrap().next(), Some(Err(Error::Corrupt(_)))));
    }

    #[test]
    fn a_full_file_fails_writes_and_no_reads_until_there_is_room() {
        let (_dir, environment) = opened(1 << 20);
        put(&environment, vec![1; 300 << 10]).unwrap();
        assert!(!is_fatal(&heed::Error::Mdb(MdbError::MapFull)));
        let error = put(&environment, vec![2; 900 << 10]).unwrap_err();
        assert!(matches!(error, Error::Full(_)), "{error}");
        let value = environment.snapshot().unwrap().get(Space::Blobs, KEY).unwrap().unwrap();
        assert_eq!((value.len(), value[0]), (300 << 10, 1));
        put(&environment, "small").unwrap();
        assert_eq!(environment.snapshot().unwrap().get(Space::Blobs, KEY).unwrap().unwrap(), "small");
    }

    #[test]
    fn a_full_disk_is_no_reason_to_open_again_and_a_failed_flush_is() {
        let of = |error: rustix::io::Errno| heed::Error::Io(error.into());
        for full in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT, rustix::io::Errno::FBIG] {
            assert!(!is_fatal(&of(full)));
            assert!(matches!(failed(of(full)), Error::Full(reason) if reason.contains("disk has no room")));
        }
        assert!(is_fatal(&of(rustix::io::Errno::IO)));
        assert!(is_fatal(&heed::Error::Mdb(MdbError::Panic)));
    }

    #[test]
    fn more_pages_than_lmdb_lists_are_changed_in_one_commit() {
        const PAGES: u32 = 140_000;
        let (_dir, environment) = opened(MAP_BYTES);
        // Each value fills a page of its own; LMDB lists 131,071 and writes others early.
        let (mut batch, value) = (environment.batch().unwrap(), [7; 2_100]);
        for n in 0..PAGES {
            batch.put(Space::Blobs, &n.to_be_bytes(), &value).unwrap();
        }
        batch.commit().unwrap();
        let snapshot = environment.snapshot().unwrap();
        assert_eq!(snapshot.get(Space::Blobs, &(PAGES - 1).to_be_bytes()).unwrap().unwrap(), &value[..]);
    }

    #[test]
    fn the_longest_keys_fit() {
        use fusebox_core::{limits, time::Millis};
        let of = crate::kv::Namespace {
            tenant: "t".repeat(limits::TENANT_NAME_BYTES_MAX).parse().unwrap(),
            function: "\u{10ffff}".repeat(limits::FUNCTION_NAME_CHARS_MAX).parse().unwrap(),
        };
        let key = crate::embedded::keys::expiry(&of, Millis::NEVER, &[255; limits::KV_KEY_BYTES_MAX]);
        let (_dir, environment) = opened(MAP_BYTES);
        let mut batch = environment.batch().unwrap();
        batch.put(Space::Index, &key, &[]).unwrap();
        batch.commit().unwrap();
        assert!(environment.snapshot().unwrap().get(Space::Index, &key).unwrap().is_some());
    }
}
