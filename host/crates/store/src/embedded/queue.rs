//! The queue in the embedded store: each step goes to the writer.

use async_trait::async_trait;
use fusebox_core::{id::TaskId, name::TenantId};

use super::EmbeddedStore;
use crate::{
    Accepted, Backlog, Cancelled, Claim, Finish, Finished, LeaseRequest, LeasedTask, NewTask, Purged, Queue, Renewal,
    Result, Ticked, Verdict, new_task::REPLAYED_BYTES_MAX,
};

/// Size of a task's record and index entries, which a step writes beside its payload; an estimate, in bytes.
const TASK_BYTES: usize = 1 << 10;

#[async_trait]
impl Queue for EmbeddedStore {
    async fn accept(&self, tasks: Vec<NewTask>) -> Result<Vec<Accepted>> {
        let bytes = tasks.iter().map(|task| TASK_BYTES + task.input.len()).sum();
        self.writer.step(bytes, move |steps| steps.accept(&tasks)).await
    }

    async fn replay(&self, tasks: Vec<NewTask>) -> Result<Vec<Accepted>> {
        let mut answers = Vec::with_capacity(tasks.len());
        while answers.len() < tasks.len() {
            let rest = tasks.get(answers.len()..).unwrap_or_default().to_vec();
            let done = self.writer.step(REPLAYED_BYTES_MAX, move |steps| steps.replay(&rest)).await?;
            answers.extend(done);
        }
        Ok(answers)
    }

    async fn lease(&self, request: LeaseRequest) -> Result<Vec<LeasedTask>> {
        let bytes = TASK_BYTES * request.tokens.len();
        self.writer.step(bytes, move |steps| steps.lease(&request)).await
    }

    async fn renew(&self, claims: Vec<Claim>, lease_ms: u64) -> Result<Vec<Renewal>> {
        let bytes = TASK_BYTES * claims.len();
        self.writer.step(bytes, move |steps| steps.renew(&claims, lease_ms)).await
    }

    async fn finish(&self, reports: Vec<Finish>) -> Result<Vec<Finished>> {
        let bytes = reports.iter().map(|report| match &report.verdict {
            Verdict::End(ended) => TASK_BYTES + ended.output.len() + ended.log.len(),
            Verdict::Retry { .. } | Verdict::Release => TASK_BYTES,
        });
        self.writer.step(bytes.sum(), move |steps| steps.finish(&reports)).await
    }

    async fn cancel(&self, tenant: &TenantId, task: TaskId) -> Result<Cancelled> {
        let tenant = tenant.clone();
        self.writer.step(0, move |steps| steps.cancel(&tenant, task)).await
    }

    async fn purge(&self, tasks: Vec<(TenantId, TaskId)>) -> Result<Vec<Purged>> {
        self.writer.step(0, move |steps| steps.purge(&tasks)).await
    }

    async fn tick(&self) -> Result<Ticked> {
        self.writer.step(0, |steps| steps.tick()).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>> {
        self.reads.backlog()
    }
}
