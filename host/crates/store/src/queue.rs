//! The queue: tasks are accepted, leased by attempts, and ended.

use async_trait::async_trait;
use fusebox_core::{
    id::{DispatcherId, FunctionId, LeaseToken, TaskId, WorkerId},
    invocation::Invocation,
    lifecycle::{Fence, Next},
    name::TenantId,
    outcome::Ended,
    task::{Status, Task},
};

use crate::{Accepted, NewTask, Result};

/// Queue of tasks. Every change of a task is one of these steps.
#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// Accepts tasks independently of each other; returns the answers in their order.
    ///
    /// # Errors
    /// Fails if nothing is known of any task, see [`crate::Error`]; each may have been accepted. If some were answered,
    /// the others are [`Accepted::NoAnswer`] instead.
    async fn accept(&self, tasks: Vec<NewTask>) -> Result<Vec<Accepted>>;
    /// Accepts replays of dead letters independently of each other; returns the answers in their order. The store
    /// copies each input from the dead letter named by `retry_of`, only if the replay is new; `NewTask::input` is
    /// ignored. The replay's id must share the letter's partition, see [`TaskId::beside`].
    ///
    /// # Errors
    /// As [`Self::accept`].
    async fn replay(&self, tasks: Vec<NewTask>) -> Result<Vec<Accepted>>;
    /// Leases the first due tasks of a tenant: highest priority first, then oldest first.
    ///
    /// A request is identified by its tokens. Sent with `again`, it returns the attempts that its tokens hold, extended
    /// to a full new lease without using up another attempt, and leases more under the tokens that hold none.
    ///
    /// # Errors
    /// Fails if the store cannot be reached, see [`crate::Error`]. Attempts may have been leased all the same, so the
    /// caller must send the request again.
    async fn lease(&self, request: LeaseRequest) -> Result<Vec<LeasedTask>>;
    /// Renews leases for `lease_ms` from now; returns the answers in their order.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`]. The change may have been
    /// made all the same.
    async fn renew(&self, claims: Vec<Claim>, lease_ms: u64) -> Result<Vec<Renewal>>;
    /// Records reports; returns the answers in their order.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`]. The change may have been
    /// made all the same.
    async fn finish(&self, reports: Vec<Finish>) -> Result<Vec<Finished>>;
    /// Cancels a task.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`]. The change may have been
    /// made all the same.
    async fn cancel(&self, tenant: &TenantId, task: TaskId) -> Result<Cancelled>;
    /// Deletes ended tasks with their inputs, outputs, logs and index entries, independently of each other; returns the
    /// answers in their order. An id is free again afterwards, so a request with the idempotency key of a purged task
    /// is a new one.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`]. The change may have been
    /// made all the same.
    async fn purge(&self, tasks: Vec<(TenantId, TaskId)>) -> Result<Vec<Purged>>;
    /// Performs the work that is due: lapses leases, promotes delayed tasks, expires queued ones, purges ended ones.
    /// The work per call is bounded.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`]. The change may have been
    /// made all the same.
    async fn tick(&self) -> Result<Ticked>;
    /// Returns the numbers of queued and running tasks, for each tenant that has any.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn backlog(&self) -> Result<Vec<Backlog>>;
    /// Returns the number of a version's tasks that have not ended.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn unfinished(&self, tenant: &TenantId, function: FunctionId) -> Result<u64>;
}

/// Request to lease attempts of one tenant to one worker.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    /// Tenant whose tasks are leased.
    pub tenant: TenantId,
    /// Worker that will run them.
    pub worker: WorkerId,
    /// Dispatcher that asks; for display.
    pub dispatcher: DispatcherId,
    /// Duration of each lease, in milliseconds.
    pub lease_ms: u64,
    /// Fresh tokens, one per attempt; their number is the largest number of attempts leased.
    pub tokens: Vec<LeaseToken>,
    /// True if the request is repeated because its answer was lost. Attempts that its tokens already hold are then
    /// returned first, at the cost of a scan of the latest leases.
    pub again: bool,
}

/// Leased attempt.
#[derive(Clone, Debug)]
pub struct LeasedTask {
    /// The task, in state RUNNING with its lease.
    pub task: Task,
    /// The run.
    pub invocation: Invocation,
}

/// Claim of a lease holder on one task.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Id of the task.
    pub task: TaskId,
    /// Attempt and token that prove the lease.
    pub fence: Fence,
}

/// Answer to a lease renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease is renewed.
    Renewed,
    /// The lease is lost; the run must be stopped.
    Lost,
}

/// Report that an attempt is over.
#[derive(Clone, Debug)]
pub struct Finish {
    /// Task and lease that the report is about.
    pub claim: Claim,
    /// Outcome to record.
    pub verdict: Verdict,
}

/// Outcome of an attempt.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every report is an end")]
pub enum Verdict {
    /// The task ends: COMPLETED without a failure, FAILED with one.
    End(Ended),
    /// The attempt was lost to infrastructure: the task is queued again if an attempt is left.
    Retry {
        /// Delay before the next attempt, in milliseconds.
        delay_ms: u64,
    },
    /// The attempt was not used and is returned (drain).
    Release,
}

/// Answer to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The end is recorded.
    Ended(Status),
    /// The task is queued for another attempt.
    Requeued,
    /// The same report was recorded before.
    Duplicate,
    /// The attempt is not the current one, or the task has ended or does not exist. Nothing changed.
    Stale,
}

/// Answer to a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The task is FAILED as cancelled. If it was running, its worker must stop the run.
    Cancelled {
        /// Worker that held the lease, if any.
        worker: Option<WorkerId>,
    },
    /// The task had ended before.
    Ended(Status),
    /// The task does not exist.
    NotFound,
}

/// Answer to a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purged {
    /// The task is gone.
    Purged,
    /// The task has not ended; nothing changed.
    NotEnded(Status),
    /// The task does not exist.
    NotFound,
}

/// Work done by one tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Tasks whose lease expired, with their next state.
    pub lapsed: Vec<(TaskId, Next)>,
    /// Number of delayed tasks that became due.
    pub promoted: u64,
    /// Number of queued tasks that expired.
    pub expired: u64,
    /// Number of ended tasks removed after their time to live.
    pub purged: u64,
}

/// Number of unfinished tasks of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Tenant that owns the tasks.
    pub tenant: TenantId,
    /// Number of tasks that may be leased now.
    pub ready: u64,
    /// Number of tasks that are delayed.
    pub delayed: u64,
    /// Number of leased attempts.
    pub running: u64,
}
