//! Synchronous invocations where REST and workers are different processes: a stored task whose caller waits for its
//! end. If the caller goes away, the task is cancelled.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    function::FunctionVersion,
    id::{Attempt, TaskId},
    name::TenantId,
    outcome::Ended,
    task::{Priority, Status, TaskState},
};
use tokio::{runtime::Handle, time::Instant};

use super::crew::CrewWatch;
use crate::{
    invoke::{InvokeError, Invoker},
    tenancy::QuotaBook,
    wait::Wait,
};
use fusebox_store::{Accepted, Hint, Store, TaskRequest, TaskResult};
use fusebox_system::{clock::Clock, random};

/// Longest wait for a worker, in milliseconds, in addition to the wall time of the run. About as long as clients wait.
const QUEUE_MS: u64 = 30_000;
/// Interval at which a waiter reads the result without a hint, since hints can be lost.
const FALLBACK: Duration = Duration::from_secs(1);

/// Runs invocations as tasks.
pub struct StoredInvoker {
    /// Store of the tasks.
    pub store: Arc<dyn Store>,
    /// Source of time.
    pub clock: Clock,
    /// Quotas of the tenants.
    pub quotas: Arc<QuotaBook>,
    /// Number of attempts, the same as for any task.
    pub attempts_max: Attempt,
    /// Presence of dispatchers and workers.
    pub crew: Arc<CrewWatch>,
}

#[async_trait]
impl Invoker for StoredInvoker {
    async fn invoke(&self, function: FunctionVersion, input: Bytes) -> Result<Ended, InvokeError> {
        if let Some(missing) = self.crew.missing_now().await {
            return Err(missing.into());
        }
        let id = random::task_id(self.clock.now());
        let quotas = self.quotas.of(&function.tenant);
        // Of high priority, since a caller is waiting.
        let (priority, start_within_ms) = (Priority::High, QUEUE_MS);
        let request = TaskRequest { priority, start_within_ms, ..TaskRequest::new(&function, input) };
        let task = request.into_task(id, self.attempts_max, &quotas);
        let tenant = &function.tenant;
        let mut unwanted = CancelWhenDropped { store: self.store.clone(), tenant: tenant.clone(), task: Some(id) };
        // Registered before the task exists, so that its end cannot be missed.
        let hint = self.store.ended_hint(id);
        match self.store.accept(vec![task]).await.map_err(unavailable)?.first() {
            Some(Accepted::New { .. } | Accepted::Duplicate) => {}
            Some(Accepted::QueueFull) => {
                unwanted.task = None;
                return Err(InvokeError::QueueFull { max: quotas.queued_tasks });
            }
            Some(Accepted::BytesReached) => {
                unwanted.task = None;
                return Err(InvokeError::BytesReached { max: quotas.stored_bytes });
            }
            _ => {
                unwanted.task = None;
                return Err(InvokeError::Overloaded);
            }
        }
        let deadline = Instant::now() + Duration::from_millis(QUEUE_MS + u64::from(function.limits.wall_ms));
        let ended = self.ended(tenant, id, hint, deadline).await?;
        unwanted.task = None;
        Ok(ended)
    }
}

impl StoredInvoker {
    async fn ended(&self, tenant: &TenantId, id: TaskId, hint: Hint, deadline: Instant) -> Result<Ended, InvokeError> {
        let read = || async {
            let found = self.store.result(tenant, id).await.map_err(unavailable)?;
            let found = found.ok_or_else(|| InvokeError::Internal("its task is gone".to_owned()))?;
            match found.task.status() {
                Status::Completed | Status::Failed => Ok(ControlFlow::Break(found)),
                Status::Queued if let Some(missing) = self.crew.missing() => Err(InvokeError::from(missing)),
                Status::Queued | Status::Running => Ok(ControlFlow::Continue(found)),
            }
        };
        let wait = Wait { deadline, fallback: FALLBACK, closing: None };
        let TaskResult { task, output } = wait.until(Some(hint), || self.store.ended_hint(id), read).await?;
        let (failure, ended) = match task.state {
            TaskState::Completed(ended) => (None, ended),
            TaskState::Failed(failure, ended) => (Some(failure), ended),
            TaskState::Queued { .. } | TaskState::Running(_) => return Err(InvokeError::Overloaded),
        };
        let log = match ended.receipt.log_bytes {
            0 => Bytes::new(),
            _ => self.store.log(tenant, id).await.map_err(unavailable)?.unwrap_or_default(),
        };
        Ok(Ended { failure, output, log, receipt: ended.receipt })
    }
}

fn unavailable(error: fusebox_store::Error) -> InvokeError {
    match error {
        fusebox_store::Error::Full(reason) => InvokeError::StoreFull(reason),
        error => InvokeError::Unavailable(error.to_string()),
    }
}

/// Cancels the task when its caller goes away.
struct CancelWhenDropped {
    store: Arc<dyn Store>,
    tenant: TenantId,
    task: Option<TaskId>,
}

impl Drop for CancelWhenDropped {
    fn drop(&mut self) {
        let (Some(task), Ok(runtime)) = (self.task, Handle::try_current()) else { return };
        let (store, tenant) = (self.store.clone(), self.tenant.clone());
        runtime.spawn(async move {
            if let Err(error) = store.cancel(&tenant, task).await {
                tracing::debug!(%task, %error, "cannot cancel an invocation whose caller is gone");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use fusebox_core::{
        function::{Abi, Grants, RunLimits},
        id::ModuleDigest,
        quota::{QuotaSettings, UNLIMITED},
    };

    use super::*;
    use fusebox_store::{Acting, LeaseRequest, NewFunction, PageRequest, Registered, embedded::EmbeddedStore};

    async fn function(store: &Arc<dyn Store>, tenant: &TenantId) -> FunctionVersion {
        let new = NewFunction {
            id: random::function_id(Clock::System.now()),
            tenant: tenant.clone(),
            name: "f".parse().unwrap(),
            module: ModuleDigest([1; 32]),
            abi: Abi::Core,
            limits: RunLimits::default(),
            grants: Grants::default(),
            versions_max: UNLIMITED,
            stored_max: UNLIMITED,
        };
        match store.register(new, Bytes::from_static(b"f")).await.unwrap() {
            Registered::Version(function) => function,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_invoke_may_be_tried_as_often_as_the_operator_says() {
        let home = tempfile::tempdir().unwrap();
        let clock = Clock::System;
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(home.path(), clock.clone()).unwrap());
        let tenant = TenantId::default_tenant();
        let function = function(&store, &tenant).await;
        let ready = store.ready_hint();
        let quotas = QuotaBook::new(store.clone());
        let invoker = StoredInvoker {
            store: store.clone(),
            clock: clock.clone(),
            quotas,
            attempts_max: 7,
            crew: CrewWatch::new(store.clone()),
        };
        let invoke = tokio::spawn(async move { invoker.invoke(function, Bytes::new()).await });
        ready.await;
        let (worker, tokens) = (random::worker_id(clock.now()), vec![random::lease_token()]);
        let leased = store.lease(LeaseRequest { tenant, worker, lease_ms: 1_000, tokens, again: false }).await.unwrap();
        assert_eq!(leased.iter().map(|leased| leased.task.attempts_max).collect::<Vec<_>>(), [7]);
        invoke.abort();
    }

    #[tokio::test]
    async fn an_invoke_beyond_the_quota_of_stored_bytes_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(home.path(), Clock::System).unwrap());
        let tenant = TenantId::default_tenant();
        let function = function(&store, &tenant).await;
        let settings = QuotaSettings { stored_bytes: Some(1), ..QuotaSettings::NONE };
        assert_eq!(store.set_quotas(Acting::Store, &tenant, settings).await.unwrap(), Ok(true));
        let quotas = QuotaBook::open(store.clone()).await;
        let crew = CrewWatch::new(store.clone());
        let invoker = StoredInvoker { store, clock: Clock::System, quotas, attempts_max: 7, crew };
        let refused = invoker.invoke(function, Bytes::new()).await;
        assert_eq!(refused.unwrap_err(), InvokeError::BytesReached { max: 1 });
    }

    #[tokio::test]
    async fn an_invoke_that_nothing_will_run_is_refused_and_leaves_no_task() {
        let home = tempfile::tempdir().unwrap();
        let (clock, tenant) = (Clock::System, TenantId::default_tenant());
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(home.path(), clock.clone()).unwrap());
        let function = function(&store, &tenant).await;
        let crew = CrewWatch::with_patience(store.clone(), Duration::ZERO);
        let quotas = QuotaBook::new(store.clone());
        let invoker = StoredInvoker { store: store.clone(), clock, quotas, attempts_max: 3, crew: crew.clone() };
        let ready = store.ready_hint();
        let waiting = invoker.invoke(function.clone(), Bytes::new());
        // The task is queued when the absence is noticed.
        let (waited, ()) = tokio::join!(waiting, async {
            ready.await;
            crew.look().await;
        });
        assert_eq!(waited.unwrap_err(), InvokeError::NoDispatcher);
        let gone = fusebox_harness::eventually("its task is cancelled", Duration::from_secs(30), || async {
            let backlog = store.backlog().await.unwrap();
            backlog.iter().all(|backlog| backlog.ready == 0).then_some(())
        });
        gone.await.unwrap();
        let page = PageRequest { cursor: None, rows: 10 };
        let before = store.tasks(&tenant, &page).await.unwrap().items.len();
        let refused = invoker.invoke(function, Bytes::new()).await;
        assert_eq!(refused.unwrap_err(), InvokeError::NoDispatcher);
        assert_eq!(store.tasks(&tenant, &page).await.unwrap().items.len(), before, "at once, and nothing is stored");
    }
}
