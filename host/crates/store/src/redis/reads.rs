//! Reads of tasks and of the backlog. Independent of the steps.

use std::collections::BTreeMap;

use bytes::Bytes;
use fusebox_core::{
    id::{FunctionId, TaskId},
    name::TenantId,
    task::Task,
};
use futures_util::future;
use redis::Value;

use super::{answers, caller::Caller, keys::Place, records, states, version_cache::VersionCache};
use crate::{Backlog, Result, TaskResult};

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

/// Returns the number of a version's tasks that have not ended.
pub(super) async fn unfinished(caller: &Caller, tenant: &TenantId, function: FunctionId) -> Result<u64> {
    let call = |place| caller.call(place, "unfinished").arg(tenant.as_str()).arg(records::version(function));
    let counts = caller.layout().places().map(|place| caller.ask(call(place)));
    let mut sum = 0;
    for count in future::try_join_all(counts).await? {
        sum += answers::number(count)?;
    }
    Ok(sum)
}
