//! What the driver holds of each leased attempt. The dispatcher core knows tasks and attempt numbers only; tokens,
//! inputs and outputs are here, from the lease until the end is saved.

use std::collections::HashMap;

use fusebox_core::{
    id::{Attempt, LeaseToken, TaskId, WorkerId},
    lifecycle::Fence,
    outcome::StopReason,
    task::{Lease, TaskState},
    wire::AttemptId,
};
use fusebox_sandbox::StopFlag;

use super::calls::Guest;
use crate::store::{Claim, LeasedTask, Verdict, kv::Namespace};

/// A leased attempt.
pub(super) struct Held {
    /// Which attempt this is.
    pub(super) attempt: Attempt,
    /// Whose it is.
    pub(super) worker: WorkerId,
    /// Proves the lease.
    pub(super) token: LeaseToken,
    /// The fuel that its run reserves.
    pub(super) fuel: u64,
    /// Ends the run, where it is in this process.
    pub(super) stop: StopFlag,
    /// Whose run it is, and what that may ask for.
    pub(super) guest: Guest,
    /// What to run; taken when the attempt is assigned.
    pub(super) leased: Option<LeasedTask>,
    /// How it ended; there from the report until it is saved.
    pub(super) end: Option<Verdict>,
    /// Whether its worker has reported on it.
    pub(super) reported: bool,
}

/// The attempts held, by task: a task has one current attempt at most.
#[derive(Default)]
pub(super) struct Attempts {
    held: HashMap<TaskId, Held>,
}

impl Attempts {
    /// Holds a leased attempt. An older one of the same task is told to stop: its lease is over. Where a newer one is held
    /// already, the answer with this one was overtaken; the core says that it is over.
    pub(super) fn hold(&mut self, leased: LeasedTask) -> Option<(TaskId, Attempt)> {
        let (task, attempt) = (leased.task.id, leased.task.attempt);
        let TaskState::Running(Lease { token, worker, .. }) = leased.task.state else { return None };
        if self.current(task).is_some_and(|held| held > attempt) {
            return Some((task, attempt));
        }
        let (stop, fuel) = (StopFlag::default(), leased.task.limits.fuel);
        let guest = Guest {
            of: Namespace { tenant: leased.task.tenant.clone(), function: leased.function_name.clone() },
            grants: leased.grants.clone(),
        };
        let held = Held { attempt, worker, token, fuel, stop, guest, leased: Some(leased), end: None, reported: false };
        if let Some(older) = self.held.insert(task, held) {
            older.stop.raise(StopReason::Interrupted);
        }
        Some((task, attempt))
    }

    /// Tells every attempt of this process to stop; gives those that are to be told another way.
    pub(super) fn stop_all(&self, reason: StopReason) -> Vec<(WorkerId, AttemptId)> {
        self.held.values().for_each(|held| held.stop.raise(reason));
        self.assigned().map(|(task, held)| (held.worker, AttemptId { task, attempt: held.attempt })).collect()
    }

    /// What a worker was assigned and has not reported on.
    pub(super) fn of_worker(&self, worker: WorkerId) -> Vec<AttemptId> {
        let own = self.assigned().filter(|(_, held)| held.worker == worker);
        own.map(|(task, held)| AttemptId { task, attempt: held.attempt }).collect()
    }

    fn assigned(&self) -> impl Iterator<Item = (TaskId, &Held)> {
        let assigned = self.held.iter().filter(|(_, held)| held.leased.is_none() && !held.reported);
        assigned.map(|(task, held)| (*task, held))
    }

    /// The attempt, if it is still the one held.
    pub(super) fn get(&mut self, task: TaskId, attempt: Attempt) -> Option<&mut Held> {
        self.held.get_mut(&task).filter(|held| held.attempt == attempt)
    }

    /// What a lease holder shows for the attempt.
    pub(super) fn claim(&mut self, task: TaskId, attempt: Attempt) -> Option<Claim> {
        let token = self.get(task, attempt)?.token;
        Some(Claim { task, fence: Fence { attempt, token } })
    }

    /// Forgets the attempt.
    pub(super) fn forget(&mut self, task: TaskId, attempt: Attempt) {
        if self.get(task, attempt).is_some() {
            self.held.remove(&task);
        }
    }

    /// The number of the attempt held of a task.
    pub(super) fn current(&self, task: TaskId) -> Option<Attempt> {
        self.held.get(&task).map(|held| held.attempt)
    }

    /// How many are held.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }
}
