//! The store in Redis 7.0 or newer: one server, the master of a Sentinel setup, or a Cluster, shared by any number of
//! hosts. Each step is one call of a Lua function, during which Redis performs no other command.
//!
//! | file | holds |
//! |---|---|
//! | `address`, `access`, `client` | the URL, the other settings of a connection, and the client made from both |
//! | `link`, `sentinel`, `errors` | the connection: reopened after a loss, and never waited for without a bound |
//! | `mark` | detection of a store that lost its data |
//! | `server`, `permissions` | checks of the server and of its user's permissions |
//! | `keys`, `records`, `versions` | every name in Redis, and the encoding of tasks and function versions |
//! | `library` | the functions that Redis performs, in Lua; start with `library/common.lua` |
//! | `caller`, `batches`, `answers` | calls of those functions, split by size |
//! | `gather`, `memory` | savings of work: tasks of many callers in one call, and cached versions |
//! | `accept`, `lease`, `report`, `functions`, `fuel`, `identity`, `kv`, `reads`, `workers` | code of each call |
//! | `audit` | comparison of the records with the indexes |
//! | `pubsub` | wake-ups |
//!
//! Unlike the other stores, this one can lose accepted tasks when a master fails over to a replica that lagged behind.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    function::FunctionVersion,
    id::{DispatcherId, ModuleDigest, TaskId},
    name::{FunctionName, TenantId},
    task::Task,
    time::Millis,
};

use self::{
    accept::Counted,
    address::{Address, Kind},
    audit::Audit,
    caller::Caller,
    gather::Gather,
    keys::Layout,
    link::{Link, Patience},
    memory::Memory,
    pubsub::PubSub,
};
use crate::{
    Accepted, Backlog, Beaten, Cancelled, Claim, Crew, Error, Finish, Finished, FunctionRef, Hint, LeaseRequest,
    LeasedTask, NewFunction, NewTask, Options, Page, PageRequest, ReadyHint, Registered, Result, Store, TaskResult,
    Ticked, WorkerInfo,
};
use fusebox_system::clock::Clock;

mod accept;
mod access;
mod address;
mod answers;
mod audit;
mod batches;
mod caller;
mod client;
mod errors;
mod fuel;
mod functions;
mod gather;
mod identity;
mod keys;
mod kv;
mod lease;
mod library;
mod link;
mod mark;
mod memory;
mod permissions;
mod pubsub;
mod reads;
mod records;
mod report;
mod sentinel;
mod server;
#[cfg(test)]
mod tests;
mod versions;
mod workers;

pub use self::{
    access::{Access, Prefix},
    audit::Audited,
    server::Examined,
};

/// Store in Redis. See the module's documentation.
pub struct RedisStore {
    caller: Arc<Caller>,
    pubsub: PubSub,
    counted: Arc<Counted>,
    /// `None` on a Cluster, where a partition that does not answer must not delay the others.
    gather: Option<Gather>,
    memory: Memory,
    audit: Audit,
}

impl RedisStore {
    /// Returns true if `text` is a URL of this store.
    #[must_use]
    pub fn is_url(text: &str) -> bool {
        address::is_url(text)
    }

    /// Returns a URL without its credentials.
    #[must_use]
    pub fn shown(url: &str) -> String {
        address::shown(url)
    }

    /// Connects to the Redis at a URL: `redis://host:port`, `unix:///path`,
    /// `redis+sentinel://host:port,host:port/service` or `redis+cluster://host:port,host:port`.
    ///
    /// # Errors
    /// [`Error::Address`] if the URL is invalid, [`Error::Unreachable`] if nothing answers there, [`Error::Refused`] if
    /// a retry cannot succeed, [`Error::WrongVersion`] if the server is too old, and the errors of every step.
    pub async fn connect(url: &str, access: Access, options: Options) -> Result<Self> {
        Self::connect_with(url, access, options, Patience::default(), None).await
    }

    /// Reads the version and settings of the Redis at a URL. Writes nothing there: no key, and no library.
    ///
    /// # Errors
    /// As [`RedisStore::connect`].
    pub async fn examine(url: &str, access: Access) -> Result<Examined> {
        let (_, caller) = reach(url, access, Options::default(), Patience::default(), None).await?;
        server::examine(&caller).await
    }

    async fn connect_with(
        url: &str,
        access: Access,
        options: Options,
        patience: Patience,
        clock: Option<Clock>,
    ) -> Result<Self> {
        let (address, caller) = reach(url, access, options, patience, clock).await?;
        let layout = caller.layout();
        server::check(&caller).await?;
        permissions::check(&caller, &address).await?;
        caller.begin().await?;
        let pubsub = PubSub::start(address, patience);
        // Without wake-ups tasks still run, only later: no reason to refuse to start.
        let _ = tokio::time::timeout(patience.answer, pubsub.listening()).await;
        let audit = Audit::new(&caller);
        let (caller, counted) = (Arc::new(caller), Arc::new(Counted::default()));
        let gather = (!layout.is_partitioned()).then(|| Gather::start(caller.clone(), counted.clone()));
        Ok(Self { caller, pubsub, counted, gather, memory: Memory::new(), audit })
    }

    /// Compares every record with the indexes, and restores missing entries. Each tick does a part of this.
    ///
    /// # Errors
    /// Fails if the store cannot be reached, see [`Error`].
    pub async fn audit(&self) -> Result<Audited> {
        self.audit.all(&self.caller).await
    }
}

/// Connects without making a call.
async fn reach(
    url: &str,
    access: Access,
    options: Options,
    patience: Patience,
    clock: Option<Clock>,
) -> Result<(Address, Caller)> {
    let address = Address::parse(url, access)?;
    let prefix = address.access.prefix;
    let layout = match address.kind {
        Kind::Node | Kind::Sentinel { .. } => Layout::whole(prefix),
        Kind::Cluster => Layout::partitioned(prefix),
    };
    let link = Link::new(address.clone(), layout.shared().store(), patience);
    link.connect().await.map_err(|error| unreachable(&address, error))?;
    let caller = Caller::new(link, layout, &address, options, clock);
    Ok((address, caller))
}

fn unreachable(address: &Address, error: Error) -> Error {
    let Error::Unavailable(reason) = error else { return error };
    let address = address.to_string();
    let reason = match reason.strip_prefix(&format!("Redis at {address} ")) {
        Some(rest) => format!("it {rest}"),
        None => reason,
    };
    Error::Unreachable { address, reason }
}

/// Returns the answers if there is any, with [`Accepted::NoAnswer`] in place of errors; otherwise the first error.
fn some_answers(answers: Vec<Result<Accepted>>) -> Result<Vec<Accepted>> {
    let failed = answers.iter().find_map(|answer| answer.as_ref().err());
    match failed {
        Some(error) if answers.iter().all(Result::is_err) => Err(error.clone()),
        Some(error) => {
            tracing::warn!(%error, "a part of a batch was accepted, and of the rest nothing is known");
            Ok(answers.into_iter().map(|answer| answer.unwrap_or(Accepted::NoAnswer)).collect())
        }
        None => answers.into_iter().collect(),
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn register(&self, new: NewFunction, module: Bytes) -> Result<Registered> {
        functions::register(&self.caller, &new, &module).await
    }

    async fn function(&self, tenant: &TenantId, function: &FunctionRef) -> Result<Option<FunctionVersion>> {
        let found = functions::function(&self.caller, tenant, function).await?;
        self.memory.read(tenant, function, found.as_ref());
        Ok(found)
    }

    fn remembered(&self, tenant: &TenantId, function: &FunctionRef) -> Option<FunctionVersion> {
        // On a Cluster a task and its function are in different places, so no step can check both.
        self.gather.as_ref().and_then(|_| self.memory.get(tenant, function))
    }

    async fn functions(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<FunctionVersion>> {
        functions::functions(&self.caller, tenant, page).await
    }

    async fn versions(
        &self,
        tenant: &TenantId,
        name: &FunctionName,
        page: &PageRequest,
    ) -> Result<Page<FunctionVersion>> {
        functions::versions(&self.caller, tenant, name, page).await
    }

    async fn delete_function(&self, tenant: &TenantId, function: &FunctionRef) -> Result<bool> {
        functions::delete(&self.caller, tenant, function).await
    }

    async fn module(&self, digest: &ModuleDigest) -> Result<Option<Bytes>> {
        functions::module(&self.caller, digest).await
    }

    async fn accept(&self, mut tasks: Vec<NewTask>) -> Result<Vec<Accepted>> {
        if let (Some(gather), 1) = (&self.gather, tasks.len())
            && let Some(task) = tasks.pop()
        {
            return Ok(vec![gather.accept(task).await?]);
        }
        some_answers(accept::accept(&self.caller, &self.counted, &tasks).await?)
    }

    async fn replay(&self, tasks: Vec<NewTask>) -> Result<Vec<Accepted>> {
        some_answers(accept::replay(&self.caller, &self.counted, &tasks).await?)
    }

    async fn lease(&self, request: LeaseRequest) -> Result<Vec<LeasedTask>> {
        lease::lease(&self.caller, &self.memory, request).await
    }

    async fn beat(&self, claims: Vec<Claim>, lease_ms: u64) -> Result<Vec<Beaten>> {
        report::beat(&self.caller, &claims, lease_ms).await
    }

    async fn finish(&self, reports: Vec<Finish>) -> Result<Vec<Finished>> {
        report::finish(&self.caller, &reports).await
    }

    async fn cancel(&self, tenant: &TenantId, task: TaskId) -> Result<Cancelled> {
        report::cancel(&self.caller, tenant, task).await
    }

    async fn tick(&self) -> Result<Ticked> {
        let ticked = report::tick(&self.caller).await?;
        self.audit.step(&self.caller).await?;
        Ok(ticked)
    }

    async fn task(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Task>> {
        reads::task(&self.caller, tenant, task).await
    }

    async fn result(&self, tenant: &TenantId, task: TaskId) -> Result<Option<TaskResult>> {
        reads::result(&self.caller, tenant, task).await
    }

    async fn log(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Bytes>> {
        reads::bytes(&self.caller, tenant, task, "log").await
    }

    async fn input(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Bytes>> {
        reads::bytes(&self.caller, tenant, task, "param_payload").await
    }

    async fn dead_letters(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Task>> {
        reads::page(&self.caller, keys::DEAD, tenant, page).await
    }

    async fn tasks(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Task>> {
        reads::page(&self.caller, keys::TASKS, tenant, page).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>> {
        reads::backlog(&self.caller).await
    }

    async fn announce(&self, dispatcher: DispatcherId, workers: Vec<WorkerInfo>, ttl_ms: u64) -> Result<()> {
        workers::announce(&self.caller, dispatcher, &workers, ttl_ms).await
    }

    async fn workers(&self) -> Result<Crew> {
        workers::workers(&self.caller).await
    }

    fn changed_hint(&self, task: TaskId) -> Hint {
        self.pubsub.hints().changed(task)
    }

    fn ended_hint(&self, task: TaskId) -> Hint {
        self.pubsub.hints().ended(task)
    }

    fn ready_hint(&self) -> ReadyHint {
        self.pubsub.hints().ready()
    }

    fn cancellations(&self) -> tokio::sync::broadcast::Receiver<TaskId> {
        self.pubsub.hints().cancellations()
    }

    async fn check(&self) -> Result<()> {
        self.caller.check().await
    }

    async fn now(&self) -> Result<Millis> {
        let call = self.caller.call(self.caller.layout().shared(), "now");
        answers::number(self.caller.ask(call).await?).map(Millis)
    }
}
