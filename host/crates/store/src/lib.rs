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

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    function::FunctionVersion,
    id::{DispatcherId, ModuleDigest, TaskId},
    name::{FunctionName, TenantId},
    task::Task,
    time::Millis,
};

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
mod steps;

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
    steps::{
        Backlog, Beaten, Cancelled, Claim, Crew, Finish, Finished, FunctionRef, Hint, LeaseRequest, LeasedTask,
        NewFunction, Page, PageRequest, Ready, ReadyHint, Registered, TaskResult, Ticked, Verdict, WorkerInfo,
    },
};

/// Result of a store's call.
pub type Result<T> = std::result::Result<T, Error>;

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
