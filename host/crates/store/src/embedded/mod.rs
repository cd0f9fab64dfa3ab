//! The embedded store: one directory used by one process, with nothing else to install. Its answers are durable, and it
//! survives a kill at any time.
//!
//! | file | holds |
//! |---|---|
//! | `open` | the directory: lock, format |
//! | `engine` | the storage engine, the only file that names it |
//! | `keys`, `records` | every key, and the encoding of the values |
//! | `writer` | the single writer thread: group commit |
//! | `group` | writes of a group that are not committed yet |
//! | `steps` | the changes that each call makes |
//! | `queue` | start positions in the indexes |
//! | `reads` | reads beside the writer |
//! | `identity` | tenants and API keys |
//! | `kv` | values and settings of functions |
//! | `tanks` | tenants' fuel; in memory |
//! | `presence` | announced dispatchers and workers; in memory, since they end with the process |

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    function::FunctionVersion,
    id::{DispatcherId, ModuleDigest, TaskId},
    name::{FunctionName, TenantId},
    task::Task,
    time::Millis,
};

use self::{engine::Engine, presence::Presence, reads::Reads, tanks::Tanks, writer::Writer};
use super::{
    Accepted, Backlog, Beaten, Cancelled, Claim, Crew, Finish, Finished, FunctionRef, Hint, LeaseRequest, LeasedTask,
    NewFunction, NewTask, Options, Page, PageRequest, ReadyHint, Registered, Result, Store, TaskResult, Ticked,
    Verdict, WorkerInfo,
};
use super::{hints::Hints, new_task::REPLAYED_BYTES_MAX};
use fusebox_system::clock::Clock;

mod engine;
mod group;
mod identity;
mod keys;
mod kv;
mod open;
mod presence;
mod queue;
mod reads;
mod records;
mod steps;
mod tanks;
#[cfg(test)]
mod tests;
mod writer;

/// See the module's documentation.
///
/// Uses a steady clock: it starts at the machine's time, advances with elapsed time, and is never earlier than the last
/// write of this or an earlier process. So setting the machine's clock forward or back ends no lease, task or key early
/// and keeps none alive for ever.
pub struct EmbeddedStore {
    /// First field, so that it is dropped first; its drop returns once every submitted step is answered.
    writer: Writer,
    reads: Reads,
    hints: Arc<Hints>,
    presence: Presence,
    clock: Clock,
    tanks: Tanks,
}

impl EmbeddedStore {
    /// Opens the store in `dir`, creating it if needed. Blocks; after a kill for about 3 s per GB, unless the store was
    /// idle.
    ///
    /// # Errors
    /// [`super::Error::InUse`] if another process has it open, [`super::Error::Open`] if the directory cannot be used.
    pub fn open(dir: &Path, clock: Clock) -> Result<Self> {
        Self::open_with(dir, clock, Options::default())
    }

    /// Opens the store in `dir` with other bounds.
    ///
    /// # Errors
    /// See [`Self::open`].
    pub fn open_with(dir: &Path, clock: Clock, options: Options) -> Result<Self> {
        let engine: Arc<Engine> = Arc::new(open::engine(dir)?);
        let hints = Hints::new();
        let reads = Reads::new(engine.clone());
        let written_at = reads.written_at()?;
        let clock = clock.steady(written_at);
        let writer = Writer::start(engine, hints.clone(), options, clock.clone(), written_at)?;
        Ok(Self {
            writer,
            reads,
            hints,
            presence: Presence::new(clock.clone()),
            tanks: Tanks::new(clock.clone()),
            clock,
        })
    }

    /// Releases the leases of the previous process and returns their number. Only one process can open the store, so no
    /// one else can hold a lease. As with any release, each task gets its attempt back up to
    /// [`fusebox_core::limits::RELEASES_MAX`] times; from then on the attempt counts.
    ///
    /// # Errors
    /// See [`super::Error`].
    pub async fn reclaim_all_leases(&self) -> Result<u64> {
        let mut reclaimed = 0;
        loop {
            match self.writer.step(0, |steps| steps.reclaim()).await? {
                0 => return Ok(reclaimed),
                more => reclaimed += more,
            }
        }
    }

    /// Returns the size of the store on disk, in bytes.
    ///
    /// # Errors
    /// See [`super::Error`].
    pub fn disk_bytes(&self) -> Result<u64> {
        self.reads.disk_bytes()
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn register(&self, new: NewFunction, module: Bytes) -> Result<Registered> {
        self.writer.step(module.len(), |steps| steps.register(new, module)).await
    }

    async fn function(&self, tenant: &TenantId, function: &FunctionRef) -> Result<Option<FunctionVersion>> {
        self.reads.function(tenant, function)
    }

    async fn functions(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<FunctionVersion>> {
        let (tenant, page) = (tenant.clone(), page.clone());
        self.reads.aside(move |reads| reads.functions(&tenant, &page)).await
    }

    async fn versions(
        &self,
        tenant: &TenantId,
        name: &FunctionName,
        page: &PageRequest,
    ) -> Result<Page<FunctionVersion>> {
        let (tenant, name, page) = (tenant.clone(), name.clone(), page.clone());
        self.reads.aside(move |reads| reads.versions(&tenant, &name, &page)).await
    }

    async fn delete_function(&self, tenant: &TenantId, function: &FunctionRef) -> Result<bool> {
        let (tenant, function) = (tenant.clone(), function.clone());
        self.writer.step(0, move |steps| steps.delete_function(&tenant, &function)).await
    }

    async fn module(&self, digest: &ModuleDigest) -> Result<Option<Bytes>> {
        let digest = *digest;
        self.reads.aside(move |reads| reads.module(&digest)).await
    }

    async fn accept(&self, tasks: Vec<NewTask>) -> Result<Vec<Accepted>> {
        let bytes = tasks.iter().map(|task| task.input.len()).sum();
        self.writer.step(bytes, |steps| steps.accept(tasks)).await
    }

    async fn replay(&self, tasks: Vec<NewTask>) -> Result<Vec<Accepted>> {
        let mut answers = Vec::with_capacity(tasks.len());
        while answers.len() < tasks.len() {
            let rest = tasks.get(answers.len()..).unwrap_or_default().to_vec();
            let done = self.writer.step(REPLAYED_BYTES_MAX, |steps| steps.replay(rest)).await?;
            answers.extend(done);
        }
        Ok(answers)
    }

    async fn lease(&self, request: LeaseRequest) -> Result<Vec<LeasedTask>> {
        self.writer.step(0, move |steps| steps.lease(&request)).await
    }

    async fn beat(&self, claims: Vec<Claim>, lease_ms: u64) -> Result<Vec<Beaten>> {
        self.writer.step(0, move |steps| steps.beat(&claims, lease_ms)).await
    }

    async fn finish(&self, reports: Vec<Finish>) -> Result<Vec<Finished>> {
        let bytes = reports.iter().map(|report| match &report.verdict {
            Verdict::End { output, log, .. } => output.len() + log.len(),
            Verdict::Retry { .. } | Verdict::Release => 0,
        });
        self.writer.step(bytes.sum(), |steps| steps.finish(reports)).await
    }

    async fn cancel(&self, tenant: &TenantId, task: TaskId) -> Result<Cancelled> {
        let tenant = tenant.clone();
        self.writer.step(0, move |steps| steps.cancel(&tenant, task)).await
    }

    async fn tick(&self) -> Result<Ticked> {
        self.writer.step(0, |steps| steps.tick()).await
    }

    async fn task(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Task>> {
        self.reads.task(tenant, task)
    }

    async fn result(&self, tenant: &TenantId, task: TaskId) -> Result<Option<TaskResult>> {
        self.reads.result(tenant, task)
    }

    async fn log(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Bytes>> {
        self.reads.log(tenant, task)
    }

    async fn input(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Bytes>> {
        self.reads.input(tenant, task)
    }

    async fn dead_letters(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Task>> {
        let (tenant, page) = (tenant.clone(), page.clone());
        self.reads.aside(move |reads| reads.dead_letters(&tenant, &page)).await
    }

    async fn tasks(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Task>> {
        let (tenant, page) = (tenant.clone(), page.clone());
        self.reads.aside(move |reads| reads.tasks(&tenant, &page)).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>> {
        self.reads.backlog()
    }

    async fn announce(&self, dispatcher: DispatcherId, workers: Vec<WorkerInfo>, ttl_ms: u64) -> Result<()> {
        self.presence.announce(dispatcher, workers, ttl_ms);
        Ok(())
    }

    async fn workers(&self) -> Result<Crew> {
        Ok(self.presence.workers())
    }

    fn changed_hint(&self, task: TaskId) -> Hint {
        self.hints.changed(task)
    }

    fn ended_hint(&self, task: TaskId) -> Hint {
        self.hints.ended(task)
    }

    fn ready_hint(&self) -> ReadyHint {
        self.hints.ready()
    }

    fn cancellations(&self) -> tokio::sync::broadcast::Receiver<TaskId> {
        self.hints.cancellations()
    }

    async fn check(&self) -> Result<()> {
        self.reads.check()
    }

    async fn now(&self) -> Result<Millis> {
        Ok(self.clock.now())
    }
}
