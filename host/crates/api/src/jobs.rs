//! Jobs: acts on many tasks, in the background. Times are RFC 3339 in UTC.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::filter::TaskFilter;

/// Act on many tasks.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Id of the job, a UUID.
    pub id: String,
    /// `cancel`, `retry` or `delete`.
    pub act: String,
    /// `running`, `done`, `stopped` or `failed`.
    pub status: String,
    /// Filter of the tasks. None was accepted after the job.
    pub filter: TaskFilter,
    /// Number of tasks that were cancelled, retried or deleted so far.
    pub changed: u64,
    /// Number of tasks that were left as they were, since the act does not apply to them.
    pub skipped: u64,
    /// Time of its acceptance.
    pub created_at: String,
    /// Time of its end.
    pub ended_at: Option<String>,
    /// Reason for which it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Page of jobs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobPage {
    /// Jobs, sorted by id: the earliest first.
    pub items: Vec<JobView>,
    /// The `cursor` of the next page; null on the last.
    pub next: Option<String>,
}

impl JobView {
    /// Returns true if the job goes on.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.status == "running"
    }
}
