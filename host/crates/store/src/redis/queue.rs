//! The queue in Redis: each step is a call of a function.

use async_trait::async_trait;
use fusebox_core::{
    id::{FunctionId, TaskId},
    name::TenantId,
};

use super::{RedisStore, accept, functions, lease, purge, reads, report, tenants};
use crate::{
    Accepted, Backlog, Cancelled, Claim, Finish, Finished, LeaseRequest, LeasedTask, NewTask, Purged, Queue, Renewal,
    Result, Ticked,
};

#[async_trait]
impl Queue for RedisStore {
    async fn accept(&self, mut tasks: Vec<NewTask>) -> Result<Vec<Accepted>> {
        if let (Some(batcher), 1) = (&self.batcher, tasks.len())
            && let Some(task) = tasks.pop()
        {
            return Ok(vec![batcher.accept(task).await?]);
        }
        some_answers(accept::accept(&self.caller, &self.counted, &tasks).await?)
    }

    async fn replay(&self, tasks: Vec<NewTask>) -> Result<Vec<Accepted>> {
        some_answers(accept::replay(&self.caller, &self.counted, &tasks).await?)
    }

    async fn lease(&self, request: LeaseRequest) -> Result<Vec<LeasedTask>> {
        lease::lease(&self.caller, &self.cache, request).await
    }

    async fn renew(&self, claims: Vec<Claim>, lease_ms: u64) -> Result<Vec<Renewal>> {
        report::renew(&self.caller, &claims, lease_ms).await
    }

    async fn finish(&self, reports: Vec<Finish>) -> Result<Vec<Finished>> {
        report::finish(&self.caller, &reports).await
    }

    async fn cancel(&self, tenant: &TenantId, task: TaskId) -> Result<Cancelled> {
        report::cancel(&self.caller, tenant, task).await
    }

    async fn purge(&self, tasks: Vec<(TenantId, TaskId)>) -> Result<Vec<Purged>> {
        purge::purge(&self.caller, &tasks).await
    }

    async fn tick(&self) -> Result<Ticked> {
        let ticked = report::tick(&self.caller).await?;
        self.audit.step(&self.caller).await?;
        functions::collect(&self.caller).await?;
        if let Err(error) = tenants::clear_some(&self.caller).await {
            tracing::error!(%error, "the deletion of a tenant does not go on");
        }
        Ok(ticked)
    }

    async fn backlog(&self) -> Result<Vec<Backlog>> {
        reads::backlog(&self.caller).await
    }

    async fn unfinished(&self, tenant: &TenantId, function: FunctionId) -> Result<u64> {
        reads::unfinished(&self.caller, tenant, function).await
    }
}

/// Returns the answers if there is any, with [`Accepted::NoAnswer`] in place of errors; otherwise the first error.
fn some_answers(answers: Vec<Result<Accepted>>) -> Result<Vec<Accepted>> {
    let failed = answers.iter().find_map(|answer| answer.as_ref().err());
    match failed {
        Some(error) if answers.iter().all(Result::is_err) => Err(error.clone()),
        Some(error) => {
            tracing::warn!(%error, "a part of a batch was accepted; the outcome of the rest is unknown");
            Ok(answers.into_iter().map(|answer| answer.unwrap_or(Accepted::NoAnswer)).collect())
        }
        None => answers.into_iter().collect(),
    }
}
