//! The storage engine: three ordered maps, atomic durable batches, and snapshots. The only file that names fjall. Knows
//! neither tasks nor functions.

use std::{collections::BTreeMap, fs::File, path::Path};

use bytes::Bytes;
use fjall::{Database, Iter, Keyspace, KeyspaceCreateOptions, PersistMode, Readable as _};

use super::keys::Key;
use crate::store::{Error, Result};

/// Memory for what was written last, of each space; written out as a table when it is reached. Small on purpose: this
/// is what a deep queue costs in memory. The engine has up to five of them at a time, of each space.
const MEMTABLE_BYTES: u64 = 8 << 20;
/// Memory for blocks read from disk.
const CACHE_BYTES: u64 = 16 << 20;
/// Journals kept on disk, which are replayed when the store is opened: bounds the time that takes after a kill.
const JOURNAL_BYTES: u64 = 64 << 20;
/// Threads that write tables and merge them.
const WORKERS: usize = 2;

/// Which map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// Small values.
    Records,
    /// Inputs, outputs, logs and modules.
    Blobs,
    /// Keys without values.
    Index,
}

/// What a batch does: a value for a key, or `None` to remove it.
pub(super) type Writes = [BTreeMap<Key, Option<Bytes>>; 3];

/// See the module's documentation.
pub(super) struct Engine {
    spaces: [Keyspace; 3],
    database: Database,
    /// Last, so that the directory is free only when the engine has closed its files.
    _lock: File,
}

/// The committed state of one moment.
pub(super) struct Snapshot<'a> {
    engine: &'a Engine,
    snapshot: fjall::Snapshot,
}

impl Engine {
    /// Opens the engine's files in `dir`. `lock` is held as long as the engine is.
    pub(super) fn open(dir: &Path, lock: File) -> std::result::Result<Self, String> {
        let (database, spaces) = open(dir).map_err(|error| error.to_string())?;
        Ok(Self { spaces, database, _lock: lock })
    }

    /// Makes the engine's files in an empty directory.
    pub(super) fn make(dir: &Path) -> std::result::Result<(), String> {
        let (database, _) = open(dir).map_err(|error| error.to_string())?;
        database.persist(PersistMode::SyncAll).map_err(|error| error.to_string())
    }

    /// Writes a batch: all of it or nothing, and durable when this returns.
    pub(super) fn commit(&self, writes: Writes) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for (space, writes) in self.spaces.iter().zip(writes) {
            for (key, value) in writes {
                match value {
                    Some(value) => batch.insert(space, key, &value[..]),
                    None => batch.remove(space, key),
                }
            }
        }
        batch.commit().map_err(unavailable)
    }

    /// The newest committed value. Only for the one thread that commits: others could see half of a batch.
    pub(super) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.space(space).get(key).map_err(unavailable)?.map(|value| Bytes::copy_from_slice(&value)))
    }

    /// Keys from `from` on, before `to`. Only for the one thread that commits.
    pub(super) fn keys(&self, space: Space, from: &[u8], to: &[u8]) -> impl Iterator<Item = Result<Key>> + use<> {
        let range = (from < to).then(|| self.space(space).range(from..to));
        range.into_iter().flatten().map(|entry| Ok(entry.key().map_err(unavailable)?.to_vec()))
    }

    /// What is committed now.
    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { engine: self, snapshot: self.database.snapshot() }
    }

    /// Whether batches are taken: after a failed write they are not, until the store is opened again.
    pub(super) fn check(&self) -> Result<()> {
        self.database.persist(PersistMode::Buffer).map_err(unavailable)
    }

    /// Bytes on disk.
    pub(super) fn disk_bytes(&self) -> Result<u64> {
        self.database.disk_space().map_err(unavailable)
    }

    const fn space(&self, space: Space) -> &Keyspace {
        let [records, blobs, index] = &self.spaces;
        match space {
            Space::Records => records,
            Space::Blobs => blobs,
            Space::Index => index,
        }
    }
}

impl Snapshot<'_> {
    /// A value.
    pub(super) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>> {
        let value = self.snapshot.get(self.engine.space(space), key).map_err(unavailable)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    /// Entries from `from` on, before `to`.
    pub(super) fn entries(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
    ) -> impl Iterator<Item = Result<(Key, Bytes)>> + use<> {
        self.range(space, from, to).map(entry)
    }

    /// The same entries, the last one first.
    pub(super) fn entries_backwards(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
    ) -> impl Iterator<Item = Result<(Key, Bytes)>> + use<> {
        self.range(space, from, to).rev().map(entry)
    }

    fn range(&self, space: Space, from: &[u8], to: &[u8]) -> std::iter::Flatten<std::option::IntoIter<Iter>> {
        let range = (from < to).then(|| self.snapshot.range(self.engine.space(space), from..to));
        range.into_iter().flatten()
    }
}

fn open(dir: &Path) -> fjall::Result<(Database, [Keyspace; 3])> {
    let database = Database::builder(dir)
        .cache_size(CACHE_BYTES)
        .max_journaling_size(JOURNAL_BYTES)
        .worker_threads(WORKERS)
        .open()?;
    let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
    let spaces = [
        database.keyspace("records", options)?,
        database.keyspace("blobs", options)?,
        database.keyspace("index", options)?,
    ];
    Ok((database, spaces))
}

fn entry(entry: fjall::Guard) -> Result<(Key, Bytes)> {
    let (key, value) = entry.into_inner().map_err(unavailable)?;
    Ok((key.to_vec(), Bytes::copy_from_slice(&value)))
}

/// What a caller can make of an error of the engine.
fn unavailable(error: fjall::Error) -> Error {
    use fjall::Error as E;
    match error {
        E::Poisoned => Error::Unavailable("an earlier write failed: free some disk space, then start again".to_owned()),
        E::Io(error) => Error::Unavailable(error.to_string()),
        E::Storage(error) => Error::Corrupt(error.to_string()),
        error => Error::Unavailable(error.to_string()),
    }
}
