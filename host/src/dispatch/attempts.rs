//! The driver's data of leased attempts. The core knows only tasks and attempt numbers; tokens, inputs and outputs are
//! kept here from the lease until the end is saved.

use std::collections::HashMap;

use fusebox_core::{
    id::{Attempt, LeaseToken, TaskId, WorkerId},
    invocation::Invocation,
    lifecycle::Fence,
    outcome::{Ended, StopReason},
    task::{Lease, Task, TaskState},
    wire::AttemptId,
};
use fusebox_sandbox::StopFlag;

use super::calls::RemoteGuest;
use fusebox_store::{Claim, LeasedTask};

/// Leased attempt.
pub(super) struct LeasedAttempt {
    /// Number of the attempt.
    pub(super) attempt: Attempt,
    /// Worker that it is assigned to.
    pub(super) worker: WorkerId,
    /// Token that proves the lease.
    pub(super) token: LeaseToken,
    /// Fuel reserved for the run.
    pub(super) fuel: u64,
    /// Stops the run, if it is in this process.
    pub(super) stop: StopFlag,
    /// The run; taken when the attempt is assigned.
    pub(super) invocation: Option<Invocation>,
    /// Rights of the run's host calls, once it is assigned to another process.
    pub(super) guest: Option<RemoteGuest>,
    /// End of the run, from its report until it is saved.
    pub(super) end: Option<Ended>,
    /// True once the worker has reported on the attempt.
    pub(super) reported: bool,
}

/// Leased attempts by task. A task has at most one current attempt.
#[derive(Default)]
pub(super) struct Attempts {
    held: HashMap<TaskId, LeasedAttempt>,
}

impl Attempts {
    /// Holds a leased attempt. Stops an older attempt of the same task, whose lease is over. If a newer one is already
    /// held, this answer was overtaken, and the core reports the attempt as over.
    pub(super) fn hold(&mut self, leased: LeasedTask) -> Option<(TaskId, Attempt)> {
        let LeasedTask { task: Task { id: task, attempt, state, .. }, invocation } = leased;
        let TaskState::Running(Lease { token, worker, .. }) = state else { return None };
        if self.current(task).is_some_and(|held| held > attempt) {
            return Some((task, attempt));
        }
        let held = LeasedAttempt {
            attempt,
            worker,
            token,
            fuel: invocation.limits.fuel,
            stop: StopFlag::default(),
            invocation: Some(invocation),
            guest: None,
            end: None,
            reported: false,
        };
        if let Some(older) = self.held.insert(task, held) {
            older.stop.raise(StopReason::Interrupted);
        }
        Some((task, attempt))
    }

    /// Stops every attempt of this process, and returns the assigned ones, for messages to their workers.
    pub(super) fn stop_all(&self, reason: StopReason) -> Vec<(WorkerId, AttemptId)> {
        self.held.values().for_each(|held| held.stop.raise(reason));
        self.assigned().map(|(task, held)| (held.worker, AttemptId { task, attempt: held.attempt })).collect()
    }

    /// Returns the attempts that a worker was assigned and has not reported on.
    pub(super) fn of_worker(&self, worker: WorkerId) -> Vec<AttemptId> {
        let own = self.assigned().filter(|(_, held)| held.worker == worker);
        own.map(|(task, held)| AttemptId { task, attempt: held.attempt }).collect()
    }

    fn assigned(&self) -> impl Iterator<Item = (TaskId, &LeasedAttempt)> {
        let assigned = self.held.iter().filter(|(_, held)| held.invocation.is_none() && !held.reported);
        assigned.map(|(task, held)| (*task, held))
    }

    /// Returns the attempt if it is the current one of its task.
    pub(super) fn get(&mut self, task: TaskId, attempt: Attempt) -> Option<&mut LeasedAttempt> {
        self.held.get_mut(&task).filter(|held| held.attempt == attempt)
    }

    /// Returns the proof of the attempt's lease.
    pub(super) fn claim(&mut self, task: TaskId, attempt: Attempt) -> Option<Claim> {
        let token = self.get(task, attempt)?.token;
        Some(Claim { task, fence: Fence { attempt, token } })
    }

    /// Removes the attempt.
    pub(super) fn forget(&mut self, task: TaskId, attempt: Attempt) {
        if self.get(task, attempt).is_some() {
            self.held.remove(&task);
        }
    }

    /// Returns the number of the task's current attempt.
    pub(super) fn current(&self, task: TaskId) -> Option<Attempt> {
        self.held.get(&task).map(|held| held.attempt)
    }

    /// Returns the number of held attempts.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }
}
