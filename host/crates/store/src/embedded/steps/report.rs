//! Reports on tasks: lease renewals, ends and cancellations; and the leases of a previous process.

use fusebox_core::{
    id::TaskId,
    lifecycle::{Fence, Next, Refused},
    name::TenantId,
    task::{Status, Task, TaskState},
    time::Millis,
};

use super::{Place, Steps};
use crate::{
    Cancelled, Claim, Finish, Finished, Renewal, Result, Verdict,
    embedded::{
        engine::Space,
        keys::{self, Timed},
    },
    hints::Event,
};

/// Largest number of leases released in one step.
const RECLAIMED_MAX: usize = 1_000;

impl Steps<'_> {
    /// Renews leases; returns the answers in their order.
    pub(in crate::embedded) fn renew(&mut self, claims: &[Claim], lease_ms: u64) -> Result<Vec<Renewal>> {
        claims.iter().map(|claim| self.renew_one(*claim, lease_ms)).collect()
    }

    fn renew_one(&mut self, claim: Claim, lease_ms: u64) -> Result<Renewal> {
        let Some(before) = self.task(claim.task)? else { return Ok(Renewal::Lost) };
        let mut task = before.clone();
        if task.renew(claim.fence, self.now.plus(lease_ms)).is_err() {
            return Ok(Renewal::Lost);
        }
        self.change(&before, Place::Ready, &task)?;
        Ok(Renewal::Renewed)
    }

    /// Records reports; returns the answers in their order.
    pub(in crate::embedded) fn finish(&mut self, reports: &[Finish]) -> Result<Vec<Finished>> {
        reports.iter().map(|report| self.finish_one(report)).collect()
    }

    fn finish_one(&mut self, Finish { claim: Claim { task, fence }, verdict }: &Finish) -> Result<Finished> {
        let Some(before) = self.task(*task)? else { return Ok(Finished::Stale) };
        let mut task = before.clone();
        let mut kept = None;
        let next = match verdict {
            Verdict::End(ended) => {
                kept = Some((&ended.output, &ended.log));
                task.end(*fence, ended.failure.clone(), ended.measured(), self.now).map(|()| None)
            }
            Verdict::Retry { delay_ms } => task.retry(*fence, self.now.plus(*delay_ms), self.now).map(Some),
            Verdict::Release => task.release(*fence, self.now).map(Some),
        };
        match next {
            Err(Refused::Recorded) => return Ok(Finished::Duplicate),
            Err(Refused::Stale | Refused::Ended | Refused::NotReady) => return Ok(Finished::Stale),
            Ok(_) => self.change(&before, Place::Ready, &task)?,
        }
        if let Some((output, log)) = kept {
            for (key, bytes) in [(keys::output(task.id), output), (keys::log(task.id), log)] {
                if !bytes.is_empty() {
                    self.group.put(Space::Blobs, key, bytes);
                }
            }
        }
        Ok(match next {
            Ok(Some(Next::Queued)) => Finished::Requeued,
            _ => Finished::Ended(task.status()),
        })
    }

    /// Cancels a task.
    pub(in crate::embedded) fn cancel(&mut self, tenant: &TenantId, id: TaskId) -> Result<Cancelled> {
        let Some(before) = self.task(id)?.filter(|task| task.tenant == *tenant) else { return Ok(Cancelled::NotFound) };
        let mut task = before.clone();
        if task.cancel(self.now).is_err() {
            return Ok(Cancelled::Ended(before.status()));
        }
        let worker = match before.state {
            TaskState::Running(lease) => Some(lease.worker),
            _ => None,
        };
        self.change(&before, self.place(&before)?, &task)?;
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
        let mut reclaimed = 0;
        for key in self.due(Timed::Leased, Millis::NEVER, RECLAIMED_MAX)? {
            reclaimed += 1;
            match self.indexed(&key)? {
                Some(before) if before.status() == Status::Running => self.give_back(&before)?,
                _ => self.group.remove(Space::Index, key),
            }
        }
        Ok(reclaimed)
    }

    fn give_back(&mut self, before: &Task) -> Result<()> {
        let TaskState::Running(lease) = before.state else { return Ok(()) };
        let mut task = before.clone();
        // Never refused: the fence is the task's own.
        let _ = task.release(Fence { attempt: task.attempt, token: lease.token }, self.now);
        self.change(before, Place::Ready, &task)
    }
}
