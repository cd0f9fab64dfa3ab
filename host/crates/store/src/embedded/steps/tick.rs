//! Work that is due: lapsing, promoting, expiring and purging. Bounded per call.

use bytes::Bytes;
use fusebox_core::{
    id::TaskId,
    limits::TASK_AGE_MS_MAX,
    name::TenantId,
    task::{Priority, TaskState},
    time::Millis,
};

use super::{Found, Steps};
use crate::{
    Result, Ticked,
    embedded::{
        engine::Space,
        keys::{self, Origin, Place, Timed},
        retention::Chunk,
    },
};

/// Largest number of tasks of each kind in one step, to bound the time for which it occupies the writer.
const TASKS_MAX: usize = 1_000;
/// Largest number of keys of ended tasks in one step.
const CHUNKS_MAX: usize = 16;
/// Largest number of queues that one step looks at for tasks of the greatest age.
const QUEUES_MAX: usize = 256;

impl Steps<'_> {
    /// Lapses leases, promotes delayed tasks, expires waiting ones, purges ended ones.
    pub(in crate::embedded) fn tick(&mut self) -> Result<Ticked> {
        let mut ticked = Ticked::default();
        self.lapse(&mut ticked)?;
        self.promote(&mut ticked)?;
        self.expire(&mut ticked)?;
        self.expire_oldest(&mut ticked)?;
        self.purge_due(&mut ticked)?;
        Ok(ticked)
    }

    fn lapse(&mut self, ticked: &mut Ticked) -> Result<()> {
        let mut ended = self.memory.leases.ended(self.now, TASKS_MAX);
        ended.sort_unstable();
        for id in ended {
            let Some(before) = self.readable(self.find(id))? else {
                self.forget_lease(id);
                continue;
            };
            let mut task = before.task.clone();
            match task.lapse(self.now, self.now) {
                Ok(next) => {
                    self.change(before, &task)?;
                    ticked.lapsed.push((id, next));
                }
                Err(_) => self.forget_lease(id),
            }
        }
        Ok(())
    }

    fn promote(&mut self, ticked: &mut Ticked) -> Result<()> {
        for key in self.due(Timed::Delayed, self.now, TASKS_MAX)? {
            match self.indexed(&key)? {
                Some(Found { task, carried, place: Place::Delayed }) => {
                    let TaskState::Queued { not_before } = task.state else { continue };
                    self.leave_delayed(&task, not_before)?;
                    self.group.remove(Space::Records, Origin::of(&task).record(Place::Delayed, task.id));
                    let place = self.enter_ready(&task)?;
                    self.save(&task, &carried, place)?;
                    ticked.promoted += 1;
                }
                _ => self.group.remove(Space::Index, key),
            }
        }
        Ok(())
    }

    fn expire(&mut self, ticked: &mut Ticked) -> Result<()> {
        for key in self.due(Timed::Waiting, self.now, TASKS_MAX)? {
            let found = self.indexed(&key)?;
            self.group.remove(Space::Index, key);
            if let Some(before) = found {
                self.expire_one(before, ticked)?;
            }
        }
        Ok(())
    }

    fn expire_one(&mut self, before: Found, ticked: &mut Ticked) -> Result<()> {
        let mut task = before.task.clone();
        if task.expire(self.now).is_ok() {
            self.change(before, &task)?;
            ticked.expired += 1;
        }
        Ok(())
    }

    /// Expires tasks of the greatest age, which are the first of their queues.
    fn expire_oldest(&mut self, ticked: &mut Ticked) -> Result<()> {
        let Some(until) = self.now.0.checked_sub(TASK_AGE_MS_MAX).map(Millis) else { return Ok(()) };
        let mut looked_at = 0;
        for _ in 0..QUEUES_MAX {
            if looked_at >= TASKS_MAX {
                break;
            }
            let Some((tenant, priority, from)) = self.memory.aging.take(until) else { break };
            looked_at += self.expire_oldest_of(&tenant, priority, &from, until, ticked)?;
        }
        Ok(())
    }

    /// Expires the oldest tasks of a queue; returns the number of those it looked at.
    fn expire_oldest_of(
        &mut self,
        tenant: &TenantId,
        priority: Priority,
        from: &[u8],
        until: Millis,
        ticked: &mut Ticked,
    ) -> Result<usize> {
        let prefix = keys::tasks_of(tenant, Place::Queue(priority));
        let from = if from.is_empty() { &prefix } else { from };
        let to = [&prefix[..], &until.plus(1).0.to_be_bytes()].concat();
        let entries = self.group.entries(Space::Records, from, &to, TASKS_MAX)?;
        let next = match entries.last() {
            Some((last, _)) if entries.len() == TASKS_MAX => Some(keys::next(last)),
            _ => self.group.keys(Space::Records, &to, &keys::past(&prefix), 1)?.pop(),
        };
        let count = entries.len();
        for (key, record) in entries {
            let Some((created_at, id)) = moment_of(&key) else { continue };
            let found = record.and_then(|record: Bytes| {
                let origin = Origin { tenant: tenant.clone(), priority, created_at };
                self.found(id, &origin, Place::Queue(priority), &record).map(Some)
            });
            if let Some(before) = self.readable(found)? {
                self.expire_one(before, ticked)?;
            }
        }
        if let Some(next) = next {
            // After a full step the rest is due as well.
            let created_at = moment_of(&next).filter(|_| count < TASKS_MAX).map_or(until, |(created_at, _)| created_at);
            self.memory.aging.put_back(tenant.clone(), priority, created_at, next);
        }
        Ok(count)
    }

    fn purge_due(&mut self, ticked: &mut Ticked) -> Result<()> {
        let (from, to) = (keys::kept_of_all(), keys::kept_after(self.now));
        for (key, ids) in self.group.entries(Space::Records, &from, &to, CHUNKS_MAX)? {
            self.group.remove(Space::Records, &key);
            self.memory.retention.close();
            match ids {
                Ok(ids) => self.purge_chunk(&Chunk::decode(&ids), ticked)?,
                Err(error) => tracing::error!(%error, "ended tasks are kept: their list cannot be read"),
            }
        }
        Ok(())
    }

    /// Deletes the tasks of a chunk that are due, and writes the others again.
    fn purge_chunk(&mut self, ids: &[TaskId], ticked: &mut Ticked) -> Result<()> {
        let mut rest: Vec<(Millis, TaskId)> = Vec::new();
        for id in ids {
            let Some(found) = self.readable(self.find(*id))? else { continue };
            let Some(due) = found.task.kept_until() else { continue };
            if due > self.now {
                rest.push((due, *id));
                continue;
            }
            self.remove_ended(&found)?;
            ticked.purged += 1;
        }
        rest.sort_unstable();
        if let (Some((due, first)), ids) = (rest.first(), rest.iter().map(|(_, id)| *id).collect()) {
            let chunk = Chunk { due: *due, ids };
            self.group.put(Space::Records, keys::kept(*due, *first), chunk.encode());
        }
        Ok(())
    }
}

/// Returns the time and task that a key ends with.
fn moment_of(key: &[u8]) -> Option<(Millis, TaskId)> {
    keys::last_moment(key).and_then(|moment| keys::split_moment(&moment))
}
