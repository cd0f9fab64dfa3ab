//! The storage engine: three ordered maps, atomic durable batches, and snapshots. Opens its file again after a failed
//! flush. Independent of tasks and functions.

use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{
        PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use heed::EnvClosingEvent;

use self::environment::Environment;
use super::keys::Key;
use crate::{Error, Result};

mod environment;

pub(super) use self::environment::Snapshot;

/// Folder of the environment in the engine's directory.
const FOLDER: &str = "1";
/// File of an environment that holds everything.
const FILE: &str = "data.mdb";

/// Shortest time between attempts to open the file again after a failed flush.
const REOPEN: Duration = Duration::from_secs(1);
/// Longest wait for the reads that see the file from before a failed flush.
const READS_END: Duration = Duration::from_secs(1);

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

impl Space {
    /// Every map, in the order of [`Writes`].
    pub(super) const ALL: [Self; 3] = [Self::Records, Self::Blobs, Self::Index];
}

/// Writes of a batch in each space: the value of a key, or `None` to remove it.
pub(super) type Writes = [BTreeMap<Key, Option<Bytes>>; 3];

/// Engine over one file.
pub(super) struct Engine {
    state: RwLock<State>,
    folder: PathBuf,
    commits: AtomicU64,
    /// Last field, so that the directory is unlocked only after the engine has closed its file.
    _lock: File,
}

enum State {
    Open(Environment),
    /// State after a failed flush, until the file is opened again.
    Closed {
        since: Instant,
        /// Event of the last read's end, before which the file cannot be opened again.
        closed: EnvClosingEvent,
    },
}

impl Engine {
    /// Names of the folders in the engine's directory.
    pub(super) const FILES: [&str; 1] = [FOLDER];

    /// Opens the engine's file in `dir`. `lock` is held as long as the engine lives.
    pub(super) fn open(dir: &Path, lock: File) -> std::result::Result<Self, String> {
        let folder = dir.join(FOLDER);
        let state = RwLock::new(State::Open(Environment::open(&folder)?));
        Ok(Self { state, folder, commits: AtomicU64::new(0), _lock: lock })
    }

    /// Creates the engine's file in an empty directory.
    pub(super) fn make(dir: &Path) -> std::result::Result<(), String> {
        let folder = dir.join(FOLDER);
        DirBuilder::new().mode(0o700).create(&folder).map_err(|error| error.to_string())?;
        Environment::make(&folder)?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| error.to_string())
    }

    /// Writes all of a batch or nothing; it is durable when this returns. Reads go on after a failure, as does the next
    /// batch. After an error, only a read shows if the batch was written.
    pub(super) fn commit(&self, writes: Writes) -> Result<()> {
        let committed = match &*self.state() {
            State::Open(environment) => environment.commit(writes),
            State::Closed { .. } => return Err(closed()),
        };
        match committed {
            Ok(()) => {
                self.commits.fetch_add(1, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                if environment::is_fatal(&error) {
                    tracing::error!(%error, "the store's file is opened again, since it may not have been flushed");
                    self.close();
                    drop(self.reopen(Instant::now()));
                }
                Err(environment::failed(error))
            }
        }
    }

    /// Closes the file as soon as its last read ends.
    fn close(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let State::Open(environment) = &*state {
            let closed = environment.closing();
            let since = Instant::now().checked_sub(REOPEN).unwrap_or_else(Instant::now);
            *state = State::Closed { since, closed };
        }
    }

    /// Opens the file again after a failed flush.
    ///
    /// # Errors
    /// Fails if reads of the old state are still under way, or the file cannot be opened now.
    pub(super) fn reopen(&self, now: Instant) -> Result<()> {
        let closed_event = match &*self.state() {
            State::Open(_) => return Ok(()),
            State::Closed { since, .. } if now.saturating_duration_since(*since) < REOPEN => return Err(closed()),
            State::Closed { closed, .. } => closed.clone(),
        };
        let opened = match closed_event.wait_timeout(READS_END) {
            true => Environment::open(&self.folder).map_err(Error::Unavailable),
            false => Err(closed()),
        };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match opened {
            Ok(environment) => {
                tracing::info!("the store is open again");
                *state = State::Open(environment);
                Ok(())
            }
            Err(error) => {
                *state = State::Closed { since: now, closed: closed_event };
                Err(error)
            }
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the current committed state.
    pub(super) fn snapshot(&self) -> Result<Snapshot> {
        match &*self.state() {
            State::Open(environment) => environment.snapshot(),
            State::Closed { .. } => Err(closed()),
        }
    }

    /// Returns the number of commits of this process. Data of a snapshot taken after this is current as long as the
    /// number is.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// Returns the size of the file, in bytes.
    pub(super) fn disk_bytes(&self) -> Result<u64> {
        let metadata = std::fs::metadata(self.folder.join(FILE));
        Ok(metadata.map_err(|error| Error::Unavailable(error.to_string()))?.len())
    }
}

fn closed() -> Error {
    Error::Unavailable("its file is being opened again after a failed write".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine() -> (tempfile::TempDir, Engine) {
        let dir = tempfile::tempdir().unwrap();
        Engine::make(dir.path()).unwrap();
        let engine = Engine::open(dir.path(), File::create(dir.path().join("lock")).unwrap()).unwrap();
        (dir, engine)
    }

    fn put(value: impl Into<Bytes>) -> Writes {
        let mut writes = Writes::default();
        writes[Space::Blobs as usize].insert(b"key".to_vec(), Some(value.into()));
        writes
    }

    #[test]
    fn after_a_failed_flush_the_file_is_opened_again_once_no_read_sees_the_old_one() {
        let (_dir, engine) = engine();
        engine.commit(put("first")).unwrap();
        let read = engine.snapshot().unwrap();
        engine.close();
        assert!(engine.commit(put("second")).is_err());
        assert!(engine.snapshot().is_err());
        let now = Instant::now();
        assert!(engine.reopen(now).is_err());
        assert_eq!(read.get(Space::Blobs, b"key").unwrap().unwrap(), "first");
        drop(read);
        assert!(engine.reopen(now).is_err(), "not tried without a pause");
        engine.reopen(now + REOPEN).unwrap();
        engine.commit(put("second")).unwrap();
        assert_eq!(engine.snapshot().unwrap().get(Space::Blobs, b"key").unwrap().unwrap(), "second");
    }

    #[test]
    fn what_is_written_again_and_again_takes_no_more_room() {
        let (_dir, engine) = engine();
        for n in (0..=u8::MAX).chain(0..=u8::MAX) {
            engine.commit(put(vec![n; 32 << 10])).unwrap();
            engine.snapshot().unwrap().get(Space::Blobs, b"key").unwrap();
        }
        // 16 MB were written; reads must not retain the earlier ones.
        assert!(engine.disk_bytes().unwrap() < 1 << 20, "{} bytes", engine.disk_bytes().unwrap());
    }

    #[test]
    fn a_read_sees_one_moment_and_its_pages_are_reused_after_it() {
        let (_dir, engine) = engine();
        engine.commit(put(vec![1; 64 << 10])).unwrap();
        let read = engine.snapshot().unwrap();
        for _ in 0..64 {
            engine.commit(put(vec![2; 64 << 10])).unwrap();
        }
        assert_eq!(read.get(Space::Blobs, b"key").unwrap().unwrap(), vec![1; 64 << 10]);
        let held = engine.disk_bytes().unwrap();
        assert!(held > 4 << 20, "{held} bytes");
        drop(read);
        for _ in 0..64 {
            engine.commit(put(vec![3; 64 << 10])).unwrap();
        }
        assert_eq!(engine.disk_bytes().unwrap(), held);
    }
}
