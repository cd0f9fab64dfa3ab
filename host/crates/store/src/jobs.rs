//! Jobs: acts on many tasks, which nodes perform in the background, page by page. A node holds a job while it works on it; one
//! that is no longer held is taken over by any node, from the page that was saved last. Every act can be repeated.

use async_trait::async_trait;
use fusebox_core::{id::JobId, name::TenantId, selection::Selection, time::Millis};
use serde::{Deserialize, Serialize};

use crate::Result;

/// Acts on many tasks that a tenant has under way at a time; others wait until one has ended.
pub const JOBS_OPEN_MAX: usize = 4;
/// Acts on many tasks that are kept of a tenant, ended ones included: the latest, about 1 KiB each.
pub const JOBS_KEPT_MAX: usize = 100;

/// Jobs of tenants.
#[async_trait]
pub trait Jobs: Send + Sync + 'static {
    /// Adds a job, unless its tenant has `open_max` jobs that are open. Of those that have ended, the latest are kept:
    /// [`JOBS_KEPT_MAX`] in all. Repeated, it changes nothing.
    ///
    /// # Errors
    /// Fails if the store cannot be reached, see [`crate::Error`]. The job may have been added all the same.
    async fn add_job(&self, job: Job, open_max: usize) -> Result<JobAdded>;
    /// Returns a job.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn job(&self, tenant: &TenantId, job: JobId) -> Result<Option<Job>>;
    /// Returns a tenant's jobs, the latest first.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn jobs(&self, tenant: &TenantId) -> Result<Vec<Job>>;
    /// Holds open jobs that nobody holds, at most `max`, for `hold_ms`, and returns them.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn take_jobs(&self, max: usize, hold_ms: u64) -> Result<Vec<Job>>;
    /// Replaces the record of a job and holds it for `hold_ms` from now on; one that is not open any more is let go. Returns
    /// false, and changes nothing, if another caller has taken it since or it is not open: the caller must leave it alone.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`]. The change may have been
    /// made all the same.
    async fn save_job(&self, job: Job, hold_ms: u64) -> Result<bool>;
    /// Stops a job that is open, and returns it; `None` if there is no such job.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`]. The change may have been
    /// made all the same.
    async fn stop_job(&self, tenant: &TenantId, job: JobId) -> Result<Option<Job>>;
}

/// Act on many tasks. Stores encode it as JSON, which may get more fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Id, chosen by the caller so that the step can be sent again.
    pub id: JobId,
    /// Tenant that owns the tasks.
    pub tenant: TenantId,
    /// Act.
    pub act: Act,
    /// Filter as the client gave it, as JSON; for display.
    pub filter: String,
    /// Tasks, of which none was accepted after the job.
    pub selection: Selection,
    /// Cursor of the next page of tasks; `None` at the beginning.
    pub cursor: Option<String>,
    /// Number of tasks that were changed.
    pub changed: u64,
    /// Number of tasks that were left as they were, since the act does not apply to them.
    pub skipped: u64,
    /// Time of its acceptance.
    pub created_at: Millis,
    /// Time of its end.
    pub ended_at: Option<Millis>,
    /// State.
    pub state: JobState,
    /// Number of callers that have taken it: the latest may save it.
    #[serde(default)]
    pub starts: u64,
}

/// Act of a job on each of its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// Cancels it.
    Cancel,
    /// Replays it, if it is a dead letter, once.
    Retry,
    /// Deletes it, if it has ended.
    Delete,
}

impl Act {
    /// Returns the word used on every surface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Delete => "delete",
        }
    }
}

/// State of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It goes on.
    Open,
    /// It has looked at every task.
    Done,
    /// A client has stopped it.
    Stopped,
    /// It cannot go on, for this reason.
    Failed(String),
}

/// Answer to a new job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobAdded {
    /// The job is durable.
    Added,
    /// The tenant has as many open jobs as it may.
    TooMany,
    /// The tenant is being deleted, or was deleted.
    NoTenant,
}

impl Job {
    /// Returns true if it goes on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == JobState::Open
    }
}
