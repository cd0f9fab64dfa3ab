//! Announcements of dispatchers and workers.

use async_trait::async_trait;
use fusebox_core::{
    dispatch::Mode,
    id::{DispatcherId, WorkerId},
    time::Millis,
};
use serde::{Deserialize, Serialize};

use crate::Result;

/// Announcements of dispatchers and their workers. For display; no decision depends on a single worker.
#[async_trait]
pub trait Presence: Send + Sync + 'static {
    /// Announces a dispatcher and its workers, which may be none. Replaces its previous announcement and expires after
    /// `ttl_ms`, at once if that is 0.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`]. The change may have been
    /// made all the same.
    async fn announce(&self, dispatcher: DispatcherId, workers: Vec<WorkerInfo>, ttl_ms: u64) -> Result<()>;
    /// Returns the announced dispatchers and their workers.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn workers(&self) -> Result<Crew>;
}

/// Dispatchers and workers that use the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crew {
    /// Number of announced dispatchers, with or without workers.
    pub dispatchers: usize,
    /// Their workers, by age.
    pub workers: Vec<WorkerInfo>,
}

/// Worker as its dispatcher sees it. For display; no decision depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Id of one incarnation of the worker.
    pub id: WorkerId,
    /// Mode by which it receives attempts.
    pub mode: Mode,
    /// Name that the worker reports: its host's name and its process id.
    pub name: String,
    /// Its version of Fusebox.
    pub version: String,
    /// Number of runs that it can do at a time.
    pub slots: u32,
    /// Number of attempts that it holds.
    pub running: u32,
    /// Number of attempts that it has ended.
    pub ended: u64,
    /// Time at which it joined.
    pub joined_at: Millis,
    /// Time of its last message.
    pub seen_at: Millis,
    /// True while the worker drains and accepts no more attempts.
    pub draining: bool,
}
