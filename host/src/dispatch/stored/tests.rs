//! Tests of invocations as tasks, on a store whose tasks a test leases and ends.

use fusebox_core::{
    error::ErrorCode,
    function::{Abi, Grants, RunLimits},
    id::{DispatcherId, ModuleDigest},
    keep::Keep,
    lifecycle::Fence,
    outcome::{Failure, Receipt},
    quota::{QuotaSettings, UNLIMITED},
    setup::Setup,
};
use fusebox_store::{
    Acting, Claim, Finish, Finished, LeaseRequest, LeasedTask, NewFunction, PageRequest, Registered, Verdict,
    embedded::EmbeddedStore,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;

/// Longest wait for what a task of its own does.
const PATIENCE: Duration = Duration::from_secs(30);

/// Store with a function, and what invokes it.
struct World {
    store: Arc<dyn Store>,
    invoker: Arc<StoredInvoker>,
    function: FunctionVersion,
    crew: Arc<CrewWatch>,
    _home: TempDir,
}

impl World {
    async fn new(patience: Option<Duration>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(home.path(), Clock::System).unwrap());
        let crew = match patience {
            Some(patience) => CrewWatch::with_patience(store.clone(), patience),
            None => CrewWatch::new(store.clone()),
        };
        let quotas = QuotaBook::new(store.clone(), Keep::DEFAULT);
        let invoker = Arc::new(StoredInvoker::start(store.clone(), Clock::System, quotas, 7, crew.clone()));
        let new = NewFunction {
            id: random::function_id(Clock::System.now()),
            tenant: TenantId::default_tenant(),
            name: "f".parse().unwrap(),
            module: ModuleDigest([1; 32]),
            abi: Abi::Core,
            limits: RunLimits::default(),
            grants: Grants::default(),
            setup: Setup::default(),
            files: Bytes::new(),
            versions_max: UNLIMITED,
            stored_max: UNLIMITED,
        };
        let function = match store.register(new, Bytes::from_static(b"f")).await.unwrap() {
            Registered::Version(function) => function,
            other => panic!("{other:?}"),
        };
        Self { store, invoker, function, crew, _home: home }
    }

    /// Starts an invocation; returns it with its leased attempt.
    async fn leased(&self) -> (JoinHandle<Result<Ended, InvokeError>>, LeasedTask) {
        let (invoker, function, ready) = (self.invoker.clone(), self.function.clone(), self.store.ready_hint());
        let invoke =
            tokio::spawn(
                async move { invoker.invoke(function, Start::default(), Bytes::from_static(b"in"), None).await },
            );
        ready.await;
        let (worker, tokens) = (random::worker_id(Clock::System.now()), vec![random::lease_token()]);
        let tenant = TenantId::default_tenant();
        let request = LeaseRequest {
            tenant,
            worker,
            dispatcher: DispatcherId::from_bytes([8; 16]),
            lease_ms: 10_000,
            tokens,
            again: false,
        };
        (invoke, self.store.lease(request).await.unwrap().remove(0))
    }

    async fn finish(&self, leased: &LeasedTask, failure: Option<Failure>) -> Finished {
        let fence = Fence { attempt: leased.task.attempt, token: leased.task.token().unwrap() };
        let receipt = Receipt { log_bytes: 3, ..Receipt::default() };
        let ended = Ended { failure, output: "out".into(), log: "log".into(), receipt };
        let report = Finish { claim: Claim { task: leased.task.id, fence }, verdict: Verdict::End(ended) };
        self.store.finish(vec![report]).await.unwrap().remove(0)
    }

    /// Waits until no task is left, nor a dead letter.
    async fn is_empty(&self) {
        fusebox_harness::eventually("an empty store", PATIENCE, || async {
            let (tenant, page) = (TenantId::default_tenant(), PageRequest { cursor: None, rows: 10 });
            let tasks = self.store.tasks(&tenant, &page).await.unwrap().items;
            let letters = self.store.dead_letters(&tenant, &page).await.unwrap().items;
            (tasks.is_empty() && letters.is_empty()).then_some(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn an_answered_invoke_leaves_nothing() {
    let world = World::new(None).await;
    for failure in [None, Some(Failure::new(ErrorCode::Trap, "it trapped"))] {
        let (invoke, leased) = world.leased().await;
        assert_eq!(leased.task.attempts_max, 7, "as often as the operator allows");
        world.finish(&leased, failure.clone()).await;
        let ended = invoke.await.unwrap().unwrap();
        assert_eq!((ended.failure, &ended.output[..], &ended.log[..]), (failure, &b"out"[..], &b"log"[..]));
        world.is_empty().await;
    }
}

#[tokio::test]
async fn an_invoke_whose_caller_goes_away_leaves_nothing() {
    let world = World::new(None).await;
    let mut cancellations = world.store.cancellations();
    let (invoke, leased) = world.leased().await;
    invoke.abort();
    assert!(invoke.await.unwrap_err().is_cancelled());
    assert_eq!(cancellations.recv().await.unwrap(), leased.task.id, "its worker stops");
    world.is_empty().await;
    assert_eq!(world.finish(&leased, None).await, Finished::Stale);
    world.is_empty().await;
}

/// As after a kill of the process that waited.
#[tokio::test]
async fn an_invoke_that_nobody_deletes_is_kept_for_a_minute() {
    let world = World::new(None).await;
    let (_invoke, leased) = world.leased().await;
    assert_eq!(leased.task.keep, Keep { results_s: 60, failed_s: 60 });
}

#[tokio::test]
async fn an_invoke_beyond_the_quota_of_stored_bytes_is_refused() {
    let world = World::new(None).await;
    let settings = QuotaSettings { stored_bytes: Some(1), ..QuotaSettings::NONE };
    let tenant = TenantId::default_tenant();
    assert_eq!(world.store.set_quotas(Acting::Store, &tenant, settings).await.unwrap(), Ok(true));
    world.invoker.quotas.refresh().await.unwrap();
    let refused = world.invoker.invoke(world.function.clone(), Start::default(), Bytes::new(), None).await;
    assert_eq!(refused.unwrap_err(), InvokeError::BytesReached { max: 1 });
}

#[tokio::test]
async fn an_invoke_that_nothing_will_run_is_refused_and_leaves_no_task() {
    let world = World::new(Some(Duration::ZERO)).await;
    let ready = world.store.ready_hint();
    let waiting = world.invoker.invoke(world.function.clone(), Start::default(), Bytes::new(), None);
    // The task is queued when the absence is noticed.
    let (waited, ()) = tokio::join!(waiting, async {
        ready.await;
        world.crew.look().await;
    });
    assert_eq!(waited.unwrap_err(), InvokeError::NoDispatcher);
    world.is_empty().await;
    let refused = world.invoker.invoke(world.function.clone(), Start::default(), Bytes::new(), None).await;
    assert_eq!(refused.unwrap_err(), InvokeError::NoDispatcher);
    world.is_empty().await;
}
