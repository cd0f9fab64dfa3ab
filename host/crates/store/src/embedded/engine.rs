//! The storage engine: three ordered maps, atomic durable batches, and snapshots. Opens its file again after a failed
//! flush. Independent of tasks and functions.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use heed::EnvClosingEvent;
use rustix::fs::statvfs;

use self::environment::Table;
use crate::{Error, Result, Room};

mod batch;
mod checksum;
mod environment;
mod folders;
mod reserve;
mod snapshot;

pub(super) use self::{
    batch::{Batch, Entry},
    environment::Environment,
    snapshot::Snapshot,
};

/// File of an environment that holds everything.
const FILE: &str = "data.mdb";

/// Size of a file below which it is not worth a copy, in bytes.
const DENSE_BYTES: u64 = 16 << 20;

/// Free space of a disk below which a write in part was cut by its end, in bytes: what others may have freed since.
const FULL_BYTES: u64 = 1 << 20;
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
    fn table(self, [records, blobs, index]: &[Table; 3]) -> Table {
        match self {
            Self::Records => *records,
            Self::Blobs => *blobs,
            Self::Index => *index,
        }
    }
}

/// Engine over one file.
pub(super) struct Engine {
    state: RwLock<State>,
    dir: PathBuf,
    commits: AtomicU64,
    /// Last field, so that the directory is unlocked only after the engine has closed its file.
    _lock: File,
}

enum State {
    Open {
        environment: Environment,
        /// Number of the environment's folder.
        number: u64,
    },
    /// State after a failed flush, until the file is opened again.
    Closed {
        since: Instant,
        number: u64,
        /// Event of the last read's end, before which the file cannot be opened again.
        closed: EnvClosingEvent,
    },
}

impl Engine {
    /// Names of the folders in the directory of an engine that was only just made.
    pub(super) const FILES: [&str; 1] = ["1"];

    /// Opens the engine's file in `dir`. `lock` is held as long as the engine lives.
    pub(super) fn open(dir: &Path, lock: File) -> std::result::Result<Self, String> {
        let number = folders::keep_newest(dir).map_err(|error| error.to_string())?;
        let environment = Environment::open(&folders::numbered(dir, number))?;
        let state = RwLock::new(State::Open { environment, number });
        Ok(Self { state, dir: dir.to_owned(), commits: AtomicU64::new(0), _lock: lock })
    }

    /// Creates the engine's file in an empty directory.
    pub(super) fn make(dir: &Path) -> std::result::Result<(), String> {
        let folder = folders::numbered(dir, folders::FIRST);
        folders::make(&folder).map_err(|error| error.to_string())?;
        Environment::make(&folder)?;
        folders::sync(&folder).and_then(|()| folders::sync(dir)).map_err(|error| error.to_string())
    }

    /// Commits a batch: all of it or nothing; it is durable when this returns. Reads go on after a failure, as does the
    /// next batch. After an error, only a read shows if the batch was written.
    pub(super) fn commit(&self, batch: Batch<'_>) -> Result<()> {
        match batch.commit() {
            Ok(()) => {
                self.commits.fetch_add(1, Ordering::Release);
                Ok(())
            }
            // What a batch that fails has written is no part of any state, so nothing depends on its flush.
            Err(error) if environment::is_short_write(&error) && self.is_disk_full() => {
                Err(Error::Full("its disk has no room".to_owned()))
            }
            Err(error) => {
                if environment::is_fatal(&error) {
                    tracing::error!(%error, "the store's file is opened again, since it may not have been flushed");
                    self.close();
                }
                Err(environment::failed(error))
            }
        }
    }

    /// Returns true if the disk had too little room for a write.
    fn is_disk_full(&self) -> bool {
        statvfs(&self.dir).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < FULL_BYTES)
    }

    /// Closes the file as soon as its last read ends.
    fn close(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let State::Open { environment, number } = &*state {
            let (number, closed) = (*number, environment.closing());
            let since = Instant::now().checked_sub(REOPEN).unwrap_or_else(Instant::now);
            *state = State::Closed { since, number, closed };
        }
    }

    /// Opens the file again after a failed flush.
    ///
    /// # Errors
    /// Fails if reads of the old state are still under way, or the file cannot be opened now.
    pub(super) fn reopen(&self, now: Instant) -> Result<()> {
        let (number, closed_event) = match &*self.state() {
            State::Open { .. } => return Ok(()),
            State::Closed { since, .. } if now.saturating_duration_since(*since) < REOPEN => return Err(closed()),
            State::Closed { number, closed, .. } => (*number, closed.clone()),
        };
        let opened = match closed_event.wait_timeout(READS_END) {
            true => folders::sync(&self.dir)
                .map_err(unavailable)
                .and_then(|()| Environment::open(&folders::numbered(&self.dir, number)).map_err(Error::Unavailable)),
            false => Err(closed()),
        };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match opened {
            Ok(environment) => {
                tracing::info!("the store is open again");
                *state = State::Open { environment, number };
                Ok(())
            }
            Err(error) => {
                *state = State::Closed { since: now, number, closed: closed_event };
                Err(error)
            }
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the current committed state.
    pub(super) fn snapshot(&self) -> Result<Snapshot> {
        self.environment()?.0.snapshot()
    }

    /// Returns what batches are made of. Held no longer than a batch: the file is not closed before.
    pub(super) fn writable(&self) -> Result<Environment> {
        Ok(self.environment()?.0)
    }

    /// Returns the environment and the number of its folder.
    fn environment(&self) -> Result<(Environment, u64)> {
        match &*self.state() {
            State::Open { environment, number } => Ok((environment.clone(), *number)),
            State::Closed { .. } => Err(closed()),
        }
    }

    /// Returns the room of the file.
    pub(super) fn room(&self) -> Result<Room> {
        Ok(self.environment()?.0.extent()?.room())
    }

    /// Returns true if more than half of the file is free, enough to be worth a copy, and the disk has room for it.
    pub(super) fn is_sparse(&self) -> Result<bool> {
        let (size, extent) = (self.disk_bytes()?, self.environment()?.0.extent()?);
        Ok(size >= DENSE_BYTES && extent.used < size / 2 && extent.used < extent.spare())
    }

    /// Copies what is in use into a folder beside the current one. Runs beside reads and writes.
    pub(super) fn copy(&self) -> Result<()> {
        let (environment, number) = self.environment()?;
        let folder = folders::make_copy(&self.dir, number + 1).map_err(unavailable)?;
        let copied = environment.copy(&folder).and_then(|()| folders::sync(&folder).map_err(unavailable));
        // Half a copy takes room of the disk.
        copied.inspect_err(|_| drop(folders::drop_copy(&self.dir, number + 1)))
    }

    /// Copies what is in use into an empty directory, as that of another engine. Runs beside reads and writes; pages that
    /// the copy has yet to read are not reused, so the file grows by what is written meanwhile.
    pub(super) fn copy_into(&self, dir: &Path) -> Result<()> {
        let folder = folders::numbered(dir, folders::FIRST);
        folders::make(&folder).map_err(unavailable)?;
        self.environment()?.0.copy(&folder)?;
        folders::sync(&folder).and_then(|()| folders::sync(dir)).map_err(unavailable)
    }

    /// Returns the directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Goes on with the copy, which contains the first `commits` commits, or drops it if there were more since. Reads
    /// of the old file go on; it is gone from the disk with the last one. Called by the only thread that writes.
    pub(super) fn replace(&self, commits: u64) -> Result<()> {
        let (_, before) = self.environment()?;
        let number = before + 1;
        if self.commits() != commits {
            return folders::drop_copy(&self.dir, number).map_err(unavailable);
        }
        // Opened first, since a copy with a number counts from then on.
        let environment = Environment::open(&folders::copy(&self.dir, number)).map_err(Error::Unavailable)?;
        folders::number_copy(&self.dir, number).map_err(unavailable)?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *state = State::Open { environment, number };
        drop(state);
        // Nothing is written into the new folder while its name may be lost.
        folders::sync(&self.dir).inspect_err(|_| self.close()).map_err(unavailable)?;
        fs::remove_dir_all(folders::numbered(&self.dir, before)).map_err(unavailable)
    }

    /// Returns the number of commits of this process. Data of a snapshot taken after this is current as long as the
    /// number is.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// Returns the size of the file, in bytes.
    pub(super) fn disk_bytes(&self) -> Result<u64> {
        let (_, number) = self.environment()?;
        Ok(fs::metadata(folders::numbered(&self.dir, number).join(FILE)).map_err(unavailable)?.len())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the argument of map_err")]
fn unavailable(error: io::Error) -> Error {
    Error::Unavailable(error.to_string())
}

fn closed() -> Error {
    Error::Unavailable("its file is being opened again after a failed write".to_owned())
}

#[cfg(test)]
mod tests;
