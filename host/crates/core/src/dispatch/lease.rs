//! Which attempts are leased, to whom, and how far each has come. Holds leased attempts only, so its size does not grow
//! with the queue.

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

/// Renewed three times in its life, so that one lost beat is no lost lease.
const BEAT_MS: u64 = LEASE_MS / 3;
/// What is due so soon is renewed with what is due now: all leases are looked at for it, and that no more often than this.
/// Most are over before they are due once, so an index by time would be kept for nothing.
const GATHER_MS: u64 = BEAT_MS / 4;

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
#[derive(Clone, Debug)]
pub(super) struct Leases {
    leases: HashMap<TaskId, Lease, FixedState>,
    /// No lease is due for renewal before this.
    beats_at: Millis,
    saves: BTreeSet<(Millis, TaskId)>,
}

impl Leases {
    /// None yet.
    pub(super) fn new(hashes: FixedState) -> Self {
        Self { leases: HashMap::with_hasher(hashes), beats_at: Millis::NEVER, saves: BTreeSet::new() }
    }

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
        let beat_at = now.plus(BEAT_MS);
        self.beats_at = self.beats_at.min(beat_at);
        let older = self.leases.insert(task, Lease { worker, attempt, tenant, stage, beat_at });
        if let Some(Lease { stage: Stage::SaveAt(at, _), .. }) = older {
            self.saves.remove(&(at, task));
        }
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
        if let Stage::SaveAt(at, _) = lease.stage {
            self.saves.remove(&(at, task));
        }
        Some(lease)
    }

    /// Attempts whose lease is due for renewal at `now` or soon after; each is due again later.
    pub(super) fn due_beats(&mut self, now: Millis) -> Vec<(TaskId, Attempt)> {
        let mut due = Vec::new();
        if now < self.beats_at {
            return due;
        }
        self.beats_at = Millis::NEVER;
        for (task, lease) in &mut self.leases {
            if lease.beat_at <= now.plus(GATHER_MS) {
                lease.beat_at = now.plus(BEAT_MS);
                due.push((*task, lease.attempt));
            }
            self.beats_at = self.beats_at.min(lease.beat_at);
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

    /// When the next beat or save may be due.
    pub(super) fn wake_at(&self) -> Millis {
        self.beats_at.min(self.saves.first().map_or(Millis::NEVER, |(at, _)| *at))
    }
}
