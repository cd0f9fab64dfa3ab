//! Arguments and answers of the store's steps.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use fusebox_core::{
    dispatch::Mode,
    function::{FunctionVersion, Grants, RunLimits},
    id::{FunctionId, LeaseToken, ModuleDigest, TaskId, WorkerId},
    lifecycle::{Fence, Next},
    name::{FunctionName, TenantId},
    outcome::{Failure, Receipt},
    task::{Status, Task},
    time::Millis,
};
use serde::{Deserialize, Serialize};

/// Reference to a function within its tenant: by version id, or by name for the newest version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FunctionRef {
    /// One version.
    Id(FunctionId),
    /// The newest version of a name.
    Name(FunctionName),
}

/// Version to be registered, with a module that was checked and compiled.
#[derive(Clone, Debug)]
pub struct NewFunction {
    /// Id of the version.
    pub id: FunctionId,
    /// Tenant that owns the version.
    pub tenant: TenantId,
    /// Name of the function; registering a name again creates its next version.
    pub name: FunctionName,
    /// Digest of the module.
    pub module: ModuleDigest,
    /// Calling convention of the module.
    pub abi: fusebox_core::function::Abi,
    /// Limits of a run.
    pub limits: RunLimits,
    /// Capabilities granted to runs.
    pub grants: Grants,
    /// The tenant's limit of versions; at it, the answer is [`Registered::QuotaReached`].
    pub versions_max: u64,
    /// The tenant's limit of module bytes; beyond it, the answer is [`Registered::BytesReached`].
    pub module_bytes_max: u64,
}

/// Answer to a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registered {
    /// The version exists.
    Version(FunctionVersion),
    /// The tenant's limit of versions is reached.
    QuotaReached {
        /// The limit.
        max: u64,
    },
    /// The tenant's limit of module bytes would be exceeded.
    BytesReached {
        /// The limit, in bytes.
        max: u64,
    },
}

/// Request to lease attempts of one tenant to one worker.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    /// Tenant whose tasks are leased.
    pub tenant: TenantId,
    /// Worker that will run them.
    pub worker: WorkerId,
    /// Duration of each lease, in milliseconds.
    pub lease_ms: u64,
    /// Fresh tokens, one per attempt; their number is the largest number of attempts leased.
    pub tokens: Vec<LeaseToken>,
    /// True if the request is repeated because its answer was lost. Attempts that its tokens already hold are then
    /// returned first, at the cost of a scan of the latest leases.
    pub again: bool,
}

/// Leased attempt with everything needed to run it.
#[derive(Clone, Debug)]
pub struct LeasedTask {
    /// The task, in state RUNNING with its lease.
    pub task: Task,
    /// Input of the run.
    pub input: Bytes,
    /// Digest of the module to run.
    pub module: ModuleDigest,
    /// Name of the function, for the run's context.
    pub function_name: FunctionName,
    /// Capabilities granted to the function.
    pub grants: Grants,
}

/// Claim of a lease holder on one task.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Id of the task.
    pub task: TaskId,
    /// Attempt and token that prove the lease.
    pub fence: Fence,
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
    End {
        /// Cause of the failure.
        failure: Option<Failure>,
        /// Output of the run, or the guest's error bytes.
        output: Bytes,
        /// Log of the run, as far as it is kept.
        log: Bytes,
        /// Resources that the run used.
        receipt: Receipt,
    },
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

/// Answer to a lease renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beaten {
    /// The lease is renewed.
    Renewed,
    /// The lease is lost; the run must be stopped.
    Lost,
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

/// Task with its output.
#[derive(Clone, Debug)]
pub struct TaskResult {
    /// Record of the task.
    pub task: Task,
    /// Output, or the guest's error bytes; empty until the task has ended.
    pub output: Bytes,
}

/// Page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Rows of this page.
    pub items: Vec<T>,
    /// Cursor of the next page; `None` on the last.
    pub next: Option<String>,
}

/// Request for one page of a listing.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// `next` of the previous page; `None` for the first page.
    pub cursor: Option<String>,
    /// Largest number of rows, at most `PAGE_ROWS_MAX`.
    pub rows: u32,
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

/// Future that completes when something may have happened. A hint, so the caller reads the record again.
pub type Hint = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Future that completes when tasks may have become ready.
pub type ReadyHint = Pin<Box<dyn Future<Output = Ready> + Send>>;

/// Tasks that became ready. A hint: another dispatcher may have leased them, and events may have been missed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Additional ready tasks per tenant.
    pub more: Vec<(TenantId, u64)>,
    /// True if events may have been missed; the backlog then has the true numbers.
    pub missed: bool,
}
