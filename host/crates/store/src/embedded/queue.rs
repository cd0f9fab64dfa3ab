//! The queue in the embedded store: each step goes to the writer.

use async_trait::async_trait;
use fusebox_core::{
    id::{FunctionId, TaskId},
    name::TenantId,
};

use super::EmbeddedStore;
use crate::{
    Accepted, Backlog, Cancelled, Claim, Finish, Finished, LeaseRequest, LeasedTask, NewTask, Purged, Queue, Renewal,
    Result, Ticked, Verdict, new_task::REPLAYED_BYTES_MAX,
};

/// Size of a task's record and index entries, which a step writes beside its payload; an estimate, in bytes.
const TASK_BYTES: usize = 1 << 10;
/// Size of the outputs and logs at which a step records no further report, in bytes. Bounds the memory that a step takes,
/// and the time for which others wait.
const REPORTED_BYTES_MAX: usize = 8 << 20;

#[async_trait]
impl Queue for EmbeddedStore {
    async fn accept(&self, tasks: Vec<NewTask>) -> Result<Vec<Accepted>> {
        let bytes = tasks.iter().map(|task| TASK_BYTES + task.input.len() + tag_bytes(task)).sum();
        self.writer.grow(bytes, move |steps| steps.accept(&tasks)).await
    }

    async fn replay(&self, tasks: Vec<NewTask>) -> Result<Vec<Accepted>> {
        let mut answers = Vec::with_capacity(tasks.len());
        while answers.len() < tasks.len() {
            let rest = tasks.get(answers.len()..).unwrap_or_default().to_vec();
            let done = self.writer.grow(REPLAYED_BYTES_MAX, move |steps| steps.replay(&rest)).await?;
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
        let (mut answers, mut reports) = (Vec::with_capacity(reports.len()), reports);
        while !reports.is_empty() {
            let (many, bytes) = first_reports(&reports);
            let rest = reports.split_off(many);
            answers.extend(self.writer.step(bytes, move |steps| steps.finish(&reports)).await?);
            reports = rest;
        }
        Ok(answers)
    }

    async fn cancel(&self, tenant: &TenantId, task: TaskId) -> Result<Cancelled> {
        let tenant = tenant.clone();
        self.writer.step(0, move |steps| steps.cancel(&tenant, task)).await
    }

    async fn purge(&self, tasks: Vec<(TenantId, TaskId)>) -> Result<Vec<Purged>> {
        self.writer.step(0, move |steps| steps.purge(&tasks)).await
    }

    async fn tick(&self) -> Result<Ticked> {
        let ticked = self.writer.step(0, |steps| steps.tick()).await?;
        // A step of its own, so that a record that cannot be read holds up nothing else.
        if let Err(error) = self.writer.step(0, |steps| steps.clear_some()).await {
            tracing::error!(%error, "the deletion of a tenant does not go on");
        }
        Ok(ticked)
    }

    async fn backlog(&self) -> Result<Vec<Backlog>> {
        self.reads.backlog()
    }

    async fn unfinished(&self, _: &TenantId, function: FunctionId) -> Result<u64> {
        self.reads.unfinished(function)
    }
}

/// Returns the size of a task's tags and their index entries, about.
fn tag_bytes(task: &NewTask) -> usize {
    usize::try_from(task.tags.stored_bytes()).unwrap_or(usize::MAX)
}

/// Returns the number of reports that one step records, at least one, and the bytes that it writes.
fn first_reports(reports: &[Finish]) -> (usize, usize) {
    let size = |report: &Finish| match &report.verdict {
        Verdict::End(ended) => TASK_BYTES + ended.output.len() + ended.log.len(),
        Verdict::Retry { .. } | Verdict::Release => TASK_BYTES,
    };
    let (mut many, mut bytes) = (0, 0);
    while let Some(report) = reports.get(many)
        && bytes < REPORTED_BYTES_MAX
    {
        bytes += size(report);
        many += 1;
    }
    (many, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use fusebox_core::{
        id::LeaseToken,
        lifecycle::Fence,
        outcome::{Ended, Receipt},
    };

    #[test]
    fn a_step_records_reports_up_to_its_size_and_at_least_one() {
        let report = |bytes: usize| {
            let ended =
                Ended { failure: None, output: vec![0; bytes].into(), log: Bytes::new(), receipt: Receipt::default() };
            let fence = Fence { attempt: 1, token: LeaseToken([0; 16]) };
            Finish { claim: Claim { task: TaskId::from_bytes([0; 16]), fence }, verdict: Verdict::End(ended) }
        };
        let many = |bytes: &[usize]| first_reports(&bytes.iter().map(|bytes| report(*bytes)).collect::<Vec<_>>()).0;
        assert_eq!(many(&[0; 100]), 100);
        assert_eq!(many(&[6 << 20, 6 << 20, 6 << 20]), 2);
        assert_eq!(many(&[9 << 20, 0]), 1);
        assert_eq!(first_reports(&[]), (0, 0));
    }
}
