//! The changes that each writing call makes to records, indexes and counters. This file has the shared parts: moving a
//! task between indexes, and the one routine for every end. State transitions belong to the lifecycle. Independent of
//! the engine, threads and clock.

use std::sync::Arc;

use bytes::Bytes;
use fusebox_core::{
    id::{FunctionId, TaskId},
    name::TenantId,
    task::{Task, TaskState},
    time::Millis,
};

use super::{
    engine::{Engine, Space},
    group::Group,
    keys::{self, Key, Timed},
    memory::Memory,
    records::{self, Counters, FunctionRecord},
};
use crate::{Error, Options, Result, hints::Event};

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
    memory: &'a mut Memory,
    options: Options,
    now: Millis,
    events: Vec<Event>,
    /// True once a step has failed after it had written.
    is_broken: bool,
}

impl<'a> Steps<'a> {
    /// Creates the steps of a group that is committed as a whole.
    pub(super) fn new(group: Group<'a>, memory: &'a mut Memory, options: Options) -> Self {
        Self { group, memory, options, now: Millis::default(), events: Vec::new(), is_broken: false }
    }

    /// Performs one step at `now`. One that fails before it has written changes nothing; after another the steps are
    /// broken.
    pub(super) fn perform<T>(&mut self, now: Millis, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.now = now;
        let (events, writes) = (self.events.len(), self.group.writes());
        let result = step(self);
        if result.is_err() {
            self.events.truncate(events);
            self.is_broken |= self.group.writes() > writes;
        }
        result
    }

    /// Returns true if nothing can be committed before the steps are begun again.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Drops everything, so that the steps but for the last can be performed again.
    pub(super) fn restart(&mut self) {
        self.group.restart();
        self.memory.forget();
        self.events.clear();
        self.is_broken = false;
    }

    /// Commits every step. Returns the events. The commit includes its time, which the clock of the next process starts
    /// no earlier than.
    pub(super) fn commit(mut self, engine: &Engine) -> Result<Vec<Event>> {
        if self.is_broken {
            self.group.fail(Error::Unavailable("a step of its group failed".to_owned()));
        }
        let written = self.write_remembered();
        let Self { group, memory, events, .. } = self;
        written.and_then(|()| group.commit(engine)).inspect_err(|_| memory.forget())?;
        memory.bound();
        Ok(events)
    }

    /// Writes what the steps have changed in memory.
    fn write_remembered(&mut self) -> Result<()> {
        for (tenant, counters) in self.memory.counters.take_changed() {
            match counters == Counters::default() {
                true => self.group.remove(Space::Records, keys::counters(&tenant)),
                false => self.group.put(Space::Records, keys::counters(&tenant), records::encode(&counters)?),
            }
        }
        for (function, tasks) in self.memory.unfinished.take_changed() {
            match tasks {
                0 => self.group.remove(Space::Records, keys::unfinished(function)),
                tasks => self.group.put(Space::Records, keys::unfinished(function), records::encode(&tasks)?),
            }
        }
        if self.now > self.memory.written_at && self.group.writes() > 0 {
            self.group.put(Space::Records, keys::written_at(), records::encode(&self.now)?);
            self.memory.written_at = self.now;
        }
        Ok(())
    }

    fn task(&self, task: TaskId) -> Result<Option<Task>> {
        self.group.read(Space::Records, &keys::task(task))?.map(records::decode_task).transpose()
    }

    /// Returns the task that an index entry names. An entry whose task cannot be read is logged; the caller removes it,
    /// since it would block everything behind it.
    fn indexed(&self, key: &[u8]) -> Result<Option<Task>> {
        let Some(id) = keys::last_task(key) else { return Ok(None) };
        match self.task(id) {
            Ok(task) => Ok(task),
            Err(Error::Corrupt(reason)) => {
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
        self.recount(&after.tenant, before.stored_bytes(), after.stored_bytes())?;
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
        self.memory.starts.ready_added(&task.tenant, task.priority, keys::moment(task.created_at, task.id));
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
        self.memory.starts.ready_removed(&task.tenant, task.priority, &keys::moment(task.created_at, task.id));
        self.count(&task.tenant, |counters| {
            let ready = &mut counters.ready[usize::from(keys::order(task.priority))];
            *ready = ready.saturating_sub(1);
        })
    }

    fn put_timed(&mut self, timed: Timed, time: Millis, task: TaskId) {
        let key = timed.key(time, task);
        self.memory.starts.timed_added(timed, &key);
        self.group.put(Space::Index, key, Bytes::new());
    }

    /// Returns the first due entries of a timed index. The caller removes each of them.
    fn due(&mut self, timed: Timed, until: Millis, limit: usize) -> Result<Vec<Key>> {
        let (from, to) = (self.memory.starts.timed(timed), timed.after(until));
        let due = self.group.keys(Space::Index, &from, &to, limit)?;
        match due.last() {
            Some(last) if due.len() == limit => self.memory.starts.timed_read(timed, keys::next(last)),
            _ if from < to => self.memory.starts.timed_read(timed, to),
            _ => {}
        }
        Ok(due)
    }

    fn counters(&mut self, tenant: &TenantId) -> Result<Counters> {
        if let Some(counters) = self.memory.counters.get(tenant) {
            return Ok(counters.clone());
        }
        let counters = match self.group.read(Space::Records, &keys::counters(tenant))? {
            Some(bytes) => records::decode("a tenant's counters", bytes)?,
            None => Counters::default(),
        };
        self.memory.counters.insert(tenant.clone(), counters.clone());
        Ok(counters)
    }

    fn count(&mut self, tenant: &TenantId, change: impl FnOnce(&mut Counters)) -> Result<()> {
        self.counters(tenant)?;
        self.group.wrote();
        self.memory.counters.change(tenant, change);
        Ok(())
    }

    /// Returns true if a tenant may store bytes in place of others; fewer than before always.
    fn may_store(&mut self, tenant: &TenantId, before: u64, after: u64, stored_max: u64) -> Result<bool> {
        let stored = self.counters(tenant)?.stored_bytes.saturating_sub(before);
        Ok(after <= before || stored.saturating_add(after) <= stored_max)
    }

    /// Counts bytes that are stored for a tenant in place of others.
    fn recount(&mut self, tenant: &TenantId, before: u64, after: u64) -> Result<()> {
        if before == after {
            return Ok(());
        }
        let stored = |counters: &Counters| counters.stored_bytes.saturating_sub(before).saturating_add(after);
        self.count(tenant, |counters| counters.stored_bytes = stored(counters))
    }

    fn function_record(&mut self, function: FunctionId) -> Result<Option<Arc<FunctionRecord>>> {
        if let Some(known) = self.memory.functions.get(&function) {
            return Ok(Some(known.clone()));
        }
        let Some(bytes) = self.group.read(Space::Records, &keys::function(function))? else { return Ok(None) };
        let record = Arc::new(records::decode_function(bytes)?);
        self.memory.functions.insert(function, record.clone());
        Ok(Some(record))
    }

    /// Writes a key of no meaning.
    #[cfg(test)]
    pub(super) fn put(&mut self, key: &str) {
        self.group.put(Space::Records, key, "value");
    }
}
