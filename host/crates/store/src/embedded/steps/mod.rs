//! The changes that each writing call makes to records, indexes and counters. This file has the shared parts: moving a
//! task between indexes, and the one routine for every end. State transitions belong to the lifecycle. Independent of
//! the engine, threads and clock.

use bytes::Bytes;
use fusebox_core::{
    id::{FunctionId, TaskId},
    name::TenantId,
    task::{Task, TaskState},
    time::Millis,
};

use super::{
    engine::Space,
    group::Group,
    keys::{self, Key, Timed},
    records::{self, Counters, FunctionRecord},
    starts::Starts,
};
use crate::{Options, Result, hints::Event};

mod accept;
mod functions;
mod identity;
mod kv;
mod lease;
mod purge;
mod report;
mod tick;

/// Index that a queued task is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ready,
    Delayed,
}

/// Steps of one group.
pub(super) struct Steps<'a> {
    group: Group<'a>,
    starts: &'a mut Starts,
    written_at: &'a mut Millis,
    options: Options,
    now: Millis,
    events: Vec<Event>,
    /// Number of events from steps before the current one.
    events_kept: usize,
}

impl<'a> Steps<'a> {
    /// Creates the steps of a group that is committed as a whole.
    pub(super) fn new(group: Group<'a>, starts: &'a mut Starts, written_at: &'a mut Millis, options: Options) -> Self {
        Self { group, starts, written_at, options, now: Millis::default(), events: Vec::new(), events_kept: 0 }
    }

    /// Performs one step at `now`. A failed step changes nothing.
    pub(super) fn perform<T>(&mut self, now: Millis, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.now = now;
        self.events_kept = self.events.len();
        self.group.begin();
        let result = step(self);
        if result.is_err() {
            self.group.undo();
            self.starts.forget();
            self.events.truncate(self.events_kept);
        }
        result
    }

    /// Commits every step. Returns the events. The commit includes its time, which the clock of the next process starts
    /// no earlier than.
    pub(super) fn commit(self) -> Result<Vec<Event>> {
        let Self { mut group, starts, written_at, now, events, .. } = self;
        let newer = (now > *written_at && group.has_writes()).then_some(now);
        if let Some(at) = newer {
            group.put(Space::Records, keys::written_at(), records::encode(&at)?);
        }
        group.commit().inspect_err(|_| starts.forget())?;
        *written_at = newer.unwrap_or(*written_at);
        Ok(events)
    }

    fn task(&self, task: TaskId) -> Result<Option<Task>> {
        self.group.get(Space::Records, &keys::task(task))?.map(|bytes| records::decode_task(&bytes)).transpose()
    }

    /// Returns the task that an index entry names. An entry whose task cannot be read is logged; the caller removes it,
    /// since it would block everything behind it.
    fn indexed(&self, key: &[u8]) -> Result<Option<Task>> {
        let Some(id) = keys::last_task(key) else { return Ok(None) };
        match self.task(id) {
            Ok(task) => Ok(task),
            Err(crate::Error::Corrupt(reason)) => {
                tracing::error!(task = %id, reason, "task skipped: its record cannot be read");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn save(&mut self, task: &Task) -> Result<()> {
        self.group.put(Space::Records, keys::task(task.id), records::encode_task(task)?);
        Ok(())
    }

    /// Replaces a task; `place` is the index it was in if it was queued.
    fn change(&mut self, before: &Task, place: Place, after: &Task) -> Result<()> {
        self.leave(before, place)?;
        self.enter(after)?;
        self.save(after)
    }

    /// Returns the index that a queued task is in: a delayed task that is due stays delayed until a tick promotes it.
    fn place(&self, task: &Task) -> Result<Place> {
        match task.state {
            TaskState::Queued { not_before } if not_before > Millis(0) => {
                let delayed = self.group.contains(Space::Index, &Timed::Delayed.key(not_before, task.id))?;
                Ok(if delayed { Place::Delayed } else { Place::Ready })
            }
            _ => Ok(Place::Ready),
        }
    }

    /// Indexes and counts a task by its state.
    fn enter(&mut self, task: &Task) -> Result<()> {
        match &task.state {
            TaskState::Queued { not_before } => {
                self.put_timed(Timed::Waiting, task.expires_at, task.id);
                if task.attempt > 0 {
                    self.events.push(Event::Changed(task.id));
                }
                match *not_before <= self.now {
                    true => self.enter_ready(task),
                    false => {
                        self.put_timed(Timed::Delayed, *not_before, task.id);
                        self.count(&task.tenant, |counters| counters.delayed += 1)
                    }
                }
            }
            TaskState::Running(lease) => {
                self.put_timed(Timed::Leased, lease.expires_at, task.id);
                self.events.push(Event::Changed(task.id));
                self.count(&task.tenant, |counters| counters.running += 1)
            }
            TaskState::Completed(ended) | TaskState::Failed(_, ended) => self.end(task, ended.at),
        }
    }

    fn enter_ready(&mut self, task: &Task) -> Result<()> {
        self.group.put(Space::Index, keys::ready(task), Bytes::new());
        self.starts.ready_added(&task.tenant, task.priority, keys::moment(task.created_at, task.id));
        self.events.push(Event::Ready(task.tenant.clone(), 1));
        self.count(&task.tenant, |counters| counters.ready[usize::from(keys::order(task.priority))] += 1)
    }

    /// The one routine for every end of a task; called once per task.
    fn end(&mut self, task: &Task, at: Millis) -> Result<()> {
        self.put_timed(Timed::Ended, at.plus(self.options.ended_ttl_ms), task.id);
        match task.is_dead_letter() {
            true => self.group.put(Space::Index, keys::dead_letter(task, at), Bytes::new()),
            false => self.group.remove(Space::Blobs, keys::input(task.id)),
        }
        self.release_function(&task.tenant, task.function)?;
        self.events.push(Event::Ended(task.id));
        Ok(())
    }

    /// Removes a task from the indexes of its state.
    fn leave(&mut self, task: &Task, place: Place) -> Result<()> {
        match &task.state {
            TaskState::Queued { not_before } => {
                self.group.remove(Space::Index, Timed::Waiting.key(task.expires_at, task.id));
                match place {
                    Place::Ready => self.leave_ready(task),
                    Place::Delayed => {
                        self.group.remove(Space::Index, Timed::Delayed.key(*not_before, task.id));
                        self.count(&task.tenant, |counters| counters.delayed = counters.delayed.saturating_sub(1))
                    }
                }
            }
            TaskState::Running(lease) => {
                self.group.remove(Space::Index, Timed::Leased.key(lease.expires_at, task.id));
                self.count(&task.tenant, |counters| counters.running = counters.running.saturating_sub(1))
            }
            TaskState::Completed(ended) | TaskState::Failed(_, ended) => {
                let until = ended.at.plus(self.options.ended_ttl_ms);
                self.group.remove(Space::Index, Timed::Ended.key(until, task.id));
                Ok(())
            }
        }
    }

    fn leave_ready(&mut self, task: &Task) -> Result<()> {
        self.group.remove(Space::Index, keys::ready(task));
        self.starts.ready_removed(&task.tenant, task.priority, &keys::moment(task.created_at, task.id));
        self.count(&task.tenant, |counters| {
            let ready = &mut counters.ready[usize::from(keys::order(task.priority))];
            *ready = ready.saturating_sub(1);
        })
    }

    fn put_timed(&mut self, timed: Timed, time: Millis, task: TaskId) {
        let key = timed.key(time, task);
        self.starts.timed_added(timed, &key);
        self.group.put(Space::Index, key, Bytes::new());
    }

    /// Returns the first due entries of a timed index. The caller removes each of them.
    fn due(&mut self, timed: Timed, until: Millis, limit: usize) -> Result<Vec<Key>> {
        let (from, to) = (self.starts.timed(timed), timed.after(until));
        let due = self.group.keys(Space::Index, &from, &to, limit)?;
        match due.last() {
            Some(last) if due.len() == limit => self.starts.timed_read(timed, keys::next(last)),
            _ if from < to => self.starts.timed_read(timed, to),
            _ => {}
        }
        Ok(due)
    }

    fn counters(&self, tenant: &TenantId) -> Result<Counters> {
        match self.group.get(Space::Records, &keys::counters(tenant))? {
            Some(bytes) => records::decode("a tenant's counters", &bytes),
            None => Ok(Counters::default()),
        }
    }

    fn count(&mut self, tenant: &TenantId, change: impl FnOnce(&mut Counters)) -> Result<()> {
        let mut counters = self.counters(tenant)?;
        change(&mut counters);
        match counters == Counters::default() {
            true => self.group.remove(Space::Records, keys::counters(tenant)),
            false => self.group.put(Space::Records, keys::counters(tenant), records::encode(&counters)?),
        }
        Ok(())
    }

    fn function_record(&self, function: FunctionId) -> Result<Option<FunctionRecord>> {
        let bytes = self.group.get(Space::Records, &keys::function(function))?;
        bytes.map(|bytes| records::decode_function(&bytes)).transpose()
    }
}
