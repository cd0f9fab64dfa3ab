//! Reads of the committed state, directly from the engine and concurrent with the writer. Each read sees one snapshot.
//! Independent of the steps.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use fusebox_core::{
    function::FunctionVersion,
    id::{FunctionId, TaskId},
    limits::PAGE_ROWS_MAX,
    name::{FunctionName, TenantId},
    task::Task,
    time::Millis,
};
use quick_cache::sync::Cache;

use super::{
    engine::{Engine, Snapshot, Space},
    keys::{self, Key, Origin, Place},
    open,
    records::{self, Carried, Counters, FunctionRecord, Named, Piece},
    running::Committed,
};
use crate::{Backlog, Error, FunctionRef, Holdings, Page, PageRequest, Result, Room, TaskResult};

/// Largest number of cached function versions, about 300 bytes each. Beyond it, versions are read from the engine.
const VERSIONS_MAX: usize = 1_000;

type Versions = Cache<(TenantId, FunctionRef), (u64, FunctionVersion)>;

/// Reader of the committed state. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reads {
    engine: Arc<Engine>,
    running: Arc<Committed>,
    /// Versions found, with the number of commits before: a sync invoke reads nothing else, and usually nothing has
    /// changed.
    versions: Arc<Versions>,
}

impl Reads {
    /// Creates a reader of an engine.
    pub(super) fn new(engine: Arc<Engine>, running: Arc<Committed>) -> Self {
        Self { engine, running, versions: Arc::new(Cache::new(VERSIONS_MAX)) }
    }

    /// Performs a read that may take long on a thread for blocking work.
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let reads = self.clone();
        let done = tokio::task::spawn_blocking(move || read(&reads)).await;
        done.map_err(|error| Error::Unavailable(error.to_string()))?
    }

    /// Returns the time of the last step that wrote, in this or an earlier process; 0 if there was none.
    pub(super) fn written_at(&self) -> Result<Millis> {
        let bytes = self.engine.snapshot()?.get(Space::Records, &keys::written_at())?;
        let written_at = bytes.map(|bytes| records::decode("the time", &bytes)).transpose()?;
        Ok(written_at.unwrap_or_default())
    }

    /// Returns the leases that are committed.
    pub(super) fn running(&self) -> &Committed {
        &self.running
    }

    /// Returns the current committed state.
    pub(super) fn snapshot(&self) -> Result<Snapshot> {
        self.engine.snapshot()
    }

    /// Returns a task.
    pub(super) fn task(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Task>> {
        Ok(self.found(tenant, task)?.map(|(_, task, _)| task))
    }

    /// Returns a task with what its record carries, and the state that it was read from.
    fn found(&self, tenant: &TenantId, id: TaskId) -> Result<Option<(Snapshot, Task, Carried)>> {
        let running = self.running.get(id);
        let snapshot = self.engine.snapshot()?;
        let Some((mut task, carried)) = record_of(&snapshot, tenant, id)? else { return Ok(None) };
        running.inspect(|running| running.apply(&mut task));
        Ok(Some((snapshot, task, carried)))
    }

    /// Returns a task and its output.
    pub(super) fn result(&self, tenant: &TenantId, task: TaskId) -> Result<Option<TaskResult>> {
        let Some((snapshot, task, carried)) = self.found(tenant, task)? else { return Ok(None) };
        let output = whole(&snapshot, &keys::output(task.id), carried.output)?;
        Ok(Some(TaskResult { task, output }))
    }

    /// Returns a task's log.
    pub(super) fn log(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Bytes>> {
        let Some((snapshot, task, carried)) = self.found(tenant, task)? else { return Ok(None) };
        whole(&snapshot, &keys::log(task.id), carried.log).map(Some)
    }

    /// Returns a task's input.
    pub(super) fn input(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Bytes>> {
        let Some((snapshot, task, carried)) = self.found(tenant, task)? else { return Ok(None) };
        whole(&snapshot, &keys::input(task.id), carried.input).map(Some)
    }

    /// Returns a tenant's dead letters, most recent failure first.
    pub(super) fn dead_letters(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Task>> {
        let Some(before) = moment(page) else { return Ok(empty()) };
        let prefix = keys::dead_letters_of(tenant);
        let to = before.map_or_else(|| keys::past(&prefix), |before| [&prefix[..], &before].concat());
        let snapshot = self.engine.snapshot()?;
        let entries = snapshot.keys_back(Space::Index, &prefix, &to)?;
        fill(
            page,
            |key| key.get(prefix.len()..).unwrap_or_default(),
            entries,
            |key| {
                let Some(id) = keys::last_task(key) else { return Ok(None) };
                readable(record_of(&snapshot, tenant, id).map(|found| found.map(|(task, _)| task)))
            },
        )
    }

    /// Returns one version.
    pub(super) fn function(&self, tenant: &TenantId, function: &FunctionRef) -> Result<Option<FunctionVersion>> {
        let commits = self.engine.commits();
        let key = (tenant.clone(), function.clone());
        if let Some((at, version)) = self.versions.get(&key)
            && at == commits
        {
            return Ok(Some(version));
        }
        let snapshot = self.engine.snapshot()?;
        let id = match function {
            FunctionRef::Id(id) => Some(*id),
            FunctionRef::Name(name) => {
                let id = snapshot.get(Space::Records, &keys::newest(tenant, name))?;
                id.map(|id| function_id(&id)).transpose()?
            }
        };
        let found = id.map(|id| function_of(&snapshot, tenant, id)).transpose()?.flatten();
        if let Some(version) = &found {
            self.versions.insert(key, (commits, version.clone()));
        }
        Ok(found)
    }

    /// Returns the newest version of each name, sorted by name.
    pub(super) fn functions(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<FunctionVersion>> {
        self.functions_of(tenant, &keys::newest_of_all(tenant), page)
    }

    /// Returns a page of the versions whose ids are stored under a prefix, in key order.
    fn functions_of(&self, tenant: &TenantId, prefix: &[u8], page: &PageRequest) -> Result<Page<FunctionVersion>> {
        let from = match cursor(page) {
            None => prefix.to_vec(),
            Some(Some(last)) => keys::next(&[prefix, &last[..]].concat()),
            Some(None) => return Ok(empty()),
        };
        let snapshot = self.engine.snapshot()?;
        let entries = snapshot.keys(Space::Records, &from, &keys::past(prefix))?;
        fill(
            page,
            |key| key.get(prefix.len()..).unwrap_or_default(),
            entries,
            |key| match snapshot.get(Space::Records, key)? {
                Some(id) => function_of(&snapshot, tenant, function_id(&id)?),
                None => Ok(None),
            },
        )
    }

    /// Returns the versions of a name, newest first.
    pub(super) fn versions(
        &self,
        tenant: &TenantId,
        name: &FunctionName,
        page: &PageRequest,
    ) -> Result<Page<FunctionVersion>> {
        self.functions_of(tenant, &keys::versions(tenant, name), page)
    }

    /// Returns the numbers of unfinished tasks, for each tenant that has any.
    pub(super) fn backlog(&self) -> Result<Vec<Backlog>> {
        let prefix = keys::counters_of_all();
        let mut backlog = Vec::new();
        let snapshot = self.engine.snapshot()?;
        for entry in snapshot.entries(Space::Records, &prefix, &keys::past(&prefix))? {
            let (key, value) = entry?;
            let counters: Counters = records::decode("a tenant's counters", &value)?;
            let tenant = keys::named_tenant(&key);
            let tenant = tenant.ok_or_else(|| Error::Corrupt("the key of a tenant's counters".to_owned()))?;
            backlog.extend(counters.backlog(tenant));
        }
        Ok(backlog)
    }

    /// Returns the number of a version's tasks that have not ended.
    pub(super) fn unfinished(&self, function: FunctionId) -> Result<u64> {
        let tasks = self.engine.snapshot()?.get(Space::Records, &keys::unfinished(function))?;
        tasks.map_or(Ok(0), |tasks| records::decode("a version's unfinished tasks", &tasks))
    }

    /// Returns the bytes stored for a tenant.
    pub(super) fn stored_bytes(&self, tenant: &TenantId) -> Result<u64> {
        stored_bytes(&self.engine.snapshot()?, tenant)
    }

    /// Returns what tenants store together.
    pub(super) fn holdings(&self, tenants: &[TenantId]) -> Result<Holdings> {
        let (snapshot, mut holdings) = (self.engine.snapshot()?, Holdings::default());
        for tenant in tenants {
            holdings.add(stored_bytes(&snapshot, tenant)?);
        }
        Ok(holdings)
    }

    /// Copies the store into a directory, see [`super::EmbeddedStore::snapshot`].
    pub(super) fn copy(&self, to: &Path) -> Result<()> {
        open::copy(&self.engine, to)
    }

    /// Returns the size of the store on disk, in bytes.
    pub(super) fn disk_bytes(&self) -> Result<u64> {
        self.engine.disk_bytes()
    }

    /// Returns the room of the file.
    pub(super) fn room(&self) -> Result<Room> {
        self.engine.room()
    }

    /// Fails if the engine is closed, as it is after a failed flush until it is opened again.
    pub(super) fn check(&self) -> Result<()> {
        self.engine.snapshot().map(drop)
    }
}

/// Returns a task with what its record carries.
pub(super) fn record_of(snapshot: &Snapshot, tenant: &TenantId, id: TaskId) -> Result<Option<(Task, Carried)>> {
    let Some(origin) = snapshot.get(Space::Records, &keys::origin(id))? else { return Ok(None) };
    let origin = Origin::decode(&origin).ok_or_else(|| Error::Corrupt(format!("the origin of task {id}")))?;
    if origin.tenant != *tenant {
        return Ok(None);
    }
    for place in [Place::Ended, Place::Queue(origin.priority), Place::Delayed] {
        if let Some(record) = snapshot.get(Space::Records, &origin.record(place, id))? {
            let named = Named { id, tenant: origin.tenant, created_at: origin.created_at };
            return records::decode_task(named, &record).map(Some);
        }
    }
    Err(Error::Corrupt(format!("the record of task {id}")))
}

/// Returns the bytes of a piece; `key` is that of large ones.
fn whole(snapshot: &Snapshot, key: &[u8], piece: Piece) -> Result<Bytes> {
    match piece {
        Piece::Inline(bytes) => Ok(bytes),
        Piece::Outside(_) => snapshot.get(Space::Blobs, key)?.ok_or_else(records::missing_piece),
    }
}

/// Leaves out of a listing what cannot be read, since it would hide everything behind it.
pub(super) fn readable<T>(row: Result<Option<T>>) -> Result<Option<T>> {
    match row {
        Err(Error::Corrupt(reason)) => {
            tracing::error!(reason, "a listing leaves out a task: its record cannot be read");
            Ok(None)
        }
        row => row,
    }
}

fn function_of(snapshot: &Snapshot, tenant: &TenantId, function: FunctionId) -> Result<Option<FunctionVersion>> {
    let Some(bytes) = snapshot.get(Space::Records, &keys::function(function))? else { return Ok(None) };
    let FunctionRecord { mut version, deleted } = records::decode_function(&bytes)?;
    if version.tenant != *tenant || deleted {
        return Ok(None);
    }
    version.state = records::decode_state(snapshot.get(Space::Records, &keys::draft(function))?.as_deref())?;
    Ok(Some(version))
}

fn function_id(bytes: &[u8]) -> Result<FunctionId> {
    let bytes = <[u8; 16]>::try_from(bytes).map_err(|_| Error::Corrupt("a function's id".to_owned()))?;
    Ok(FunctionId::from_bytes(bytes))
}

/// Decodes the cursor of a page: `None` without one, `Some(None)` if it is invalid, otherwise the end of the last row's
/// key.
fn cursor(page: &PageRequest) -> Option<Option<Key>> {
    page.cursor.as_ref().map(|text| hex::decode(text).ok())
}

/// Returns the moment before which a page of tasks ends: `None` if the cursor is invalid, `Some(None)` without one.
pub(super) fn moment(page: &PageRequest) -> Option<Option<[u8; keys::MOMENT_BYTES]>> {
    match cursor(page) {
        None => Some(None),
        Some(text) => text?.try_into().ok().map(Some),
    }
}

fn empty<T>() -> Page<T> {
    Page { items: Vec::new(), next: None }
}

/// Reads a page's rows; the cursor of the next page is the end of the last row's key.
fn fill<E: AsKey, T>(
    page: &PageRequest,
    end: impl Fn(&[u8]) -> &[u8],
    entries: impl Iterator<Item = Result<E>>,
    row: impl Fn(&E) -> Result<Option<T>>,
) -> Result<Page<T>> {
    let rows = page.rows.clamp(1, PAGE_ROWS_MAX) as usize;
    let (mut items, mut last) = (Vec::new(), None);
    for entry in entries {
        let entry = entry?;
        if items.len() == rows {
            let next = last.map(|last: E| hex::encode(end(last.key())));
            return Ok(Page { items, next });
        }
        items.extend(row(&entry)?);
        last = Some(entry);
    }
    Ok(Page { items, next: None })
}

/// Entry of a map, with or without its value.
trait AsKey {
    fn key(&self) -> &[u8];
}

impl AsKey for Key {
    fn key(&self) -> &[u8] {
        self
    }
}

fn stored_bytes(snapshot: &Snapshot, tenant: &TenantId) -> Result<u64> {
    let bytes = snapshot.get(Space::Records, &keys::counters(tenant))?;
    let counters = bytes.map(|bytes| records::decode::<Counters>("a tenant's counters", &bytes)).transpose()?;
    Ok(counters.unwrap_or_default().stored_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_hexadecimal_or_nothing() {
        let read = |text: &str| cursor(&PageRequest { cursor: Some(text.to_owned()), rows: 1 });
        assert_eq!(read("00fF"), Some(Some(vec![0, 255])));
        assert_eq!(read(""), Some(Some(Vec::new())));
        for none in ["0", "0g", "é", "+1"] {
            assert_eq!(read(none), Some(None), "{none}");
        }
    }
}
