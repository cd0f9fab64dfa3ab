//! The embedded store: one directory used by one process, with nothing else to install. Its answers are durable, and it
//! survives a kill at any time.
//!
//! | file | holds |
//! |---|---|
//! | `open`, `migrate` | the directory: lock, format; its migration from one layout to the next |
//! | `engine` | the storage engine: LMDB, which nothing else names |
//! | `keys`, `records` | every key, and the encoding of the values |
//! | `compaction` | disk space given back while the store is idle |
//! | `writer` | the single writer thread: group commit |
//! | `group` | writes of a group that are not committed yet |
//! | `steps` | the changes that each call makes |
//! | `memory` | what the writer remembers from group to group |
//! | `starts`, `aging`, `leases`, `retention` | parts of it: queues by their first ready task and by their oldest; leases; ended tasks |
//! | `running` | leases that are committed, for reads |
//! | `reads`, `find` | reads beside the writer; the search for tasks |
//! | `functions`, `compiles`, `queue`, `tasks`, `jobs`, `kv`, `identity`, `wakeups` | a trait of the store each |
//! | `usage` | space of the file system |
//! | `tanks` | tenants' fuel and compile time; in memory |
//! | `announcements` | announced dispatchers and workers; in memory, since they end with the process |

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use fusebox_core::time::Millis;

use self::{
    announcements::Announcements, engine::Engine, memory::Memory, reads::Reads, running::Committed, tanks::Tanks,
    writer::Writer,
};
use crate::{Migrated, Options, Result, Store, hints::Hints, layout::LAYOUT};
use fusebox_system::clock::Clock;

mod aging;
mod announcements;
mod compaction;
mod compiles;
mod engine;
mod find;
mod functions;
mod group;
mod identity;
mod jobs;
mod keys;
mod kv;
mod leases;
mod memory;
mod migrate;
mod open;
mod queue;
mod reads;
mod records;
mod retention;
mod running;
mod starts;
mod steps;
mod tanks;
mod tasks;
#[cfg(test)]
mod tests;
mod usage;
mod wakeups;
mod writer;

/// See the module's documentation.
///
/// Uses a steady clock: it starts at the machine's time, advances with elapsed time, and is never earlier than the last
/// write of this or an earlier process. So setting the machine's clock forward or back ends no lease, task or key early
/// and keeps none alive for ever.
pub struct EmbeddedStore {
    /// First field, so that it is dropped first; its drop returns once every submitted step is answered.
    writer: Writer,
    reads: Reads,
    hints: Arc<Hints>,
    announcements: Announcements,
    clock: Clock,
    tanks: Tanks,
}

impl EmbeddedStore {
    /// Opens the store in `dir`, creating it if needed. Takes no longer after a kill, or if the store is large.
    ///
    /// # Errors
    /// [`super::Error::InUse`] if another process has it open, [`super::Error::Open`] if the directory cannot be used.
    pub fn open(dir: &Path, clock: Clock) -> Result<Self> {
        Self::open_with(dir, clock, Options::default())
    }

    /// Migrates the store in `dir` to the layout of this version. Blocks.
    ///
    /// # Errors
    /// As [`Self::open`]; [`super::Error::Refused`] if this version cannot migrate the store. After another error the
    /// next call continues.
    pub async fn migrate(dir: &Path) -> Result<Migrated> {
        migrate::run(dir).await
    }

    /// Opens the store in `dir` with other bounds.
    ///
    /// # Errors
    /// See [`Self::open`].
    pub fn open_with(dir: &Path, clock: Clock, options: Options) -> Result<Self> {
        Self::open_as(dir, clock, options, LAYOUT)
    }

    /// Opens the store as a process of a layout.
    fn open_as(dir: &Path, clock: Clock, options: Options, layout: u32) -> Result<Self> {
        let engine: Arc<Engine> = Arc::new(open::engine(dir, layout)?);
        let hints = Hints::new();
        let running = Arc::new(Committed::read(&engine.snapshot()?)?);
        let reads = Reads::new(engine.clone(), running.clone());
        let written_at = reads.written_at()?;
        let clock = clock.steady(written_at);
        let writer = Writer::start(engine, Memory::new(written_at, running), hints.clone(), options, clock.clone())?;
        Ok(Self {
            writer,
            reads,
            hints,
            announcements: Announcements::new(clock.clone()),
            tanks: Tanks::new(clock.clone()),
            clock,
        })
    }

    /// Returns the layout of the store in a directory, as its file `format` names it; `None` if there is no store. Writes
    /// nothing.
    ///
    /// # Errors
    /// [`super::Error::Open`] if this version cannot open the store.
    pub fn layout(dir: &Path) -> Result<Option<String>> {
        open::layout(dir)
    }

    /// Releases the leases of the previous process and returns their number. Only one process can open the store, so no
    /// one else can hold a lease. As with any release, each task gets its attempt back up to
    /// [`fusebox_core::limits::RELEASES_MAX`] times; from then on the attempt counts.
    ///
    /// # Errors
    /// See [`super::Error`].
    pub async fn reclaim_all_leases(&self) -> Result<u64> {
        let mut reclaimed = 0;
        loop {
            match self.writer.step(0, |steps| steps.reclaim()).await? {
                0 => return Ok(reclaimed),
                more => reclaimed += more,
            }
        }
    }

    /// Copies the state of one moment into the directory `to`, which must be empty or missing; it is a store of its own.
    /// Reads and writes go on meanwhile, and the file grows by what they write. The copy is durable when this returns;
    /// after an error or a kill there is none.
    ///
    /// # Errors
    /// [`super::Error::Open`] if the directory cannot be used, and those of a read.
    pub async fn snapshot(&self, to: &Path) -> Result<()> {
        let to = to.to_owned();
        self.reads.aside(move |reads| reads.copy(&to)).await
    }

    /// Returns the size of the store on disk, in bytes.
    ///
    /// # Errors
    /// See [`super::Error`].
    pub fn disk_bytes(&self) -> Result<u64> {
        self.reads.disk_bytes()
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn check(&self) -> Result<()> {
        self.reads.check()
    }

    async fn now(&self) -> Result<Millis> {
        Ok(self.clock.now())
    }
}
