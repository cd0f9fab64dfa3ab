//! Reports on tasks: lease renewals, ends and cancellations; and the leases of a previous process.

use fusebox_core::{
    id::TaskId,
    lifecycle::{Fence, Next, Refused},
    name::TenantId,
    outcome::Ended,
    task::{Status, TaskState},
};

use super::{Found, Steps};
use crate::{Cancelled, Claim, Finish, Finished, Renewal, Result, Verdict, embedded::keys, hints::Event};

/// Largest number of leases released in one step.
const RECLAIMED_MAX: usize = 1_000;

impl Steps<'_> {
    /// Renews leases; returns the answers in their order.
    pub(in crate::embedded) fn renew(&mut self, claims: &[Claim], lease_ms: u64) -> Result<Vec<Renewal>> {
        claims.iter().map(|claim| self.renew_one(*claim, lease_ms)).collect()
    }

    fn renew_one(&mut self, claim: Claim, lease_ms: u64) -> Result<Renewal> {
        let Some(before) = self.find(claim.task)? else { return Ok(Renewal::Lost) };
        let mut task = before.task.clone();
        if task.renew(claim.fence, self.now.plus(lease_ms)).is_err() {
            return Ok(Renewal::Lost);
        }
        self.change(before, &task)?;
        Ok(Renewal::Renewed)
    }

    /// Records reports; returns the answers in their order.
    pub(in crate::embedded) fn finish(&mut self, reports: &[Finish]) -> Result<Vec<Finished>> {
        reports.iter().map(|report| self.finish_one(report)).collect()
    }

    fn finish_one(&mut self, Finish { claim: Claim { task: id, fence }, verdict }: &Finish) -> Result<Finished> {
        let Some(mut before) = self.find(*id)? else { return Ok(Finished::Stale) };
        let mut task = before.task.clone();
        let next = match verdict {
            Verdict::End(ended) => task.end(*fence, ended.failure.clone(), ended.measured(), self.now).map(|()| None),
            Verdict::Retry { delay_ms } => task.retry(*fence, self.now.plus(*delay_ms), self.now).map(Some),
            Verdict::Release => task.release(*fence, self.now).map(Some),
        };
        match next {
            Err(Refused::Recorded) => return Ok(Finished::Duplicate),
            Err(Refused::Stale | Refused::Ended | Refused::NotReady) => return Ok(Finished::Stale),
            Ok(_) => {}
        }
        if let Verdict::End(Ended { output, log, .. }) = verdict {
            before.carried.output = self.piece(keys::output(*id), output);
            before.carried.log = self.piece(keys::log(*id), log);
        }
        self.change(before, &task)?;
        Ok(match next {
            Ok(Some(Next::Queued)) => Finished::Requeued,
            _ => Finished::Ended(task.status()),
        })
    }

    /// Cancels a task.
    pub(in crate::embedded) fn cancel(&mut self, tenant: &TenantId, id: TaskId) -> Result<Cancelled> {
        let found = self.find(id)?.filter(|found| found.task.tenant == *tenant);
        let Some(before) = found else { return Ok(Cancelled::NotFound) };
        let mut task = before.task.clone();
        if task.cancel(self.now).is_err() {
            return Ok(Cancelled::Ended(task.status()));
        }
        let worker = match before.task.state {
            TaskState::Running(lease) => Some(lease.worker),
            _ => None,
        };
        self.change(before, &task)?;
        if worker.is_some() {
            self.events.push(Event::Cancelled(id));
        }
        Ok(Cancelled::Cancelled { worker })
    }

    /// Releases leases of the previous process. A task keeps its attempts over a bounded number of kills, so one that
    /// kills its host each time does not run for ever.
    ///
    /// Returns the number of leases released; 0 once none is left.
    pub(in crate::embedded) fn reclaim(&mut self) -> Result<u64> {
        let leased = self.memory.leases.some(RECLAIMED_MAX);
        for id in &leased {
            match self.readable(self.find(*id))? {
                Some(before) if before.task.status() == Status::Running => self.give_back(before)?,
                _ => self.forget_lease(*id),
            }
        }
        Ok(leased.len() as u64)
    }

    fn give_back(&mut self, before: Found) -> Result<()> {
        let mut task = before.task.clone();
        let TaskState::Running(lease) = task.state else { return Ok(()) };
        // Never refused: the fence is the task's own.
        let _ = task.release(Fence { attempt: task.attempt, token: lease.token }, self.now);
        self.change(before, &task)
    }
}
