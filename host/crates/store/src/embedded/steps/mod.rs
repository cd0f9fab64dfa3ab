//! The changes that each writing call makes to records, indexes and counters. This file has the shared parts: moving a
//! task between indexes, and the one routine for every end. State transitions belong to the lifecycle. Independent of
//! the engine, threads and clock.

use std::sync::Arc;

use bytes::Bytes;
use fusebox_core::{
    id::{FunctionId, TaskId},
    limits::TASK_AGE_MS_MAX,
    name::TenantId,
    task::{Lease, Priority, Task, TaskState},
    time::Millis,
};

use super::{
    engine::{Engine, Space},
    group::Group,
    keys::{self, Key, Origin, Place, Timed},
    leases::{Held, Kept, Unused},
    memory::Memory,
    records::{self, Carried, Counters, FunctionRecord, INLINE_BYTES_MAX, Piece, Running},
};
use crate::{Error, Options, Result, hints::Event};

mod accept;
mod compiles;
mod find;
mod functions;
mod identity;
mod jobs;
mod kv;
mod lease;
mod modules;
mod purge;
mod report;
mod tenants;
mod tick;

/// Task as a step found it.
#[derive(Clone)]
struct Found {
    task: Task,
    carried: Carried,
    place: Place,
}

/// Returns true for a queued task that expires at the greatest age, counted from its acceptance: it needs no entry.
fn is_found_by_age(task: &Task) -> bool {
    let is_as_accepted = task.attempt == 0 && task.state == TaskState::Queued { not_before: task.created_at };
    is_as_accepted && task.expires_at == task.created_at.plus(TASK_AGE_MS_MAX)
}

/// Returns the index entries of a task's tags.
fn tags_of(task: &Task) -> impl Iterator<Item = Key> {
    let moment = keys::moment(task.created_at, task.id);
    task.tags.iter().map(move |(key, value)| [&keys::tagged(&task.tenant, key, value)[..], &moment].concat())
}

/// Steps of one group.
pub(super) struct Steps<'a> {
    group: Group<'a>,
    memory: &'a mut Memory,
    options: Options,
    now: Millis,
    events: Vec<Event>,
    /// Records of the tasks that a step has accepted, until its end.
    accepted: Vec<(Key, Vec<u8>)>,
    /// True once a step has failed after it had written.
    is_broken: bool,
}

impl<'a> Steps<'a> {
    /// Creates the steps of a group that is committed as a whole.
    pub(super) fn new(group: Group<'a>, memory: &'a mut Memory, options: Options) -> Self {
        Self {
            group,
            memory,
            options,
            now: Millis::default(),
            events: Vec::new(),
            accepted: Vec::new(),
            is_broken: false,
        }
    }

    /// Performs one step at `now`. One that fails before it has written changes nothing; after another the steps are
    /// broken.
    pub(super) fn perform<T>(&mut self, now: Millis, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.now = now;
        self.load()?;
        let (events, writes) = (self.events.len(), self.group.writes());
        let result = step(self);
        if result.is_err() {
            self.events.truncate(events);
            // What it has taken from a queue is still there.
            self.memory.starts.forget();
            self.is_broken |= self.group.writes() > writes;
        }
        result
    }

    /// Takes the room of a step, see [`Group::grow`].
    pub(super) fn grow(&mut self, bytes: u64) -> Result<()> {
        self.group.grow(bytes)
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
        self.accepted.clear();
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
        memory.committed();
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
        for chunk in self.memory.retention.take_changed() {
            let Some(first) = chunk.ids.first() else { continue };
            self.group.put(Space::Records, keys::kept(chunk.due, *first), chunk.encode());
        }
        if self.now > self.memory.written_at && self.group.writes() > 0 {
            self.group.put(Space::Records, keys::written_at(), records::encode(&self.now)?);
            self.memory.written_at = self.now;
        }
        Ok(())
    }

    /// Replaces a task and what it carries.
    fn change(&mut self, before: Found, after: &Task) -> Result<()> {
        let Found { task, mut carried, place } = before;
        let origin = Origin::of(&task);
        let new_place = match (&task.state, &after.state) {
            (TaskState::Running(_), TaskState::Running(lease)) => {
                self.write_lease(after, origin.clone(), *lease);
                place
            }
            _ => {
                self.leave(&task, place)?;
                self.enter(after, &mut carried)?
            }
        };
        self.recount(&after.tenant, task.stored_bytes(), after.stored_bytes())?;
        if new_place != place {
            self.group.remove(Space::Records, origin.record(place, task.id));
        }
        self.save(after, &carried, new_place)
    }

    fn save(&mut self, task: &Task, carried: &Carried, place: Place) -> Result<()> {
        let record = records::encode_task(task, carried)?;
        self.group.put(Space::Records, Origin::of(task).record(place, task.id), record);
        Ok(())
    }

    /// Indexes and counts a task by its state; returns the place for its record.
    fn enter(&mut self, task: &Task, carried: &mut Carried) -> Result<Place> {
        match &task.state {
            TaskState::Queued { not_before } => {
                match is_found_by_age(task) {
                    true => self.memory.aging.added(&task.tenant, task.priority, task.created_at),
                    false => self.group.put(Space::Index, Timed::Waiting.key(task.expires_at, task.id), []),
                }
                if task.attempt > 0 {
                    self.events.push(Event::Changed(task.id));
                }
                if *not_before <= self.now {
                    return self.enter_ready(task);
                }
                self.group.put(Space::Index, Timed::Delayed.key(*not_before, task.id), []);
                self.count(&task.tenant, |counters| counters.delayed += 1)?;
                Ok(Place::Delayed)
            }
            TaskState::Running(lease) => {
                self.write_lease(task, Origin::of(task), *lease);
                self.count(&task.tenant, |counters| counters.running += 1)?;
                Ok(Place::Queue(task.priority))
            }
            TaskState::Completed(ended) | TaskState::Failed(_, ended) => {
                self.end(task, ended.at, carried)?;
                Ok(Place::Ended)
            }
        }
    }

    fn enter_ready(&mut self, task: &Task) -> Result<Place> {
        self.memory.starts.added(&task.tenant, task.priority, keys::moment(task.created_at, task.id));
        match self.events.last_mut() {
            Some(Event::Ready(tenant, more)) if *tenant == task.tenant => *more += 1,
            _ => self.events.push(Event::Ready(task.tenant.clone(), 1)),
        }
        self.count(&task.tenant, |counters| counters.ready[usize::from(keys::order(task.priority))] += 1)?;
        Ok(Place::Queue(task.priority))
    }

    /// Writes a lease that its task's record shows.
    fn write_lease(&mut self, task: &Task, origin: Origin, lease: Lease) {
        self.group.put(Space::Records, keys::leased(task.id), origin.encode());
        self.hold(task.id, Held { origin, running: Running::of(task, lease), kept: Kept::Record });
    }

    /// Remembers a lease.
    fn hold(&mut self, task: TaskId, held: Held) {
        if let Some(number) = self.memory.leases.insert(task, held) {
            self.group.remove(Space::Records, keys::lease_entry(number));
        }
        self.memory.leases_changed.push(task);
        self.events.push(Event::Changed(task));
    }

    /// Forgets a lease, and removes its key unless other leases share it.
    fn forget_lease(&mut self, task: TaskId) {
        self.memory.leases_changed.push(task);
        match self.memory.leases.remove(task) {
            Some(Unused::Entry(number)) => self.group.remove(Space::Records, keys::lease_entry(number)),
            Some(Unused::Own) => self.group.remove(Space::Records, keys::leased(task)),
            None => {}
        }
    }

    /// The one routine for every end of a task; called once per task.
    fn end(&mut self, task: &Task, at: Millis, carried: &mut Carried) -> Result<()> {
        self.memory.retention.add(task.kept_until().unwrap_or(at), task.id);
        match task.is_dead_letter() {
            true => self.group.put(Space::Index, keys::dead_letter(task, at), []),
            false => {
                if let Piece::Outside(_) = std::mem::take(&mut carried.input) {
                    self.group.remove(Space::Blobs, keys::input(task.id));
                }
            }
        }
        self.release_function(&task.tenant, task.function)?;
        self.events.push(Event::Ended(task.id));
        Ok(())
    }

    /// Removes an unfinished task from the indexes of its state.
    fn leave(&mut self, task: &Task, place: Place) -> Result<()> {
        match &task.state {
            TaskState::Queued { not_before } => {
                if !is_found_by_age(task) {
                    self.group.remove(Space::Index, Timed::Waiting.key(task.expires_at, task.id));
                }
                match place {
                    Place::Delayed => self.leave_delayed(task, *not_before),
                    _ => self.leave_ready(task),
                }
            }
            TaskState::Running(_) => {
                self.forget_lease(task.id);
                self.count(&task.tenant, |counters| counters.running = counters.running.saturating_sub(1))
            }
            TaskState::Completed(_) | TaskState::Failed(..) => Ok(()),
        }
    }

    fn leave_delayed(&mut self, task: &Task, not_before: Millis) -> Result<()> {
        self.group.remove(Space::Index, Timed::Delayed.key(not_before, task.id));
        self.count(&task.tenant, |counters| counters.delayed = counters.delayed.saturating_sub(1))
    }

    fn leave_ready(&mut self, task: &Task) -> Result<()> {
        self.memory.starts.removed(&task.tenant, task.priority, &keys::moment(task.created_at, task.id));
        self.count_out(&task.tenant, task.priority)
    }

    /// Counts a task that is no longer ready.
    fn count_out(&mut self, tenant: &TenantId, priority: Priority) -> Result<()> {
        self.count(tenant, |counters| {
            let ready = &mut counters.ready[usize::from(keys::order(priority))];
            *ready = ready.saturating_sub(1);
        })
    }

    /// Returns bytes as a record carries them; large ones are written under a key of their own.
    fn piece(&mut self, key: Key, bytes: &Bytes) -> Piece {
        match u32::try_from(bytes.len()) {
            Ok(size) if bytes.len() > INLINE_BYTES_MAX => {
                self.group.put(Space::Blobs, key, bytes);
                Piece::Outside(size)
            }
            _ => Piece::Inline(bytes.clone()),
        }
    }

    /// Returns the first due entries of a timed index. The caller removes each of them.
    fn due(&self, timed: Timed, until: Millis, limit: usize) -> Result<Vec<Key>> {
        self.group.keys(Space::Index, &timed.start(), &timed.after(until), limit)
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
        let mut record = records::decode_function(bytes)?;
        record.version.state = records::decode_state(self.group.read(Space::Records, &keys::draft(function))?)?;
        let record = Arc::new(record);
        self.memory.functions.insert(function, record.clone());
        Ok(Some(record))
    }

    /// Writes a key of no meaning.
    #[cfg(test)]
    pub(super) fn put(&mut self, key: &str) {
        self.group.put(Space::Records, key, "value");
    }
}
