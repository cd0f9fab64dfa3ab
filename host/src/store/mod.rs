//! Storage of functions, modules and tasks, and the queue that leases attempts.
//!
//! One trait, one conformance suite, several stores. The store owns the queue: it keeps ready indexes per tenant and
//! priority, and every step is atomic. It has no access to HTTP, workers' sockets or wasm.
//!
//! Every store guarantees:
//! * An answer is returned only after the change that it reports is durable.
//! * Records change only through `fusebox_core::lifecycle`.
//! * Every end of a task goes through one routine: record, time to live, counters, wake-up.
//! * Records of other tenants look absent.

use std::{future::Future, pin::Pin};

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    function::{FunctionVersion, Grants, RunLimits},
    id::{DispatcherId, FunctionId, LeaseToken, ModuleDigest, TaskId, WorkerId},
    lifecycle::{Fence, Next},
    name::{FunctionName, TenantId},
    outcome::{Failure, Receipt},
    task::{Status, Task},
    time::Millis,
};
use serde::{Deserialize, Serialize};

pub use fusebox_core::dispatch::Mode;

#[cfg(test)]
mod conformance;
pub mod embedded;
mod error;
mod fuel;
mod hints;
pub mod identity;
pub mod kv;
mod new_task;
mod options;
pub mod redis;

pub use fusebox_core::scope::Scope;

pub use self::{
    error::Error,
    fuel::Fuel,
    identity::{
        Acted, Acting, Denied, Identity, Key, KeyAdded, KeyId, KnownKey, NewKey, Replaced, SecretDigest, Tenant,
        TenantAdded,
    },
    new_task::{Accepted, Expects, NewTask},
    options::Options,
};

/// Result of a store's call.
pub type Result<T> = std::result::Result<T, Error>;

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

/// Store of functions, modules and tasks. See the module's documentation for its guarantees.
#[async_trait]
pub trait Store: Fuel + Identity + kv::Kv {
    /// Stores a function version and its module. Registering the same id again answers the version created before.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`]. The change may have been made
    /// all the same.
    /// [`Error::Unavailable`] also if another tenant has registered the id.
    async fn register(&self, new: NewFunction, module: Bytes) -> Result<Registered>;
    /// Returns one version.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`].
    async fn function(&self, tenant: &TenantId, function: &FunctionRef) -> Result<Option<FunctionVersion>>;
    /// Returns a cached, possibly stale version, if the store caches it. Set [`NewTask::expects`] so that `accept`
    /// revalidates it.
    fn remembered(&self, _tenant: &TenantId, _function: &FunctionRef) -> Option<FunctionVersion> {
        None
    }
    /// Returns the newest version of each name, sorted by name.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`].
    async fn functions(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<FunctionVersion>>;
    /// Returns the versions of a name, newest first.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`].
    async fn versions(
        &self,
        tenant: &TenantId,
        name: &FunctionName,
        page: &PageRequest,
    ) -> Result<Page<FunctionVersion>>;
    /// Deletes one version by id, or every version of a name, and returns true if there was one. Tasks accepted before
    /// still run.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`]. The change may have been made
    /// all the same.
    async fn delete_function(&self, tenant: &TenantId, function: &FunctionRef) -> Result<bool>;
    /// Returns a module's wasm bytes.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`].
    async fn module(&self, digest: &ModuleDigest) -> Result<Option<Bytes>>;

    /// Accepts tasks independently of each other; returns the answers in their order.
    ///
    /// # Errors
    /// Fails if nothing is known of any task, see [`Error`]; each may have been accepted. If some were answered, the
    /// others are [`Accepted::NoAnswer`] instead.
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
    /// Fails if the store cannot be reached, see [`Error`]. Attempts may have been leased all the same, so the caller
    /// must send the request again.
    async fn lease(&self, request: LeaseRequest) -> Result<Vec<LeasedTask>>;
    /// Renews leases for `lease_ms` from now; returns the answers in their order.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`]. The change may have been made
    /// all the same.
    async fn beat(&self, claims: Vec<Claim>, lease_ms: u64) -> Result<Vec<Beaten>>;
    /// Records reports; returns the answers in their order.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`]. The change may have been made
    /// all the same.
    async fn finish(&self, reports: Vec<Finish>) -> Result<Vec<Finished>>;
    /// Cancels a task.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`]. The change may have been made
    /// all the same.
    async fn cancel(&self, tenant: &TenantId, task: TaskId) -> Result<Cancelled>;
    /// Performs the work that is due: lapses leases, promotes delayed tasks, expires queued ones, purges ended ones.
    /// The work per call is bounded.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`]. The change may have been made
    /// all the same.
    async fn tick(&self) -> Result<Ticked>;

    /// Returns a task.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`].
    async fn task(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Task>>;
    /// Returns a task and its output.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`].
    async fn result(&self, tenant: &TenantId, task: TaskId) -> Result<Option<TaskResult>>;
    /// Returns the log of a task's last attempt; empty until the task has ended.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`].
    async fn log(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Bytes>>;
    /// Returns a task's input. It is kept until the task ends, and for a dead letter as long as its record.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`].
    async fn input(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Bytes>>;
    /// Returns a tenant's dead letters, most recent failure first: tasks that FAILED and were not cancelled.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`].
    async fn dead_letters(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Task>>;
    /// Returns a tenant's tasks, newest first.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`].
    async fn tasks(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Task>>;
    /// Returns the numbers of queued and running tasks, for each tenant that has any.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`].
    async fn backlog(&self) -> Result<Vec<Backlog>>;

    /// Announces a dispatcher and its workers, which may be none. Replaces its previous announcement and expires after
    /// `ttl_ms`, at once if that is 0.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`]. The change may have been made
    /// all the same.
    async fn announce(&self, dispatcher: DispatcherId, workers: Vec<WorkerInfo>, ttl_ms: u64) -> Result<()>;
    /// Returns the announced dispatchers and their workers.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`].
    async fn workers(&self) -> Result<Crew>;

    /// Returns a hint that completes when the task may have started, been queued again or ended. The hint is registered
    /// before this returns.
    fn changed_hint(&self, task: TaskId) -> Hint;
    /// Returns a hint that completes when the task may have ended. The hint is registered before this returns, so read
    /// the record after calling this.
    fn ended_hint(&self, task: TaskId) -> Hint;
    /// Returns a hint that completes when tasks may have become ready since the last such hint completed; of several
    /// waiters, one is notified.
    fn ready_hint(&self) -> ReadyHint;
    /// Subscribes to the ids of tasks cancelled while they ran. A hint: a receiver that lags behind learns of the
    /// cancellation at the next lease renewal.
    fn cancellations(&self) -> tokio::sync::broadcast::Receiver<TaskId>;
    /// Checks that the store answers.
    ///
    /// # Errors
    /// Fails if it does not, see [`Error`].
    async fn check(&self) -> Result<()>;
    /// Returns the store's time, used by every step.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`].
    async fn now(&self) -> Result<Millis>;
}
