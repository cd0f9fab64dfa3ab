//! Synchronous invocations where REST and workers are different processes: a stored task whose caller waits for its
//! end. If the caller goes away, the task is cancelled. In both cases nothing of it stays.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    function::FunctionVersion,
    id::{Attempt, TaskId},
    name::TenantId,
    outcome::Ended,
    setup::Start,
    task::{Priority, Status, TaskState},
};
use tokio::{runtime::Handle, time::Instant};

use super::{
    crew::CrewWatch,
    spent::{Spent, UNDELETED},
};
use crate::{
    invoke::{Exchange, InvokeError, Invoker},
    tenancy::QuotaBook,
    wait::Wait,
};
use fusebox_store::{Accepted, Hint, NewTask, Store, TaskRequest, TaskResult};
use fusebox_system::{clock::Clock, random};

/// Longest wait for a worker, in milliseconds, in addition to the wall time of the run. About as long as clients wait.
const QUEUE_MS: u64 = 30_000;
/// Interval at which a waiter reads the result without a hint, since hints can be lost.
const FALLBACK: Duration = Duration::from_secs(1);

/// Runs invocations as tasks.
pub struct StoredInvoker {
    store: Arc<dyn Store>,
    clock: Clock,
    quotas: Arc<QuotaBook>,
    attempts_max: Attempt,
    crew: Arc<CrewWatch>,
    spent: Spent,
}

impl StoredInvoker {
    /// Returns an invoker whose tasks have at most `attempts_max` attempts, as any task. Starts the deletion of answered
    /// ones.
    #[must_use]
    pub fn start(
        store: Arc<dyn Store>,
        clock: Clock,
        quotas: Arc<QuotaBook>,
        attempts_max: Attempt,
        crew: Arc<CrewWatch>,
    ) -> Self {
        let spent = Spent::start(store.clone());
        Self { store, clock, quotas, attempts_max, crew, spent }
    }
}

#[async_trait]
impl Invoker for StoredInvoker {
    async fn invoke(
        &self,
        function: FunctionVersion,
        start: Start,
        input: Bytes,
        _: Option<Exchange>,
    ) -> Result<Ended, InvokeError> {
        if let Some(missing) = self.crew.missing_now().await {
            return Err(missing.into());
        }
        let id = random::task_id(self.clock.now());
        let quotas = self.quotas.of(&function.tenant);
        // Of high priority, since a caller is waiting.
        let (priority, start_within_ms) = (Priority::High, QUEUE_MS);
        let request = TaskRequest { priority, start_within_ms, start, ..TaskRequest::new(&function, input) };
        let task = NewTask { keep: UNDELETED, ..request.into_task(id, self.attempts_max, &quotas) };
        let tenant = &function.tenant;
        let (store, spent) = (self.store.clone(), self.spent.clone());
        let mut unwanted = CancelWhenDropped { store, spent, tenant: tenant.clone(), task: Some(id) };
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
        self.spent.delete(tenant.clone(), id);
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

/// Cancels and deletes the task when its caller goes away.
struct CancelWhenDropped {
    store: Arc<dyn Store>,
    spent: Spent,
    tenant: TenantId,
    task: Option<TaskId>,
}

impl Drop for CancelWhenDropped {
    fn drop(&mut self) {
        let (Some(task), Ok(runtime)) = (self.task, Handle::try_current()) else { return };
        let (store, spent, tenant) = (self.store.clone(), self.spent.clone(), self.tenant.clone());
        runtime.spawn(async move {
            match store.cancel(&tenant, task).await {
                Ok(_) => spent.delete(tenant, task),
                Err(error) => tracing::debug!(%task, %error, "cannot cancel an invocation whose caller is gone"),
            }
        });
    }
}

#[cfg(test)]
mod tests;
