//! Leases of attempts. On a Cluster a tenant's queue is spread: the heads of all partitions are read and merged in
//! order, and the first ones are leased in their partitions.

use std::collections::{HashMap, HashSet};

use fusebox_core::{
    function::Grants,
    id::{LeaseToken, TaskId},
    invocation::Invocation,
    limits::LEASE_BATCH_MAX,
    task::Priority,
};
use redis::Value;

use super::{
    answers,
    caller::{Call, Caller},
    functions,
    keys::Place,
    records,
    version_cache::VersionCache,
};
use crate::{Error, LeaseRequest, LeasedTask, Result};

/// Size of the inputs in one call, in bytes, to bound Redis's memory and time.
const BYTES_MAX: u64 = 8 << 20;
/// Largest number of calls, or rounds of calls, per request. Each ends expired tasks or leases some, so a request
/// seldom needs more.
const ROUNDS_MAX: usize = 16;

/// Leases the first due tasks of a tenant. An error after some were leased fails the request, so that the caller
/// repeats it and receives the attempts that its tokens hold.
pub(super) async fn lease(caller: &Caller, cache: &VersionCache, mut request: LeaseRequest) -> Result<Vec<LeasedTask>> {
    request.tokens.truncate(LEASE_BATCH_MAX as usize);
    let mut leased = if request.again { held(caller, &mut request).await? } else { Vec::new() };
    match fresh(caller, request).await {
        Ok(more) => leased.extend(more),
        // The held attempts are returned now; the others are leased by a later request.
        Err(error) if !leased.is_empty() => tracing::warn!(%error, "the lease step returned only earlier leases"),
        Err(error) => return Err(error),
    }
    with_grants(caller, cache, leased).await
}

/// Adds each function's grants. A task whose function cannot be read is skipped: its lease lapses until its attempts
/// are used up, and it blocks no other task.
async fn with_grants(caller: &Caller, cache: &VersionCache, leased: Vec<LeasedTask>) -> Result<Vec<LeasedTask>> {
    let mut granted = Vec::with_capacity(leased.len());
    for mut leased in leased {
        let function = leased.task.function;
        leased.invocation.grants = match cache.grants(function) {
            Some(grants) => grants,
            None => match functions::grants(caller, function).await {
                Ok(grants) => {
                    cache.granted(function, &grants);
                    grants
                }
                Err(Error::Corrupt(reason)) => {
                    let task = leased.task.id;
                    tracing::error!(%task, reason, "task skipped: its function cannot be read");
                    continue;
                }
                Err(error) => return Err(error),
            },
        };
        granted.push(leased);
    }
    Ok(granted)
}

/// Returns the attempts that a request's tokens hold, in order, and removes those tokens from the request.
async fn held(caller: &Caller, request: &mut LeaseRequest) -> Result<Vec<LeasedTask>> {
    let calls = caller.layout().places().map(|place| held_at(caller, place, request));
    let mut held: Vec<_> = futures_util::future::try_join_all(calls).await?.into_iter().flatten().collect();
    let tokens: HashSet<_> = held.iter().filter_map(|leased| leased.task.token()).collect();
    request.tokens.retain(|token| !tokens.contains(token));
    held.sort_by_key(|LeasedTask { task, .. }| (std::cmp::Reverse(task.priority), task.created_at, task.id));
    Ok(held)
}

async fn held_at(caller: &Caller, place: Place, request: &LeaseRequest) -> Result<Vec<LeasedTask>> {
    let (mut tokens, mut held) = (request.tokens.clone(), Vec::new());
    loop {
        let call = caller.call(place, "held").arg(request.lease_ms).arg(BYTES_MAX);
        let call = call.args(tokens.iter().map(records::token));
        let [more, tasks] = answers::tuple(caller.ask(call).await?)?;
        let found = answers::list(tasks)?.into_iter().map(read_one).collect::<Result<Vec<_>>>()?;
        let before = tokens.len();
        let known: HashSet<_> = found.iter().flatten().filter_map(|leased| leased.task.token()).collect();
        tokens.retain(|token| !known.contains(token));
        held.extend(found.into_iter().flatten());
        // A task that cannot be read would be found again for ever.
        if answers::number(more)? == 0 || tokens.len() == before {
            return Ok(held);
        }
    }
}

/// Leases new attempts.
async fn fresh(caller: &Caller, mut request: LeaseRequest) -> Result<Vec<LeasedTask>> {
    let mut leased = Vec::new();
    for _ in 0..ROUNDS_MAX {
        if request.tokens.is_empty() {
            break;
        }
        let more = match caller.layout().is_partitioned() {
            false => whole(caller, &mut request, &mut leased).await?,
            true => partitioned(caller, &mut request, &mut leased).await?,
        };
        if !more {
            break;
        }
    }
    Ok(leased)
}

/// Leases from the single queue. Returns true if there may be more.
async fn whole(caller: &Caller, request: &mut LeaseRequest, leased: &mut Vec<LeasedTask>) -> Result<bool> {
    let place = caller.layout().shared();
    let answer = caller.ask(start(caller, place, request, &request.tokens)).await?;
    let (more, tasks) = read(answer, &request.tokens)?;
    request.tokens.drain(..tasks.len().min(request.tokens.len()));
    leased.extend(tasks.into_iter().flatten());
    Ok(more)
}

/// Leases the first tasks of all partitions. Returns true if there may be more.
async fn partitioned(caller: &Caller, request: &mut LeaseRequest, leased: &mut Vec<LeasedTask>) -> Result<bool> {
    let heads = heads(caller, request).await?;
    if heads.is_empty() {
        return Ok(false);
    }
    let mut by_place: Vec<(Place, Vec<&Head>)> = Vec::new();
    for head in &heads {
        match by_place.iter_mut().find(|(place, _)| *place == head.place) {
            Some((_, heads)) => heads.push(head),
            None => by_place.push((head.place, vec![head])),
        }
    }
    let mut calls = Vec::new();
    for (place, heads) in by_place {
        let tokens: Vec<_> = request.tokens.drain(..heads.len().min(request.tokens.len())).collect();
        let wanted = heads.iter().flat_map(|head| [records::priority(head.priority).to_owned(), head.task.to_string()]);
        let call = start(caller, place, request, &tokens).args(wanted);
        calls.push(async move { caller.ask(call).await.map(|answer| (answer, tokens)) });
    }
    let mut found: HashMap<TaskId, LeasedTask> = HashMap::new();
    for (answer, tokens) in futures_util::future::try_join_all(calls).await? {
        let (_, tasks) = read(answer, &tokens)?;
        request.tokens.extend(tokens.iter().skip(tasks.len()));
        found.extend(tasks.into_iter().flatten().map(|leased| (leased.task.id, leased)));
    }
    leased.extend(heads.iter().filter_map(|head| found.remove(&head.task)));
    Ok(true)
}

/// Entry at the head of a partition's queue.
struct Head {
    place: Place,
    priority: Priority,
    created_at: u64,
    task: TaskId,
}

/// Returns the first entries of all partitions, in order, at most as many as there are tokens.
async fn heads(caller: &Caller, request: &LeaseRequest) -> Result<Vec<Head>> {
    let places = caller.layout().places();
    let call = |place| caller.call(place, "heads").arg(request.tenant.as_str()).arg(request.tokens.len());
    let answers = futures_util::future::try_join_all(places.clone().map(|place| caller.ask(call(place)))).await?;
    let mut heads = Vec::new();
    for (place, answer) in places.zip(answers) {
        let mut entries = answers::list(answer)?.into_iter();
        while let (Some(priority), Some(created_at), Some(task)) = (entries.next(), entries.next(), entries.next()) {
            let word = answers::text(priority)?;
            let priority = Priority::HIGHEST_FIRST.into_iter().find(|known| records::priority(*known) == word);
            heads.push(Head {
                place,
                priority: priority.ok_or_else(|| answers::unexpected("a priority"))?,
                created_at: answers::number(created_at)?,
                task: answers::text(task)?.parse().map_err(|_| answers::unexpected("a task's id"))?,
            });
        }
    }
    heads.sort_by_key(|head| (std::cmp::Reverse(head.priority), head.created_at, head.task));
    heads.truncate(request.tokens.len());
    Ok(heads)
}

fn start(caller: &Caller, place: Place, request: &LeaseRequest, tokens: &[LeaseToken]) -> Call {
    caller
        .call(place, "lease")
        .arg(request.tenant.as_str())
        .arg(records::worker(&request.worker))
        .arg(request.lease_ms)
        .arg(BYTES_MAX)
        .arg(tokens.len())
        .args(tokens.iter().map(records::token))
        // Performed twice, it would lease other tasks under the same tokens. A caller without an answer sends the
        // request again.
        .once()
}

/// Reads if there may be more, and the leased tasks; `None` for a task whose record cannot be read.
fn read(answer: Value, tokens: &[LeaseToken]) -> Result<(bool, Vec<Option<LeasedTask>>)> {
    let [more, tasks] = answers::tuple(answer)?;
    let tasks = answers::list(tasks)?.into_iter().zip(tokens).map(|(task, _)| read_one(task));
    Ok((answers::number(more)? > 0, tasks.collect::<Result<_>>()?))
}

/// Reads a leased task; `None` if its record cannot be read: its lease lapses until its attempts are used up.
fn read_one(task: Value) -> Result<Option<LeasedTask>> {
    let [id, record, state, input] = answers::tuple(task)?;
    let id = answers::text(id)?;
    match leased(&id, record, state, input) {
        Ok(leased) => Ok(Some(leased)),
        Err(error) => {
            tracing::error!(task = id, %error, "task skipped: its record cannot be read");
            Ok(None)
        }
    }
}

fn leased(id: &str, record: Value, state: Value, input: Value) -> Result<LeasedTask> {
    let input = answers::bytes(input)?.unwrap_or_default();
    let id = id.parse().map_err(|_| answers::unexpected("a task's id"))?;
    let (record, state) = (answers::text(record)?, answers::text(state)?);
    let records::TaskRecord { task, module, function_name } = records::read(id, &record, Some(&state), None, None)?;
    match task.token() {
        // The task's record has no grants; [`lease`] adds them.
        Some(_) => {
            let (tenant, limits, waited_ms) = (task.tenant.clone(), task.limits, task.waited_ms());
            let (function, grants) = (function_name, Grants::default());
            let invocation = Invocation { tenant, function, module, limits, grants, waited_ms, input };
            Ok(LeasedTask { task, invocation })
        }
        None => Err(answers::unexpected("a leased task")),
    }
}
