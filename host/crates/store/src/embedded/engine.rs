//! The storage engine: three ordered maps, atomic durable batches, and snapshots. The only file that uses redb.
//! Independent of tasks and functions.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use redb::{Builder, Database, ReadOnlyTable, ReadableDatabase as _, RepairSession, TableDefinition};

use super::keys::Key;
use crate::{Error, Result};

/// Size of the page cache, in bytes. Nothing else in the store's memory grows, so this is the memory that a deep queue
/// takes.
const CACHE_BYTES: usize = 16 << 20;
/// Name of the file in the engine's directory.
const FILE: &str = "store.redb";

/// Shortest time between attempts to reopen the file after a failed write; reopening may read all of the file.
const REOPEN: Duration = Duration::from_secs(1);

/// One of the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// Small values.
    Records,
    /// Inputs, outputs, logs and modules.
    Blobs,
    /// Keys without values.
    Index,
}

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;
type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The tables, in the order of [`Space`].
const TABLES: [Definition; 3] =
    [TableDefinition::new("records"), TableDefinition::new("blobs"), TableDefinition::new("index")];

/// Writes of a batch in each space: the value of a key, or `None` to remove it.
pub(super) type Writes = [BTreeMap<Key, Option<Bytes>>; 3];

/// Engine over one redb file.
pub(super) struct Engine {
    state: RwLock<State>,
    file: PathBuf,
    /// Last field, so that the directory is unlocked only after the engine has closed its file.
    _lock: File,
}

enum State {
    Open {
        /// Snapshot of the committed state, opened once per commit rather than per read.
        committed: Arc<Snapshot>,
        database: Database,
    },
    /// State after a failed write, until the file is reopened.
    Closed { since: Instant },
}

/// Committed state at one moment.
pub(super) struct Snapshot {
    tables: [Table; 3],
    moment: u64,
}

/// Number of snapshots made, for numbering them.
static MOMENTS: AtomicU64 = AtomicU64::new(0);

impl Engine {
    /// Names of the files in the engine's directory.
    pub(super) const FILES: [&str; 1] = [FILE];

    /// Opens the engine's file in `dir`. `lock` is held as long as the engine lives.
    pub(super) fn open(dir: &Path, lock: File) -> Result<Self> {
        let file = dir.join(FILE);
        let state = RwLock::new(State::open(&file)?);
        Ok(Self { state, file, _lock: lock })
    }

    /// Creates the engine's file in an empty directory.
    pub(super) fn make(dir: &Path) -> Result<()> {
        let database = builder().create(dir.join(FILE)).map_err(failed)?;
        commit(&database, Writes::default())
    }

    /// Writes all of a batch or nothing; it is durable when this returns. After an error, only the reopened file shows
    /// if the batch was written.
    pub(super) fn commit(&self, writes: Writes) -> Result<()> {
        self.write(|database| commit(database, writes))
    }

    /// Makes the next opening fast even after a kill, for which the engine otherwise reads the whole file. Costs two
    /// flushes of the disk, so it is called in idle moments.
    pub(super) fn settle(&self) -> Result<()> {
        self.write(|database| {
            let mut write = database.begin_write().map_err(failed)?;
            write.set_quick_repair(true);
            write.commit().map_err(failed)
        })
    }

    fn write(&self, write: impl FnOnce(&Database) -> Result<()>) -> Result<()> {
        let written = match &*self.state() {
            State::Open { database, .. } => write(database).and_then(|()| Snapshot::of(database)),
            State::Closed { .. } => Err(closed()),
        };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match (written, &mut *state) {
            (Ok(snapshot), State::Open { committed, .. }) => *committed = Arc::new(snapshot),
            // Only this thread closes the file.
            (Ok(_), State::Closed { .. }) => {}
            (Err(error), state) => {
                // The engine accepts no writes after a failed one. Snapshots in use keep the old file open.
                *state = State::Closed { since: Instant::now() };
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reopens the file after a failed write, since the disk may have room by now.
    pub(super) fn reopen(&self, now: Instant) -> Result<()> {
        match &*self.state() {
            State::Open { .. } => return Ok(()),
            State::Closed { since } if now.saturating_duration_since(*since) < REOPEN => return Err(closed()),
            State::Closed { .. } => {}
        }
        let opened = State::open(&self.file);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match opened {
            Ok(open) => {
                tracing::info!("the store accepts writes again");
                *state = open;
                Ok(())
            }
            Err(error) => {
                *state = State::Closed { since: now };
                Err(error)
            }
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the current committed state.
    pub(super) fn snapshot(&self) -> Result<Arc<Snapshot>> {
        match &*self.state() {
            State::Open { committed, .. } => Ok(committed.clone()),
            State::Closed { .. } => Err(closed()),
        }
    }

    /// Returns the size of the file, in bytes.
    pub(super) fn disk_bytes(&self) -> Result<u64> {
        let metadata = std::fs::metadata(&self.file);
        Ok(metadata.map_err(|error| Error::Unavailable(error.to_string()))?.len())
    }
}

impl State {
    fn open(file: &Path) -> Result<Self> {
        let database = builder().open(file).map_err(failed)?;
        Ok(Self::Open { committed: Arc::new(Snapshot::of(&database)?), database })
    }
}

impl Snapshot {
    fn of(database: &Database) -> Result<Self> {
        let read = database.begin_read().map_err(failed)?;
        let [records, blobs, index] = TABLES.map(|table| read.open_table(table).map_err(failed));
        Ok(Self { tables: [records?, blobs?, index?], moment: MOMENTS.fetch_add(1, Ordering::Relaxed) })
    }

    /// Returns the snapshot's number. Data read from a snapshot is current as long as the number is the latest.
    pub(super) fn moment(&self) -> u64 {
        self.moment
    }

    /// Returns the value of a key.
    pub(super) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>> {
        let value = self.tables[space as usize].get_owned(key).map_err(failed)?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
    }

    /// Returns the entries from `from` on, before `to`.
    pub(super) fn entries(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
    ) -> Result<impl DoubleEndedIterator<Item = Result<(Key, Bytes)>> + use<>> {
        let range = match from < to {
            true => Some(self.tables[space as usize].range_owned(from..to).map_err(failed)?),
            false => None,
        };
        Ok(range.into_iter().flatten().map(|entry| {
            let (key, value) = entry.map_err(failed)?;
            Ok((key.value().to_vec(), Bytes::copy_from_slice(value.value())))
        }))
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_repair_callback(told_of_repair);
    builder
}

fn told_of_repair(session: &mut RepairSession) {
    tracing::info!(progress = session.progress(), "the store was not closed properly; checking it, about 3 s per GB");
}

fn commit(database: &Database, writes: Writes) -> Result<()> {
    let write = database.begin_write().map_err(failed)?;
    for (table, writes) in TABLES.into_iter().zip(writes) {
        let mut table = write.open_table(table).map_err(failed)?;
        for (key, value) in writes {
            match value {
                Some(value) => drop(table.insert(&key[..], &value[..]).map_err(failed)?),
                None => drop(table.remove(&key[..]).map_err(failed)?),
            }
        }
    }
    write.commit().map_err(failed)
}

fn closed() -> Error {
    Error::Unavailable("an earlier write failed; is the disk full?".to_owned())
}

/// Converts an error of the engine.
fn failed(error: impl Into<redb::Error>) -> Error {
    match error.into() {
        redb::Error::Corrupted(reason) => Error::Corrupt(reason),
        redb::Error::PreviousIo => closed(),
        error => Error::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failed_write_the_file_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        Engine::make(dir.path()).unwrap();
        let engine = Engine::open(dir.path(), File::create(dir.path().join("lock")).unwrap()).unwrap();
        let put = |value: &'static [u8]| {
            let mut writes = Writes::default();
            writes[Space::Blobs as usize].insert(b"key".to_vec(), Some(Bytes::from_static(value)));
            writes
        };
        engine.commit(put(b"first")).unwrap();
        engine.write(|_| Err(closed())).unwrap_err();
        assert!(engine.commit(put(b"second")).is_err());
        assert!(engine.snapshot().is_err());
        assert!(engine.reopen(Instant::now()).is_err());
        engine.reopen(Instant::now() + 2 * REOPEN).unwrap();
        engine.settle().unwrap();
        let value = engine.snapshot().unwrap().get(Space::Blobs, b"key").unwrap();
        assert_eq!(value.as_deref(), Some(&b"first"[..]));
    }
    #[test]
    fn what_is_written_again_and_again_takes_no_more_room() {
        let dir = tempfile::tempdir().unwrap();
        Engine::make(dir.path()).unwrap();
        let engine = Engine::open(dir.path(), File::create(dir.path().join("lock")).unwrap()).unwrap();
        for n in (0..=u8::MAX).chain(0..=u8::MAX) {
            let mut writes = Writes::default();
            writes[Space::Blobs as usize].insert(b"key".to_vec(), Some(vec![n; 32 << 10].into()));
            engine.commit(writes).unwrap();
        }
        // 16 MB were written; the snapshot that is kept for readers must not retain the earlier ones.
        assert!(engine.disk_bytes().unwrap() < 6 << 20, "{} bytes", engine.disk_bytes().unwrap());
    }
}
