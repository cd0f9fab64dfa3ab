//! Test double of a store: real tasks, changed only by the real lifecycle. Each call is one atomic step; faults are
//! injected by the world. Every change is kept for the checker.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use fusebox_core::{
    dispatch::{RequestId, Reserved, SaveVerdict},
    id::{Attempt, LeaseToken, TaskId, WorkerId},
    lifecycle::{Fence, Refused},
    limits::LEASE_MS,
    name::TenantId,
    outcome::Receipt,
    task::{Lease, Task, TaskState},
    time::Millis,
};

/// Effect of one step on one task.
pub(crate) struct Change {
    pub(crate) before: Task,
    pub(crate) after: Task,
}

#[derive(Default)]
pub(crate) struct Store {
    tasks: BTreeMap<TaskId, Task>,
    /// Every lease ever saved.
    leases: BTreeSet<(TaskId, Attempt, WorkerId)>,
    /// Attempts leased by each request; a real store finds them by token.
    requested: BTreeMap<Asked, Vec<(TaskId, Attempt)>>,
    changes: Vec<Change>,
    /// Tasks that are not due yet; a tick makes them ready.
    delayed: BTreeSet<TaskId>,
    /// Tasks that have become ready since the last query. Each is reported once, so that a dispatcher that forgets it
    /// is not reminded.
    hints: BTreeMap<TenantId, u64>,
}

/// Identity of a lease request: host, life of its dispatcher, and request number. The last element is the try, which
/// differs between tries only with a planted bug.
pub(crate) type Asked = (usize, u32, RequestId, u32);

/// Returns the fence of an attempt. The token is derived from the attempt, since secrecy is irrelevant here.
fn fence(task: TaskId, attempt: Attempt) -> Fence {
    let mut token = *task.as_bytes();
    token[..4].copy_from_slice(&attempt.to_be_bytes());
    Fence { attempt, token: LeaseToken(token) }
}

impl Store {
    pub(crate) fn accept(&mut self, task: Task, now: Millis) {
        let id = task.id;
        self.tasks.insert(id, task);
        self.queued(id, now);
    }

    /// Returns the leases that an earlier try of the request still holds, extended to the duration of new ones,
    /// followed by the first due tasks of a tenant: highest priority first, then oldest first.
    pub(crate) fn lease(
        &mut self,
        asked: Asked,
        tenant: &TenantId,
        worker: WorkerId,
        count: u32,
        now: Millis,
    ) -> Vec<(TaskId, Attempt)> {
        let mut leased = self.held(asked);
        for (id, attempt) in leased.clone() {
            let token = fence(id, attempt).token;
            self.change(id, now, |task| task.lease_again(token, now.plus(LEASE_MS))).unwrap();
        }
        let count = count - u32::try_from(leased.len()).unwrap();
        let mut ready: Vec<&Task> = self.ready(tenant).collect();
        ready.sort_by_key(|task| (Reverse(task.priority), task.id));
        let ready: Vec<TaskId> = ready.iter().map(|task| task.id).take(count.try_into().unwrap()).collect();
        for id in ready {
            let attempt = self.tasks[&id].attempt + 1;
            let token = fence(id, attempt).token;
            let lease = Lease {
                worker,
                dispatcher: None,
                token,
                started_at: now,
                expires_at: now.plus(LEASE_MS),
                renewed: false,
            };
            self.change(id, now, |task| task.lease(lease)).unwrap();
            self.leases.insert((id, attempt, worker));
            leased.push((id, attempt));
        }
        self.requested.insert(asked, leased.clone());
        leased
    }

    /// Returns the attempts that a request has leased and still holds.
    pub(crate) fn held(&self, asked: Asked) -> Vec<(TaskId, Attempt)> {
        let leased = self.requested.get(&asked).into_iter().flatten().copied();
        leased.filter(|(task, attempt)| self.is_current(*task, *attempt)).collect()
    }

    /// Returns the fuel reserved by attempts.
    pub(crate) fn reserved(&self, attempts: &[(TaskId, Attempt)]) -> Reserved {
        let limits = || attempts.iter().map(|(task, _)| self.tasks[task].limits.fuel);
        Reserved { fuel: limits().sum(), most: limits().max().unwrap_or_default() }
    }

    /// Renews a lease; returns whether it was still held.
    pub(crate) fn renew(&mut self, task: TaskId, attempt: Attempt, now: Millis) -> bool {
        self.change(task, now, |task| task.renew(fence(task.id, attempt), now.plus(LEASE_MS))).is_ok()
    }

    /// Records a verdict, and returns false if it is stale. `receipt` belongs to the run whose end is recorded.
    pub(crate) fn save(
        &mut self,
        task: TaskId,
        attempt: Attempt,
        verdict: SaveVerdict,
        receipt: Option<Receipt>,
        now: Millis,
    ) -> bool {
        let fence = fence(task, attempt);
        let saved = self.change(task, now, |task| match verdict {
            SaveVerdict::End => task.end(fence, None, receipt.unwrap_or_default(), now),
            SaveVerdict::Retry { delay_ms } => task.retry(fence, now.plus(delay_ms), now).map(drop),
            SaveVerdict::Release => task.release(fence, now).map(drop),
        });
        matches!(saved, Ok(()) | Err(Refused::Recorded))
    }

    pub(crate) fn cancel(&mut self, task: TaskId, now: Millis) -> bool {
        self.tasks.contains_key(&task) && self.change(task, now, |task| task.cancel(now)).is_ok()
    }

    /// Performs the transitions due at `now`.
    pub(crate) fn tick(&mut self, now: Millis) {
        let ids: Vec<TaskId> = self.tasks.keys().copied().collect();
        for id in ids {
            match self.tasks[&id].state {
                TaskState::Running(lease) if lease.expires_at <= now => {
                    self.change(id, now, |task| task.lapse(now.plus(100), now)).unwrap();
                }
                TaskState::Queued { .. } if self.tasks[&id].expires_at <= now => {
                    self.change(id, now, |task| task.expire(now)).unwrap();
                }
                TaskState::Queued { not_before } if not_before <= now && self.delayed.contains(&id) => {
                    self.queued(id, now);
                }
                _ => {}
            }
        }
    }

    /// Returns the tasks of a tenant that may be leased.
    pub(crate) fn ready(&self, tenant: &TenantId) -> impl Iterator<Item = &Task> {
        let is_ready =
            |task: &&Task| matches!(task.state, TaskState::Queued { .. }) && !self.delayed.contains(&task.id);
        self.tasks.values().filter(move |task| task.tenant == *tenant).filter(is_ready)
    }

    pub(crate) fn take_hints(&mut self) -> BTreeMap<TenantId, u64> {
        std::mem::take(&mut self.hints)
    }

    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    pub(crate) fn has_leased(&self, task: TaskId, attempt: Attempt, worker: WorkerId) -> bool {
        self.leases.contains(&(task, attempt, worker))
    }

    /// Returns whether this attempt holds its task.
    pub(crate) fn is_current(&self, task: TaskId, attempt: Attempt) -> bool {
        let running = |task: &Task| task.attempt == attempt && matches!(task.state, TaskState::Running(_));
        self.tasks.get(&task).is_some_and(running)
    }

    /// Returns whether the worker holds the attempt, or could still be leased it.
    pub(crate) fn may_be_given(&self, task: TaskId, attempt: Attempt, worker: WorkerId) -> bool {
        attempt > self.tasks[&task].attempt || self.has_leased(task, attempt, worker)
    }

    pub(crate) fn unended(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().filter(|task| !task.status().is_ended())
    }

    pub(crate) fn count(&self) -> usize {
        self.tasks.len()
    }

    fn queued(&mut self, id: TaskId, now: Millis) {
        if matches!(self.tasks[&id].state, TaskState::Queued { not_before } if now < not_before) {
            self.delayed.insert(id);
        } else {
            self.delayed.remove(&id);
            *self.hints.entry(self.tasks[&id].tenant.clone()).or_default() += 1;
        }
    }

    fn change<T>(
        &mut self,
        id: TaskId,
        now: Millis,
        change: impl FnOnce(&mut Task) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let task = self.tasks.get_mut(&id).unwrap();
        let before = task.clone();
        let answer = change(task);
        if *task != before {
            let is_queued = matches!(task.state, TaskState::Queued { .. });
            self.changes.push(Change { before, after: task.clone() });
            if is_queued {
                self.queued(id, now);
            }
        }
        answer
    }
}
