//! Runs tasks manually in place of a dispatcher, which the host in these tests lacks, so that each state lasts as long
//! as the test requires.

use axum::body::Body;
use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    function::{Abi, Grants, RunLimits},
    id::{DispatcherId, ModuleDigest, TaskId},
    keep::Keep,
    lifecycle::Fence,
    name::TenantId,
    outcome::{Ended, Failure, Receipt},
    quota::UNLIMITED,
    setup::{Setup, Start},
    tags::Tags,
    task::Priority,
};
use fusebox_store::{
    Accepted, Claim, Expects, Finish, FunctionRef, LeaseRequest, LeasedTask, NewFunction, NewTask, Registered, Verdict,
};
use fusebox_system::{clock::Clock, random};

use crate::support::Rest;

/// Returns the verdict of a run that returned these bytes.
pub(crate) fn returned(output: impl Into<Bytes>) -> Verdict {
    Verdict::End(Ended { failure: None, output: output.into(), log: Bytes::new(), receipt: Receipt::default() })
}

/// Returns the verdict of a run that trapped.
pub(crate) fn trapped() -> Verdict {
    let failure = Failure::new(ErrorCode::Trap, "the function trapped: unreachable");
    Verdict::End(Ended { failure: Some(failure), output: Bytes::new(), log: Bytes::new(), receipt: Receipt::default() })
}

impl Rest {
    /// Submits a task of `echo` and returns its id.
    pub(crate) async fn submit(&self, input: &'static str) -> String {
        let task = self.post("/v1/functions/echo/tasks", Body::from(input)).await.json();
        task["id"].as_str().unwrap().to_owned()
    }

    /// Leases the next tasks, up to `count`.
    pub(crate) async fn lease(&self, count: usize) -> Vec<LeasedTask> {
        self.lease_of(&TenantId::default_tenant(), count).await
    }

    /// Leases the next tasks of a tenant, up to `count`.
    pub(crate) async fn lease_of(&self, tenant: &TenantId, count: usize) -> Vec<LeasedTask> {
        let tokens = (0..count).map(|_| random::lease_token()).collect();
        let worker = random::worker_id(Clock::System.now());
        let request = LeaseRequest {
            tenant: tenant.clone(),
            worker,
            dispatcher: DispatcherId::from_bytes([8; 16]),
            lease_ms: 60_000,
            tokens,
            again: false,
        };
        self.store.lease(request).await.unwrap()
    }

    /// Reports a leased task.
    pub(crate) async fn report(&self, leased: &LeasedTask, verdict: Verdict) {
        let token = match leased.task.state {
            fusebox_core::task::TaskState::Running(lease) => lease.token,
            _ => panic!("a leased task runs"),
        };
        let claim = Claim { task: leased.task.id, fence: Fence { attempt: leased.task.attempt, token } };
        self.store.finish(vec![Finish { claim, verdict }]).await.unwrap();
    }

    /// Runs the next task with this result.
    pub(crate) async fn run(&self, verdict: Verdict) {
        let leased = self.lease(1).await;
        self.report(&leased[0], verdict).await;
    }

    /// Submits a task of another tenant.
    pub(crate) async fn foreign_task(&self) -> TaskId {
        let (tenant, now): (TenantId, _) = ("other".parse().unwrap(), Clock::System.now());
        let mine = FunctionRef::Name("echo".parse().unwrap());
        let mine = self.store.function(&TenantId::default_tenant(), &mine).await.unwrap().unwrap();
        let module = self.store.module(&mine.module).await.unwrap().unwrap();
        let (id, name) = (random::function_id(now), mine.name.clone());
        let new = NewFunction {
            id,
            tenant: tenant.clone(),
            name: name.clone(),
            module: ModuleDigest(mine.module.0),
            abi: Abi::Core,
            limits: RunLimits::default(),
            grants: Grants::default(),
            setup: Setup::default(),
            files: Bytes::new(),
            versions_max: UNLIMITED,
            stored_max: UNLIMITED,
        };
        assert!(matches!(self.store.register(new, module).await.unwrap(), Registered::Version(_)));
        let task = NewTask {
            id: random::task_id(now),
            tenant,
            function: id,
            expects: Expects::Nothing,
            function_name: name,
            module: mine.module,
            limits: RunLimits::default(),
            priority: Priority::Normal,
            attempts_max: 1,
            delay_ms: 0,
            expires_in_ms: 60_000,
            fingerprint: None,
            retry_of: None,
            keep: Keep::DEFAULT,
            queued_max: UNLIMITED,
            stored_max: UNLIMITED,
            start: Start::default(),
            tags: Tags::default(),
            input: Bytes::from_static(b"secret"),
        };
        let answers = self.store.accept(vec![task.clone()]).await.unwrap();
        assert!(matches!(answers[..], [Accepted::New { .. }]));
        task.id
    }
}
