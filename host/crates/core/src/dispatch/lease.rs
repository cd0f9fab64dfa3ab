//! Leased attempts, their workers and their progress. Holds only leased attempts, so its size does not grow with the
//! queue.

use alloc::{collections::BTreeSet, vec::Vec};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::event::SaveVerdict;
use crate::{
    id::{Attempt, TaskId, WorkerId},
    limits::LEASE_MS,
    name::TenantId,
    time::Millis,
};

/// Interval of lease renewals. A third of the lease's duration, so a lease survives one lost renewal.
const RENEW_MS: u64 = LEASE_MS / 3;
/// Window in which upcoming renewals are combined with those already due. Renewal scans all leases, at most once in
/// this time. Most leases end before their first renewal, so an index by time would not pay off.
const COMBINED_MS: u64 = RENEW_MS / 4;

/// Progress of a leased attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The attempt is with its worker.
    Assigned,
    /// The verdict is being saved.
    Saving(SaveVerdict),
    /// The store did not respond; the verdict will be saved again at this time.
    SaveAt(Millis, SaveVerdict),
}

/// A leased attempt.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) worker: WorkerId,
    pub(super) attempt: Attempt,
    pub(super) tenant: TenantId,
    pub(super) stage: Stage,
    renew_at: Millis,
}

/// Leased attempts by task; a task has at most one current attempt.
#[derive(Clone, Debug)]
pub(super) struct Leases {
    leases: HashMap<TaskId, Lease, FixedState>,
    /// Time before which no lease is due for renewal.
    renewals_at: Millis,
    saves: BTreeSet<(Millis, TaskId)>,
}

impl Leases {
    /// Returns an empty set.
    pub(super) fn new(hashes: FixedState) -> Self {
        Self { leases: HashMap::with_hasher(hashes), renewals_at: Millis::NEVER, saves: BTreeSet::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// Adds a lease; returns a previous one of the same task, which has expired.
    pub(super) fn add(
        &mut self,
        task: TaskId,
        attempt: Attempt,
        worker: WorkerId,
        tenant: TenantId,
        stage: Stage,
        now: Millis,
    ) -> Option<Lease> {
        let renew_at = now.plus(RENEW_MS);
        self.renewals_at = self.renewals_at.min(renew_at);
        let older = self.leases.insert(task, Lease { worker, attempt, tenant, stage, renew_at });
        if let Some(Lease { stage: Stage::SaveAt(at, _), .. }) = older {
            self.saves.remove(&(at, task));
        }
        older
    }

    /// Returns the lease of exactly this attempt.
    pub(super) fn get(&self, task: TaskId, attempt: Attempt) -> Option<&Lease> {
        self.leases.get(&task).filter(|lease| lease.attempt == attempt)
    }

    /// Returns the lease of a task, of any attempt.
    pub(super) fn current(&self, task: TaskId) -> Option<&Lease> {
        self.leases.get(&task)
    }

    pub(super) fn set_stage(&mut self, task: TaskId, stage: Stage) {
        let Some(lease) = self.leases.get_mut(&task) else { return };
        if let Stage::SaveAt(at, _) = lease.stage {
            self.saves.remove(&(at, task));
        }
        lease.stage = stage;
        if let Stage::SaveAt(at, _) = stage {
            self.saves.insert((at, task));
        }
    }

    pub(super) fn remove(&mut self, task: TaskId) -> Option<Lease> {
        let lease = self.leases.remove(&task)?;
        if let Stage::SaveAt(at, _) = lease.stage {
            self.saves.remove(&(at, task));
        }
        Some(lease)
    }

    /// Returns attempts whose leases are due for renewal at `now` or soon after, and schedules their next renewal.
    pub(super) fn due_renewals(&mut self, now: Millis) -> Vec<(TaskId, Attempt)> {
        let mut due = Vec::new();
        if now < self.renewals_at {
            return due;
        }
        self.renewals_at = Millis::NEVER;
        for (task, lease) in &mut self.leases {
            if lease.renew_at <= now.plus(COMBINED_MS) {
                lease.renew_at = now.plus(RENEW_MS);
                due.push((*task, lease.attempt));
            }
            self.renewals_at = self.renewals_at.min(lease.renew_at);
        }
        due
    }

    /// Returns tasks whose verdicts are to be saved again at `now`.
    pub(super) fn due_saves(&self, now: Millis) -> Vec<TaskId> {
        self.saves.iter().take_while(|(at, _)| *at <= now).map(|(_, task)| *task).collect()
    }

    /// Returns whether every lease without a verdict is held by a worker for which `is_live` holds.
    pub(super) fn all_live(&self, is_live: impl Fn(WorkerId) -> bool) -> bool {
        self.leases.values().all(|lease| lease.stage != Stage::Assigned || is_live(lease.worker))
    }

    /// Returns the time of the next renewal or save.
    pub(super) fn wake_at(&self) -> Millis {
        self.renewals_at.min(self.saves.first().map_or(Millis::NEVER, |(at, _)| *at))
    }
}
