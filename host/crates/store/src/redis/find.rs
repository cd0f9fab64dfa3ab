//! Search for tasks: in the listing of a tenant, in the index of a tag, or among those that run. On a Cluster each partition
//! is searched, and what is found is merged up to where the slowest of them has come. The library skips what it can tell by
//! a task's state and kind; the selection decides.

use fusebox_core::{
    id::TaskId,
    limits::PAGE_ROWS_MAX,
    name::TenantId,
    selection::{Order, Runs, Selection},
    task::{Status, Task},
};
use futures_util::future;
use redis::Value;

use super::{
    answers,
    caller::Caller,
    keys::{self, Place},
    records,
    version_cache::VersionCache,
};
use crate::{FIND_TASKS_MAX, Find, Page, PageRequest, Result};

/// Number of digits of the time at the start of a row's cursor.
const TIME_DIGITS: usize = 16;
/// Least number of rows in one call, of which the selection may refuse some.
const ROWS_MIN: usize = 100;
/// Largest number of tasks that run in a place for which these are read instead of the listing: as many as one call of the
/// listing reads.
const RUNNING_MAX: usize = 2_000;

/// Search under way.
struct Search<'a> {
    caller: &'a Caller,
    cache: &'a VersionCache,
    tenant: &'a TenantId,
    /// Index, and the part of its name behind the tag.
    index: (&'static str, String),
    selection: &'a Selection,
    order: Order,
    /// Time and id behind which the page begins; empty for the first page.
    cursor: String,
    rows: usize,
}

/// Part of a page that one place has.
struct Part {
    /// Cursors of the tasks, and the tasks.
    found: Vec<(String, Task)>,
    /// Cursor at which the search has stopped before its end.
    stopped_at: Option<String>,
}

/// Returns a tenant's tasks that are searched for.
pub(super) async fn find(caller: &Caller, cache: &VersionCache, tenant: &TenantId, asked: &Find) -> Result<Page<Task>> {
    let index = match asked.selection.tags.first() {
        Some(tag) => (keys::TAGGED, format!("{tenant}:{tag}")),
        None => (keys::TASKS, tenant.to_string()),
    };
    let Find { selection, order, page } = asked;
    search(caller, cache, tenant, index, selection, *order, page).await
}

/// Returns a tenant's dead letters, the latest failure first.
pub(super) async fn dead_letters(
    caller: &Caller,
    cache: &VersionCache,
    tenant: &TenantId,
    page: &PageRequest,
) -> Result<Page<Task>> {
    let index = (keys::DEAD, tenant.to_string());
    search(caller, cache, tenant, index, &Selection::default(), Order::Newest, page).await
}

async fn search(
    caller: &Caller,
    cache: &VersionCache,
    tenant: &TenantId,
    index: (&'static str, String),
    selection: &Selection,
    order: Order,
    page: &PageRequest,
) -> Result<Page<Task>> {
    let cursor = match page.cursor.as_deref() {
        None => String::new(),
        Some(cursor) if is_cursor(cursor) => cursor.to_owned(),
        Some(_) => return Ok(Page { items: Vec::new(), next: None }),
    };
    let rows = page.rows.clamp(1, PAGE_ROWS_MAX) as usize;
    let search = Search { caller, cache, tenant, index, selection, order, cursor, rows };
    let parts = future::try_join_all(caller.layout().places().map(|place| search.part(place))).await?;
    Ok(search.merged(parts))
}

impl Search<'_> {
    async fn part(&self, place: Place) -> Result<Part> {
        let is_of_listing = self.index.0 == keys::TASKS;
        if is_of_listing
            && self.selection.status() == Some(Status::Running)
            && let Some(part) = self.that_run(place).await?
        {
            return Ok(part);
        }
        self.listed(place).await
    }

    /// Searches an index up to the bound of tasks that are looked at.
    async fn listed(&self, place: Place) -> Result<Part> {
        let places = self.caller.layout().places().count();
        let (mut left, mut found, mut cursor) = (FIND_TASKS_MAX.div_ceil(places), Vec::new(), self.cursor.clone());
        let (edge, stop) = self.ends();
        // A cursor of another search may lie outside of the times.
        if self.is_outside(&cursor, &edge) {
            cursor.clear();
        }
        loop {
            let rows = (self.rows + 1 - found.len()).max(ROWS_MIN);
            let call = self.caller.call(place, "page").arg(self.caller.layout().named(self.index.0)).arg(&self.index.1);
            let call = call.arg(&cursor).arg(&edge).arg(&stop).arg(order_word(self.order)).arg(rows).arg(left);
            let call = call.arg(letters(self.selection.status())).arg(self.version());
            let [next, looked_at, more] = answers::tuple(self.caller.ask(call).await?)?;
            left = left.saturating_sub(usize::try_from(answers::number(looked_at)?).unwrap_or(usize::MAX));
            self.read(place, answers::list(more)?, &mut found).await?;
            cursor = answers::text(next)?;
            if cursor.is_empty() {
                return Ok(Part { found, stopped_at: None });
            }
            if found.len() > self.rows {
                found.truncate(self.rows + 1);
                let stopped_at = found.last().map(|(cursor, _)| cursor.clone());
                return Ok(Part { found, stopped_at });
            }
            if left == 0 {
                return Ok(Part { found, stopped_at: Some(cursor) });
            }
        }
    }

    /// Returns the tasks that run in a place; `None` if they are too many to be read at once.
    async fn that_run(&self, place: Place) -> Result<Option<Part>> {
        let call = self.caller.call(place, "running").arg(self.tenant.as_str()).arg(RUNNING_MAX);
        let rows = match self.caller.ask(call).await? {
            Value::Nil => return Ok(None),
            rows => answers::list(rows)?,
        };
        let mut found = Vec::new();
        self.read(place, rows, &mut found).await?;
        let (edge, stop) = self.ends();
        let is_behind = |cursor: &str| match self.order {
            Order::Newest => self.cursor.is_empty() || cursor < self.cursor.as_str(),
            Order::Oldest => cursor > self.cursor.as_str(),
        };
        found.retain(|(cursor, _)| {
            is_behind(cursor) && !self.is_outside(cursor, &edge) && !self.is_beyond(cursor, &stop)
        });
        Ok(Some(Part { found, stopped_at: None }))
    }

    /// Reads rows, and adds the tasks that are selected.
    async fn read(&self, place: Place, rows: Vec<Value>, found: &mut Vec<(String, Task)>) -> Result<()> {
        for row in rows {
            let [cursor, fields] = answers::tuple(row)?;
            let (cursor, fields) = (answers::text(cursor)?, answers::list(fields)?);
            let id: Option<TaskId> = cursor.get(TIME_DIGITS..).and_then(|id| id.parse().ok());
            let id = id.ok_or_else(|| answers::unexpected("an index of tasks"))?;
            let Some(record) = fields.first().cloned().map(answers::optional_text).transpose()?.flatten() else {
                continue;
            };
            let Some(kind) = self.cache.kinds.of(self.caller, place, &record).await? else { continue };
            if kind.tenant != *self.tenant {
                continue;
            }
            let task = records::task(id, fields, &kind)?.task;
            if self.selection.takes(&task, || Result::Ok(Some(kind.function_name.clone())))? {
                found.push((cursor, task));
            }
        }
        Ok(())
    }

    /// Returns the times between which the listing is searched, in the order of the search; empty for its ends.
    fn ends(&self) -> (String, String) {
        let text =
            |time: Option<fusebox_core::time::Millis>| time.map_or_else(String::new, |time| format!("{:016}", time.0));
        let (since, until) = (text(self.selection.since), text(self.selection.until));
        match self.order {
            Order::Newest => (until, since),
            Order::Oldest => (since, until),
        }
    }

    /// Returns true if a cursor lies before the time at which the search begins.
    fn is_outside(&self, cursor: &str, edge: &str) -> bool {
        let time = cursor.get(..TIME_DIGITS).unwrap_or_default();
        !edge.is_empty()
            && match self.order {
                Order::Newest => time >= edge,
                Order::Oldest => time < edge,
            }
    }

    /// Returns true if a cursor lies behind the time at which the search ends.
    fn is_beyond(&self, cursor: &str, stop: &str) -> bool {
        let time = cursor.get(..TIME_DIGITS).unwrap_or_default();
        !stop.is_empty()
            && match self.order {
                Order::Newest => time < stop,
                Order::Oldest => time >= stop,
            }
    }

    /// Returns the version that the library compares; empty for any.
    fn version(&self) -> String {
        match &self.selection.function {
            Some(Runs::Version(version)) => records::version(*version),
            Some(Runs::Name(_)) | None => String::new(),
        }
    }

    /// Returns the page that the parts make. Behind the place at which one of them has stopped, it may have other tasks.
    fn merged(&self, parts: Vec<Part>) -> Page<Task> {
        let is_newest = self.order == Order::Newest;
        let stops = parts.iter().filter_map(|part| part.stopped_at.clone());
        let stopped_at = if is_newest { stops.max() } else { stops.min() };
        let mut found: Vec<_> = parts.into_iter().flat_map(|part| part.found).collect();
        if let Some(stop) = &stopped_at {
            found.retain(|(cursor, _)| if is_newest { cursor >= stop } else { cursor <= stop });
        }
        found.sort_by(|(one, _), (other, _)| if is_newest { other.cmp(one) } else { one.cmp(other) });
        let more = found.len() > self.rows;
        found.truncate(self.rows);
        let next = if more { found.last().map(|(cursor, _)| cursor.clone()) } else { stopped_at };
        Page { items: found.into_iter().map(|(_, task)| task).collect(), next }
    }
}

/// Returns the letters of the states that have a status; empty for any.
const fn letters(status: Option<Status>) -> &'static str {
    match status {
        None => "",
        Some(Status::Queued) => "QD",
        Some(Status::Running) => "RB",
        Some(Status::Completed) => "C",
        Some(Status::Failed) => "F",
    }
}

const fn order_word(order: Order) -> &'static str {
    match order {
        Order::Newest => "newest",
        Order::Oldest => "oldest",
    }
}

fn is_cursor(text: &str) -> bool {
    let (time, id) = text.split_at_checked(TIME_DIGITS).unwrap_or_default();
    time.bytes().all(|byte| byte.is_ascii_digit()) && id.parse::<TaskId>().is_ok_and(|task| task.to_string() == id)
}
