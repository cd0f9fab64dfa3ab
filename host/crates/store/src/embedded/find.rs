//! Search for tasks: those of all places of a tenant, merged by their time of acceptance; of a tag, by its index; those that
//! run, by the leases. Whatever leads to a task, the selection decides.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use bytes::Bytes;
use fusebox_core::{
    id::{FunctionId, TaskId},
    limits::PAGE_ROWS_MAX,
    name::{FunctionName, TenantId},
    selection::{Order, Runs, Selection},
    task::{Status, Task},
    time::Millis,
};

use super::{
    engine::{Snapshot, Space},
    keys::{self, Key, MOMENT_BYTES, Origin, Place},
    reads::{Reads, moment, readable, record_of},
    records::{self, Named},
    running::Attempts,
};
use crate::{FIND_TASKS_MAX, Find, Page, Result};

type Moment = [u8; MOMENT_BYTES];
/// Time and id of a task, with its record if that is at hand.
type Candidate = (Moment, Option<Result<Bytes>>);
type Candidates<'a> = Box<dyn Iterator<Item = Result<Candidate>> + 'a>;

impl Reads {
    /// Returns a tenant's tasks that are searched for.
    pub(super) fn find(&self, tenant: &TenantId, asked: &Find) -> Result<Page<Task>> {
        let Some(cursor) = moment(&asked.page) else { return Ok(Page { items: Vec::new(), next: None }) };
        let running = self.running().all();
        let snapshot = self.snapshot()?;
        let search = Search {
            tenant,
            selection: &asked.selection,
            is_back: asked.order == Order::Newest,
            range: range(asked, cursor),
            running,
            snapshot: &snapshot,
            names: RefCell::default(),
        };
        search.page(asked.page.rows.clamp(1, PAGE_ROWS_MAX) as usize)
    }
}

/// Search under way.
struct Search<'a> {
    tenant: &'a TenantId,
    selection: &'a Selection,
    /// True if the latest task comes first.
    is_back: bool,
    /// Times of acceptance and ids of the tasks: from the first on, before the second.
    range: (Vec<u8>, Vec<u8>),
    running: Arc<Attempts>,
    snapshot: &'a Snapshot,
    /// Names of the functions of tasks that were looked at.
    names: RefCell<HashMap<FunctionId, Option<FunctionName>>>,
}

/// Returns the ends of what is searched: the times of the selection, or the cursor, which is closer.
fn range(asked: &Find, cursor: Option<Moment>) -> (Vec<u8>, Vec<u8>) {
    let since = asked.selection.since.unwrap_or_default().0.to_be_bytes().to_vec();
    let until =
        asked.selection.until.map_or_else(|| vec![u8::MAX; MOMENT_BYTES + 1], |until| until.0.to_be_bytes().to_vec());
    match (cursor, asked.order) {
        (None, _) => (since, until),
        (Some(cursor), Order::Newest) => (since, until.min(cursor.to_vec())),
        (Some(cursor), Order::Oldest) => (since.max(keys::next(&cursor)), until),
    }
}

impl<'a> Search<'a> {
    fn page(&self, rows: usize) -> Result<Page<Task>> {
        let (mut items, mut last) = (Vec::new(), None);
        for (looked_at, candidate) in self.candidates()?.enumerate() {
            let (moment, record) = candidate?;
            if items.len() == rows || looked_at == FIND_TASKS_MAX {
                return Ok(Page { items, next: last.map(hex::encode::<Moment>) });
            }
            items.extend(readable(self.look_at(moment, record))?);
            last = Some(moment);
        }
        Ok(Page { items, next: None })
    }

    /// Returns the tasks to be looked at, in their order.
    fn candidates(&self) -> Result<Candidates<'a>> {
        if let Some(tag) = self.selection.tags.first() {
            return self.of_index(keys::tagged(self.tenant, &tag.key, &tag.value));
        }
        let places: &[Place] = match self.selection.status() {
            Some(Status::Running) => return self.that_run(),
            Some(Status::Completed | Status::Failed) => &[Place::Ended],
            Some(Status::Queued) => &Place::UNFINISHED,
            None => &Place::READABLE,
        };
        let sources: Result<Vec<_>> = places.iter().map(|place| self.of_place(*place)).collect();
        Ok(merged(sources?, self.is_back))
    }

    fn of_index(&self, prefix: Key) -> Result<Candidates<'a>> {
        let (from, to) = self.within(&prefix);
        let keys: Box<dyn Iterator<Item = Result<Key>>> = match self.is_back {
            true => Box::new(self.snapshot.keys_back(Space::Index, &from, &to)?),
            false => Box::new(self.snapshot.keys(Space::Index, &from, &to)?),
        };
        let named = |key: Result<Key>| key.map(|key| Some((keys::last_moment(&key)?, None))).transpose();
        Ok(Box::new(keys.filter_map(named)))
    }

    fn of_place(&self, place: Place) -> Result<Candidates<'a>> {
        let (from, to) = self.within(&keys::tasks_of(self.tenant, place));
        let entries: Box<dyn Iterator<Item = _>> = match self.is_back {
            true => Box::new(self.snapshot.entries_back(Space::Records, &from, &to)?),
            false => Box::new(self.snapshot.each_entry(Space::Records, &from, &to)?),
        };
        Ok(Box::new(
            entries.filter_map(|entry| {
                entry.map(|(key, record)| Some((keys::last_moment(&key)?, Some(record)))).transpose()
            }),
        ))
    }

    /// Returns the tasks of all tenants that run. They are as few as the workers have slots and prefetch.
    fn that_run(&self) -> Result<Candidates<'a>> {
        let shared = self.running.iter().map(|(id, running)| keys::moment(running.created_at, *id));
        let mut moments: Vec<Moment> = shared.collect();
        let prefix = keys::leased_of_all();
        for entry in self.snapshot.entries(Space::Records, &prefix, &keys::past(&prefix))? {
            let (key, origin) = entry?;
            let origin = Origin::decode(&origin).filter(|origin| origin.tenant == *self.tenant);
            moments.extend(origin.and_then(|origin| Some(keys::moment(origin.created_at, keys::last_task(&key)?))));
        }
        moments.retain(|moment| moment[..] >= self.range.0[..] && moment[..] < self.range.1[..]);
        moments.sort_unstable();
        moments.dedup();
        if self.is_back {
            moments.reverse();
        }
        Ok(Box::new(moments.into_iter().map(|moment| Ok((moment, None)))))
    }

    /// Returns the first and the last key, exclusive, of the range behind a prefix.
    fn within(&self, prefix: &[u8]) -> (Key, Key) {
        let (from, to) = &self.range;
        let from = [prefix, from].concat();
        let to = [prefix, to].concat();
        // A range of nothing has its ends in the wrong order, which the engine takes for all.
        (from.clone(), to.max(from))
    }

    /// Returns a task if it is selected.
    fn look_at(&self, moment: Moment, record: Option<Result<Bytes>>) -> Result<Option<Task>> {
        let Some((created_at, id)) = keys::split_moment(&moment) else { return Ok(None) };
        let task = match record {
            Some(record) => self.of_record(id, created_at, &record?)?,
            // An entry of an index may be older than the record.
            None => record_of(self.snapshot, self.tenant, id)?.map(|(task, _)| task),
        };
        let Some(mut task) = task.filter(|task| task.created_at == created_at) else { return Ok(None) };
        self.running.get(&id).inspect(|running| running.apply(&mut task));
        let is_taken = self.selection.takes(&task, || self.name(task.function))?;
        Ok(is_taken.then_some(task))
    }

    fn of_record(&self, id: TaskId, created_at: Millis, record: &Bytes) -> Result<Option<Task>> {
        let version = match self.selection.function {
            Some(Runs::Version(version)) => Some(version),
            Some(Runs::Name(_)) | None => None,
        };
        if !records::may_be(record, version, self.selection.status()) {
            return Ok(None);
        }
        let named = Named { id, tenant: self.tenant.clone(), created_at };
        records::decode_task(named, record).map(|(task, _)| Some(task))
    }

    /// Returns the name of a version; `None` once it is deleted and no task needs it.
    fn name(&self, function: FunctionId) -> Result<Option<FunctionName>> {
        if let Some(known) = self.names.borrow().get(&function) {
            return Ok(known.clone());
        }
        let record = self.snapshot.get(Space::Records, &keys::function(function))?;
        let record = record.map(|record| records::decode_function(&record)).transpose()?;
        let name = record.map(|record| record.version.name);
        self.names.borrow_mut().insert(function, name.clone());
        Ok(name)
    }
}

/// Merges sources, each of which is in the wanted order.
fn merged(sources: Vec<Candidates<'_>>, is_back: bool) -> Candidates<'_> {
    let mut sources: Vec<_> = sources.into_iter().map(Iterator::peekable).collect();
    Box::new(std::iter::from_fn(move || {
        let mut first: Option<(usize, Option<Moment>)> = None;
        for (at, source) in sources.iter_mut().enumerate() {
            // An error comes before everything.
            let Some(moment) = source.peek().map(|next| next.as_ref().ok().map(|(moment, _)| *moment)) else {
                continue;
            };
            let is_first = match (first.map(|(_, moment)| moment), moment) {
                (None, _) | (_, None) => true,
                (Some(None), _) => false,
                (Some(Some(known)), Some(moment)) => (moment > known) == is_back,
            };
            if is_first {
                first = Some((at, moment));
            }
        }
        sources.get_mut(first?.0)?.next()
    }))
}
