//! Which attempts are leased, to whom, and how far each has come. Holds leased attempts only, so its size does not grow
//! with the queue.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use super::event::SaveVerdict;
use crate::{
    id::{Attempt, TaskId, WorkerId},
    limits::LEASE_MS,
    name::TenantId,
    time::Millis,
};

/// Renewed three times in its life, so that one lost beat is no lost lease.
const BEAT_MS: u64 = LEASE_MS / 3;

/// How far a leased attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// With its worker.
    Assigned,
    /// Its verdict is on its way to the store.
    Saving(SaveVerdict),
    /// The store did not answer; its verdict is sent again at this time.
    SaveAt(Millis, SaveVerdict),
}

/// A leased attempt.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) worker: WorkerId,
    pub(super) attempt: Attempt,
    pub(super) tenant: TenantId,
    pub(super) stage: Stage,
    beat_at: Millis,
}

/// The leased attempts, by task: a task has one current attempt at most.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases {
    leases: BTreeMap<TaskId, Lease>,
    by_worker: BTreeSet<(WorkerId, TaskId)>,
    beats: BTreeSet<(Millis, TaskId)>,
    saves: BTreeSet<(Millis, TaskId)>,
}

impl Leases {
    pub(super) fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// Adds a lease; gives the older one of the same task, whose time was over.
    pub(super) fn add(
        &mut self,
        task: TaskId,
        attempt: Attempt,
        worker: WorkerId,
        tenant: TenantId,
        stage: Stage,
        now: Millis,
    ) -> Option<Lease> {
        let older = self.remove(task);
        let beat_at = now.plus(BEAT_MS);
        self.leases.insert(task, Lease { worker, attempt, tenant, stage, beat_at });
        self.by_worker.insert((worker, task));
        self.beats.insert((beat_at, task));
        older
    }

    /// The lease of this very attempt.
    pub(super) fn get(&self, task: TaskId, attempt: Attempt) -> Option<&Lease> {
        self.leases.get(&task).filter(|lease| lease.attempt == attempt)
    }

    /// The lease of a task, whichever attempt it is.
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
        self.by_worker.remove(&(lease.worker, task));
        self.beats.remove(&(lease.beat_at, task));
        if let Stage::SaveAt(at, _) = lease.stage {
            self.saves.remove(&(at, task));
        }
        Some(lease)
    }

    /// The tasks leased to a worker.
    pub(super) fn of_worker(&self, worker: WorkerId) -> Vec<TaskId> {
        let first = (worker, TaskId::from_bytes([0; 16]));
        self.by_worker.range(first..).take_while(|(id, _)| *id == worker).map(|(_, task)| *task).collect()
    }

    /// Attempts whose lease is due for renewal at `now`; each is due again later.
    pub(super) fn due_beats(&mut self, now: Millis) -> Vec<(TaskId, Attempt)> {
        let mut due = Vec::new();
        while let Some(&(at, task)) = self.beats.first()
            && at <= now
        {
            self.beats.pop_first();
            if let Some(lease) = self.leases.get_mut(&task) {
                lease.beat_at = now.plus(BEAT_MS);
                self.beats.insert((lease.beat_at, task));
                due.push((task, lease.attempt));
            }
        }
        due
    }

    /// Tasks whose verdict is to be sent again at `now`.
    pub(super) fn due_saves(&self, now: Millis) -> Vec<TaskId> {
        self.saves.iter().take_while(|(at, _)| *at <= now).map(|(_, task)| *task).collect()
    }

    /// Whether every lease that no verdict ends is held by a worker that `is_live`.
    pub(super) fn all_live(&self, is_live: impl Fn(WorkerId) -> bool) -> bool {
        self.leases.values().all(|lease| lease.stage != Stage::Assigned || is_live(lease.worker))
    }

    /// When the next beat or save is due.
    pub(super) fn wake_at(&self) -> Millis {
        let first = |set: &BTreeSet<(Millis, TaskId)>| set.first().map_or(Millis::NEVER, |(at, _)| *at);
        first(&self.beats).min(first(&self.saves))
    }
}
