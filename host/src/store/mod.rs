//! Where functions, modules and tasks are kept, and who may run which attempt.
//!
//! One trait, one conformance suite, several stores. The store owns the queue: it keeps ready indexes per tenant and
//! priority, and every step here is atomic. It knows nothing of HTTP, sockets to workers, or wasm.
//!
//! Rules that every store keeps:
//! * An answer is given only after what it promises is durable.
//! * Records change only through `fusebox_core::lifecycle`.
//! * Each way a task can end goes through one routine: record, time to live, counters, wake-up.
//! * Another tenant's records look absent.

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

/// What a store answers.
pub type Result<T> = std::result::Result<T, Error>;

/// Names a function within its tenant: by version id, or by name for the newest version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FunctionRef {
    /// One version.
    Id(FunctionId),
    /// The newest version of a name.
    Name(FunctionName),
}

/// A registration whose module has been checked and compiled.
#[derive(Clone, Debug)]
pub struct NewFunction {
    /// The version's id.
    pub id: FunctionId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name; registering a name again makes the next version.
    pub name: FunctionName,
    /// The module's digest.
    pub module: ModuleDigest,
    /// How the module is called.
    pub abi: fusebox_core::function::Abi,
    /// What a run may use.
    pub limits: RunLimits,
    /// What it may ask the host for.
    pub grants: Grants,
    /// Refused where its tenant has so many versions.
    pub versions_max: u64,
    /// Refused where its tenant's modules would have more bytes together.
    pub module_bytes_max: u64,
}

/// The answer to a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registered {
    /// The new version.
    Version(FunctionVersion),
    /// The tenant has as many versions as it may have.
    QuotaReached {
        /// The most it may have.
        max: u64,
    },
    /// The tenant's modules would have more bytes than they may.
    BytesReached {
        /// The most they may have.
        max: u64,
    },
}

/// Leases attempts of one tenant to one worker.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    /// Whose tasks.
    pub tenant: TenantId,
    /// Who will run them.
    pub worker: WorkerId,
    /// How long each lease lasts unless renewed, in milliseconds.
    pub lease_ms: u64,
    /// One fresh token an attempt; their number is the most attempts to lease.
    pub tokens: Vec<LeaseToken>,
    /// Whether this is sent again because its answer was lost: what its tokens hold is then given first, which costs a
    /// look through the latest leases.
    pub again: bool,
}

/// One leased attempt and all that is needed to run it.
#[derive(Clone, Debug)]
pub struct LeasedTask {
    /// The task, in state RUNNING with its lease.
    pub task: Task,
    /// The input.
    pub input: Bytes,
    /// The module to run.
    pub module: ModuleDigest,
    /// The function's name, for the run's context.
    pub function_name: FunctionName,
    /// What the function was granted.
    pub grants: Grants,
}

/// A lease holder's claim about one task.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The task.
    pub task: TaskId,
    /// Proves that the lease is held.
    pub fence: Fence,
}

/// A report that an attempt is over.
#[derive(Clone, Debug)]
pub struct Finish {
    /// Who reports on what.
    pub claim: Claim,
    /// What to record.
    pub verdict: Verdict,
}

/// What to record of an attempt that is over.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every report is an end")]
pub enum Verdict {
    /// The task ends: COMPLETED without a failure, FAILED with one.
    End {
        /// Why it failed.
        failure: Option<Failure>,
        /// The output, or the guest's error bytes.
        output: Bytes,
        /// The log kept.
        log: Bytes,
        /// What the run used.
        receipt: Receipt,
    },
    /// The attempt was lost to infrastructure: try again after this many milliseconds, if an attempt is left.
    Retry {
        /// The delay.
        delay_ms: u64,
    },
    /// The attempt is given back unspent (drain).
    Release,
}

/// The answer to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The end is recorded.
    Ended(Status),
    /// The task waits for another attempt.
    Requeued,
    /// This very report was recorded before.
    Duplicate,
    /// The attempt is not the current one, or the task has ended or is gone. Nothing changed.
    Stale,
}

/// The answer to a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beaten {
    /// The lease is renewed.
    Renewed,
    /// The lease is lost: stop the run.
    Lost,
}

/// The answer to a cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The task is FAILED as cancelled. If it ran, its worker should be told to stop.
    Cancelled {
        /// Who ran it.
        worker: Option<WorkerId>,
    },
    /// It had ended before.
    Ended(Status),
    /// There is no such task.
    NotFound,
}

/// What one tick did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Tasks whose lease ran out, and what became of them.
    pub lapsed: Vec<(TaskId, Next)>,
    /// Delayed tasks that became due.
    pub promoted: u64,
    /// Waiting tasks that expired.
    pub expired: u64,
    /// Ended tasks removed after their time to live.
    pub purged: u64,
}

/// What waits of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The tenant.
    pub tenant: TenantId,
    /// Tasks that may be leased now.
    pub ready: u64,
    /// Tasks that wait for their time.
    pub delayed: u64,
    /// Leased attempts.
    pub running: u64,
}

/// An ended task with its bytes.
#[derive(Clone, Debug)]
pub struct TaskResult {
    /// The task.
    pub task: Task,
    /// The output or the guest's error bytes; empty until the task has ended.
    pub output: Bytes,
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page starts; `None` on the last.
    pub next: Option<String>,
}

/// Which page of a listing.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// The `next` of the page before.
    pub cursor: Option<String>,
    /// The most rows, at most `PAGE_ROWS_MAX`.
    pub rows: u32,
}

/// The dispatchers and workers on a store's tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crew {
    /// Dispatchers that announced themselves, with or without workers.
    pub dispatchers: usize,
    /// Their workers, by age.
    pub workers: Vec<WorkerInfo>,
}

/// A worker as its dispatcher sees it. For people and their tools; nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Names the worker: one incarnation of it.
    pub id: WorkerId,
    /// How it gets its attempts.
    pub mode: Mode,
    /// What it calls itself: its host's name and its process.
    pub name: String,
    /// Its version of Fusebox.
    pub version: String,
    /// Runs that it can do at a time.
    pub slots: u32,
    /// Attempts that it holds.
    pub running: u32,
    /// Attempts that it has ended.
    pub ended: u64,
    /// When it joined.
    pub joined_at: Millis,
    /// When it was last heard of.
    pub seen_at: Millis,
    /// Whether it ends and takes nothing more.
    pub draining: bool,
}

/// A future that ends when something has happened; a hint, so the caller reads the record again.
pub type Hint = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Ends when tasks may have become ready.
pub type ReadyHint = Pin<Box<dyn Future<Output = Ready> + Send>>;

/// What has become ready. Hints only: another dispatcher may have leased it, and some may not have been heard of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// How many more tasks, of which tenants.
    pub more: Vec<(TenantId, u64)>,
    /// Something may not have been heard: the backlog knows.
    pub missed: bool,
}

/// See the module's documentation.
#[async_trait]
pub trait Store: Fuel + Identity + kv::Kv {
    /// Keeps a function version and its module. The same id again answers the version it made before.
    async fn register(&self, new: NewFunction, module: Bytes) -> Result<Registered>;
    /// One version.
    async fn function(&self, tenant: &TenantId, function: &FunctionRef) -> Result<Option<FunctionVersion>>;
    /// A version as it was a moment ago, where the store remembers it: what is accepted for it must expect it.
    fn remembered(&self, _tenant: &TenantId, _function: &FunctionRef) -> Option<FunctionVersion> {
        None
    }
    /// The newest version of each name, by name.
    async fn functions(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<FunctionVersion>>;
    /// The versions of a name, newest first.
    async fn versions(
        &self,
        tenant: &TenantId,
        name: &FunctionName,
        page: &PageRequest,
    ) -> Result<Page<FunctionVersion>>;
    /// Removes one version by id, or every version of a name. Whether there was one. Tasks accepted before still run.
    async fn delete_function(&self, tenant: &TenantId, function: &FunctionRef) -> Result<bool>;
    /// A module's wasm bytes.
    async fn module(&self, digest: &ModuleDigest) -> Result<Option<Bytes>>;

    /// Accepts tasks, each on its own; answers in their order. An error says that nothing is known of any; where some were
    /// answered, the others are [`Accepted::NoAnswer`].
    async fn accept(&self, tasks: Vec<NewTask>) -> Result<Vec<Accepted>>;
    /// Accepts tasks as other tries of dead letters, each on its own; answers in their order. Each has the input of the task
    /// that its `retry_of` names, which the store copies within itself, and only where the try is new; its own is not
    /// looked at. Its id must lie beside the letter's, see [`TaskId::beside`].
    async fn replay(&self, tasks: Vec<NewTask>) -> Result<Vec<Accepted>>;
    /// Leases the first due tasks of a tenant: highest priority first, then oldest first.
    ///
    /// A request is known by its tokens. Sent `again`, it is answered with the attempts that its tokens hold, for as long
    /// as a new lease lasts and without another attempt spent, and with more under the tokens that hold none. Any error
    /// may come after some or all was leased: whoever gets one sends the request again.
    async fn lease(&self, request: LeaseRequest) -> Result<Vec<LeasedTask>>;
    /// Renews leases for `lease_ms` from now; answers in their order.
    async fn beat(&self, claims: Vec<Claim>, lease_ms: u64) -> Result<Vec<Beaten>>;
    /// Records reports; answers in their order.
    async fn finish(&self, reports: Vec<Finish>) -> Result<Vec<Finished>>;
    /// Cancels a task.
    async fn cancel(&self, tenant: &TenantId, task: TaskId) -> Result<Cancelled>;
    /// Does what time asks for: lapses leases, promotes delayed tasks, expires waiting ones, purges ended ones. Bounded
    /// work a call.
    async fn tick(&self) -> Result<Ticked>;

    /// A task.
    async fn task(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Task>>;
    /// A task and its output.
    async fn result(&self, tenant: &TenantId, task: TaskId) -> Result<Option<TaskResult>>;
    /// The log kept of a task's last attempt; empty until it has ended.
    async fn log(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Bytes>>;
    /// A task's input; kept until the task ends, and of a dead letter for as long as its record.
    async fn input(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Bytes>>;
    /// A tenant's dead letters, the latest to fail first: tasks that FAILED and were not cancelled.
    async fn dead_letters(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Task>>;
    /// A tenant's tasks, newest first.
    async fn tasks(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Task>>;
    /// What waits and runs, of each tenant that has anything.
    async fn backlog(&self) -> Result<Vec<Backlog>>;

    /// Says who works for a dispatcher, nobody too; replaces what it said before, and is forgotten after `ttl_ms`, with 0
    /// at once.
    async fn announce(&self, dispatcher: DispatcherId, workers: Vec<WorkerInfo>, ttl_ms: u64) -> Result<()>;
    /// Who works for any dispatcher.
    async fn workers(&self) -> Result<Crew>;

    /// Ends when the task may have started, be waiting again or have ended. Registered before it returns.
    fn changed_hint(&self, task: TaskId) -> Hint;
    /// Ends when the task may have ended. Registered before it returns, so read the record after calling this.
    fn ended_hint(&self, task: TaskId) -> Hint;
    /// Ends when tasks may have become ready since the last such hint ended; of several who wait, one is told.
    fn ready_hint(&self) -> ReadyHint;
    /// Ids of tasks cancelled while they ran; a hint: who lags behind learns from the next beat.
    fn cancellations(&self) -> tokio::sync::broadcast::Receiver<TaskId>;
    /// Whether the store answers.
    async fn check(&self) -> Result<()>;
    /// The store's time, by which every step decides.
    async fn now(&self) -> Result<Millis>;
}
