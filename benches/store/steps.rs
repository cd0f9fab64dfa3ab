//! Steps of a task in a store, as a host performs them: accept, lease, finish, several tasks at a time.

use std::sync::Arc;

use bytes::Bytes;
use fusebox_core::{
    function::{Abi, FunctionVersion, Grants, RunLimits},
    id::ModuleDigest,
    keep::Keep,
    lifecycle::Fence,
    limits::LEASE_MS,
    name::TenantId,
    outcome::{Ended, Receipt},
    quota::UNLIMITED,
    setup::{Setup, Start},
    tags::Tags,
    task::{Priority, TaskState},
};
use fusebox_store::{Accepted, Claim, Expects, Finish, LeaseRequest, NewFunction, NewTask, Registered, Store, Verdict};
use fusebox_system::{clock::Clock, random};

/// Size of inputs and outputs.
pub(crate) const BYTES: usize = 200;
const INPUT: [u8; BYTES] = [7; BYTES];
const OUTPUT: [u8; BYTES] = [8; BYTES];

/// A store with a registered function.
#[derive(Clone)]
pub(crate) struct Steps {
    pub(crate) store: Arc<dyn Store>,
    function: FunctionVersion,
    keep: Keep,
}

impl Steps {
    /// Registers the function for a tenant with a separate queue, whose tasks are kept for `keep`.
    pub(crate) async fn new(store: Arc<dyn Store>, tenant: &str, keep: Keep) -> anyhow::Result<Self> {
        let new = NewFunction {
            id: random::function_id(Clock::System.now()),
            tenant: tenant.parse::<TenantId>()?,
            name: "bench".parse()?,
            module: ModuleDigest([1; 32]),
            abi: Abi::Core,
            limits: RunLimits::default(),
            grants: Grants::default(),
            setup: Setup::default(),
            files: Bytes::new(),
            versions_max: UNLIMITED,
            stored_max: UNLIMITED,
        };
        match store.register(new, Bytes::from_static(b"module")).await? {
            Registered::Version(function) => Ok(Self { store, function, keep }),
            refused => anyhow::bail!("the store is new: {refused:?}"),
        }
    }

    /// Accepts tasks in one call.
    pub(crate) async fn accept(&self, count: usize) -> anyhow::Result<()> {
        let now = Clock::System.now();
        let task = || NewTask {
            id: random::task_id(now),
            tenant: self.function.tenant.clone(),
            function: self.function.id,
            expects: Expects::Nothing,
            function_name: self.function.name.clone(),
            module: self.function.module,
            limits: self.function.limits,
            priority: Priority::Normal,
            attempts_max: 3,
            delay_ms: 0,
            expires_in_ms: 6 * 3_600_000,
            fingerprint: None,
            retry_of: None,
            keep: self.keep,
            queued_max: UNLIMITED,
            stored_max: UNLIMITED,
            start: Start::default(),
            tags: Tags::default(),
            input: Bytes::from_static(&INPUT),
        };
        let answers = self.store.accept(std::iter::repeat_with(task).take(count).collect()).await?;
        anyhow::ensure!(answers.iter().all(|answer| matches!(answer, Accepted::New { .. })), "a task was refused");
        Ok(())
    }

    /// Leases the first tasks of the queue in one call; returns the subsequent reports of their worker.
    pub(crate) async fn lease(&self, count: usize) -> anyhow::Result<Vec<Finish>> {
        let request = LeaseRequest {
            tenant: self.function.tenant.clone(),
            worker: random::worker_id(Clock::System.now()),
            dispatcher: random::dispatcher_id(Clock::System.now()),
            lease_ms: LEASE_MS,
            tokens: std::iter::repeat_with(random::lease_token).take(count).collect(),
            again: false,
        };
        let leased = self.store.lease(request).await?;
        anyhow::ensure!(leased.len() == count, "{} of {count} tasks were leased", leased.len());
        let report = |leased: fusebox_store::LeasedTask| {
            let TaskState::Running(lease) = leased.task.state else { anyhow::bail!("a leased task runs") };
            let fence = Fence { attempt: leased.task.attempt, token: lease.token };
            let (output, log, receipt) = (Bytes::from_static(&OUTPUT), Bytes::new(), Receipt::default());
            let verdict = Verdict::End(Ended { failure: None, output, log, receipt });
            Ok(Finish { claim: Claim { task: leased.task.id, fence }, verdict })
        };
        leased.into_iter().map(report).collect()
    }

    /// Records ends in one call.
    pub(crate) async fn finish(&self, reports: Vec<Finish>) -> anyhow::Result<()> {
        let count = reports.len();
        let answers = self.store.finish(reports).await?;
        let ended = answers.iter().filter(|answer| matches!(answer, fusebox_store::Finished::Ended(_))).count();
        anyhow::ensure!(ended == count, "{ended} of {count} tasks were ended");
        Ok(())
    }
}
