//! Reads of tasks and of the backlog. Independent of the steps.

use std::collections::BTreeMap;

use bytes::Bytes;
use fusebox_core::{id::TaskId, limits::PAGE_ROWS_MAX, name::TenantId, task::Task};
use futures_util::future;
use redis::Value;

use super::{answers, caller::Caller, keys::Place, records, states, version_cache::VersionCache};
use crate::{Backlog, Page, PageRequest, Result, TaskResult};

/// Number of digits of the time at the start of a row's cursor.
const TIME_DIGITS: usize = 16;

/// Returns a task.
pub(super) async fn task(
    caller: &Caller,
    cache: &VersionCache,
    tenant: &TenantId,
    task: TaskId,
) -> Result<Option<Task>> {
    let fields = shown(caller, task, &records::FIELDS).await?;
    read(caller, cache, tenant, task, fields).await
}

/// Returns a task and its output.
pub(super) async fn result(
    caller: &Caller,
    cache: &VersionCache,
    tenant: &TenantId,
    task: TaskId,
) -> Result<Option<TaskResult>> {
    let names: Vec<_> = records::FIELDS.into_iter().chain(["result"]).collect();
    let mut fields = shown(caller, task, &names).await?;
    let output = fields.pop().map(answers::bytes).transpose()?.flatten();
    let task = read(caller, cache, tenant, task, fields).await?;
    Ok(task.map(|task| TaskResult { task, output: output.unwrap_or_default() }))
}

/// Returns the bytes of a task's field; empty if the task lacks the field.
pub(super) async fn bytes(
    caller: &Caller,
    cache: &VersionCache,
    tenant: &TenantId,
    task: TaskId,
    name: &str,
) -> Result<Option<Bytes>> {
    let mut fields = fields(caller, task, &["record", name]).await?;
    let bytes = fields.pop().map(answers::bytes).transpose()?.flatten();
    let record = fields.pop().map(answers::optional_text).transpose()?.flatten();
    let Some(record) = record else { return Ok(None) };
    let kind = cache.kinds.of(caller, caller.layout().of(task), &record).await?;
    Ok(kind.filter(|kind| kind.tenant == *tenant).map(|_| bytes.unwrap_or_default()))
}

/// Returns fields of a task, the first of which decode it. Only the library can tell if a task runs that has not ended.
async fn shown(caller: &Caller, task: TaskId, names: &[&str]) -> Result<Vec<Value>> {
    let fields = fields(caller, task, names).await?;
    match fields.as_slice() {
        [Value::Nil, ..] => Ok(fields),
        [_, Value::BulkString(state), ..] if states::has_ended(state) => Ok(fields),
        _ => {
            let call = caller.call(caller.layout().of(task), "task").arg(task.to_string());
            answers::list(caller.ask(call.args(names)).await?)
        }
    }
}

async fn fields(caller: &Caller, task: TaskId, names: &[&str]) -> Result<Vec<Value>> {
    let mut command = redis::cmd("HMGET");
    let place = caller.layout().of(task);
    command.arg(place.task(task)).arg(names);
    answers::list(caller.send(place, &command).await?)
}

/// Decodes a task; `None` if it does not exist or belongs to another tenant.
async fn read(
    caller: &Caller,
    cache: &VersionCache,
    tenant: &TenantId,
    task: TaskId,
    fields: Vec<Value>,
) -> Result<Option<Task>> {
    let Some(record) = fields.first().cloned().map(answers::optional_text).transpose()?.flatten() else {
        return Ok(None);
    };
    let kind = cache.kinds.of(caller, caller.layout().of(task), &record).await?;
    match kind.filter(|kind| kind.tenant == *tenant) {
        Some(kind) => records::task(task, fields, &kind).map(|record| Some(record.task)),
        None => Ok(None),
    }
}

/// Returns a page of an index of tasks, latest first.
pub(super) async fn page(
    caller: &Caller,
    cache: &VersionCache,
    index: &str,
    tenant: &TenantId,
    page: &PageRequest,
) -> Result<Page<Task>> {
    let cursor = match page.cursor.as_deref() {
        None => "",
        Some(cursor) if is_cursor(cursor) => cursor,
        Some(_) => return Ok(Page { items: Vec::new(), next: None }),
    };
    let rows = page.rows.clamp(1, PAGE_ROWS_MAX) as usize;
    let of = |place: Place| page_of(caller, place, (index, tenant), cursor, rows + 1);
    let mut found = future::try_join_all(caller.layout().places().map(of)).await?.concat();
    found.sort_by(|(one, _), (other, _)| other.cmp(one));
    let more = found.len() > rows;
    found.truncate(rows);
    let next = found.last().filter(|_| more).map(|(member, _)| member.clone());
    let mut items = Vec::new();
    for (member, record) in found {
        let id = member.get(TIME_DIGITS..).and_then(|id| id.parse().ok());
        let id = id.ok_or_else(|| answers::unexpected("an index of tasks"))?;
        items.extend(read(caller, cache, tenant, id, answers::list(record)?).await?);
    }
    Ok(Page { items, next })
}

/// Returns the first rows of a place behind a cursor, each with its own cursor. A call reads some tasks at most, of which
/// some may be gone.
async fn page_of(
    caller: &Caller,
    place: Place,
    (index, tenant): (&str, &TenantId),
    cursor: &str,
    rows: usize,
) -> Result<Vec<(String, Value)>> {
    let (mut found, mut cursor) = (Vec::new(), cursor.to_owned());
    loop {
        let call = caller.call(place, "page").arg(caller.layout().named(index)).arg(tenant.as_str());
        let [next, more] = answers::tuple(caller.ask(call.arg(&cursor).arg(rows - found.len())).await?)?;
        for row in answers::list(more)? {
            let [member, record] = answers::tuple(row)?;
            found.push((answers::text(member)?, record));
        }
        cursor = answers::text(next)?;
        if cursor.is_empty() || found.len() >= rows {
            return Ok(found);
        }
    }
}

fn is_cursor(text: &str) -> bool {
    let (time, id) = text.split_at_checked(TIME_DIGITS).unwrap_or_default();
    time.bytes().all(|byte| byte.is_ascii_digit()) && id.parse::<TaskId>().is_ok_and(|task| task.to_string() == id)
}

/// Returns the numbers of unfinished tasks, for each tenant that has any.
pub(super) async fn backlog(caller: &Caller) -> Result<Vec<Backlog>> {
    let mut all: BTreeMap<TenantId, Backlog> = BTreeMap::new();
    let parts = caller.layout().places().map(|place| backlog_of(caller, place));
    for part in future::try_join_all(parts).await?.into_iter().flatten() {
        let none = Backlog { tenant: part.tenant.clone(), ready: 0, delayed: 0, running: 0 };
        let sum = all.entry(part.tenant).or_insert(none);
        sum.ready += part.ready;
        sum.delayed += part.delayed;
        sum.running += part.running;
    }
    Ok(all.into_values().collect())
}

async fn backlog_of(caller: &Caller, place: Place) -> Result<Vec<Backlog>> {
    let (mut found, mut cursor): (BTreeMap<TenantId, Backlog>, _) = (BTreeMap::new(), "0".to_owned());
    loop {
        let mut answer = answers::list(caller.ask(caller.call(place, "backlog").arg(&cursor)).await?)?.into_iter();
        cursor = answers::text(answer.next().unwrap_or_default())?;
        for tenant in answer {
            let [tenant, ready, delayed, running] = answers::tuple(tenant)?;
            let tenant: TenantId = answers::text(tenant)?.parse().map_err(|_| answers::unexpected("a tenant"))?;
            let [ready, delayed, running] = [ready, delayed, running].map(answers::number);
            // Redis may return a tenant twice while the set changes; the later count is the better one.
            let backlog = Backlog { tenant: tenant.clone(), ready: ready?, delayed: delayed?, running: running? };
            found.insert(tenant, backlog);
        }
        if cursor == "0" {
            return Ok(found.into_values().collect());
        }
    }
}
