//! Workers as their dispatchers report them.

use fusebox_core::dispatch::Mode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One incarnation of a worker.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkerView {
    /// Id of the incarnation, a UUID; a restarted worker has another.
    pub id: String,
    /// Delivery mode of its tasks: `local`, `push` or `pull`.
    #[schema(value_type = String)]
    pub mode: Mode,
    /// Display name: name of its host, and its process id.
    pub name: String,
    /// Version of Fusebox that it runs.
    pub version: String,
    /// Number of runs it can execute at a time.
    pub slots: u32,
    /// Number of attempts it holds.
    pub running: u32,
    /// Number of attempts it has ended.
    pub ended: u64,
    /// Time at which it joined.
    pub joined_at: String,
    /// Time of its last message.
    pub seen_at: String,
    /// True if it is shutting down and takes no more attempts.
    pub draining: bool,
}

/// Page of workers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Workers {
    /// Workers, sorted by id: the oldest first.
    pub items: Vec<WorkerView>,
    /// `cursor` of the next page; null on the last.
    #[serde(default)]
    pub next: Option<String>,
}
