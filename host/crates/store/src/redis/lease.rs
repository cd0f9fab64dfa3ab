//! Leases of attempts. On a Cluster a tenant's queue is spread: the heads of all partitions are read and merged in
//! order, and the first ones are leased in their partitions.

use std::{cmp::Reverse, collections::HashSet};

use fusebox_core::{
    function::Grants,
    id::{LeaseToken, TaskId},
    invocation::Invocation,
    limits::LEASE_BATCH_MAX,
    task::{Lease, Priority},
    time::Millis,
};
use fusebox_system::random;
use redis::Value;

use super::{
    answers,
    caller::{Call, Caller},
    functions,
    keys::Place,
    records::{self, TaskRecord},
    version_cache::VersionCache,
};
use crate::{Error, LeaseRequest, LeasedTask, Result};

/// Size of the inputs in one call, in bytes, to bound Redis's memory and time.
const BYTES_MAX: u64 = 8 << 20;
/// Largest number of calls, or rounds of calls, per request. Each ends expired tasks or leases some, so a request
/// seldom needs more.
const ROUNDS_MAX: usize = 16;

/// Largest number of entries of a line in one call; the library has a smaller one.
const ENTRIES_MAX: usize = 1 << 20;

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
    given(caller, cache, leased).await
}

/// Adds each function's grants and setup. A task whose function cannot be read is skipped: its lease lapses until its attempts
/// are used up, and it blocks no other task.
async fn given(caller: &Caller, cache: &VersionCache, leased: Vec<LeasedTask>) -> Result<Vec<LeasedTask>> {
    let mut all = Vec::with_capacity(leased.len());
    for LeasedTask { task, invocation } in leased {
        let function = task.function;
        let given = match cache.given(function) {
            Some(given) => given,
            None => match functions::given(caller, function).await {
                Ok(given) => {
                    cache.gave(function, &given);
                    given
                }
                Err(Error::Corrupt(reason)) => {
                    let task = task.id;
                    tracing::error!(%task, reason, "task skipped: its function cannot be read");
                    continue;
                }
                Err(error) => return Err(error),
            },
        };
        let (grants, setup) = (*given).clone();
        let invocation = Invocation { grants, ..invocation }.started(setup, task.start.clone());
        all.push(LeasedTask { task, invocation });
    }
    Ok(all)
}

/// Returns the attempts that a request's tokens hold, in order, and removes those tokens from the request.
async fn held(caller: &Caller, request: &mut LeaseRequest) -> Result<Vec<LeasedTask>> {
    let calls = caller.layout().places().map(|place| held_at(caller, place, request));
    let mut held: Vec<_> = futures_util::future::try_join_all(calls).await?.into_iter().flatten().collect();
    let tokens: HashSet<_> = held.iter().filter_map(|leased| leased.task.token()).collect();
    request.tokens.retain(|token| !tokens.contains(token));
    held.sort_by_key(order);
    Ok(held)
}

async fn held_at(caller: &Caller, place: Place, request: &LeaseRequest) -> Result<Vec<LeasedTask>> {
    let (mut tokens, mut held) = (request.tokens.clone(), Vec::new());
    loop {
        let call = caller.call(place, "held").arg(request.lease_ms).arg(BYTES_MAX);
        let call = call.args(tokens.iter().map(records::token));
        let [more, tasks] = answers::tuple(caller.ask(call).await?)?;
        let found = read_all(tasks, |id, record, state| records::read(id, record, state, None, None))?;
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
    let call = start(caller, caller.layout().shared(), request, [ENTRIES_MAX; 3], &request.tokens);
    let (more, tasks) = read(caller.ask(call).await?, request, &request.tokens)?;
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
    // Numbers of each partition's entries among the first of all, by priority.
    let mut by_place: Vec<(Place, [usize; 3])> = Vec::new();
    for head in &heads {
        let at = by_place.iter().position(|(place, _)| *place == head.place).unwrap_or_else(|| {
            by_place.push((head.place, [0; 3]));
            by_place.len() - 1
        });
        by_place[at].1[head.priority] += 1;
    }
    let mut calls = Vec::new();
    for (place, entries) in by_place {
        let many: usize = entries.iter().sum();
        let tokens: Vec<_> = request.tokens.drain(..many.min(request.tokens.len())).collect();
        let call = start(caller, place, request, entries, &tokens);
        calls.push(async move { caller.ask(call).await.map(|answer| (answer, tokens)) });
    }
    let mut found = Vec::new();
    for (answer, tokens) in futures_util::future::try_join_all(calls).await? {
        let (_, tasks) = read(answer, request, &tokens)?;
        request.tokens.extend(tokens.iter().skip(tasks.len()));
        found.extend(tasks.into_iter().flatten());
    }
    found.sort_by_key(order);
    leased.extend(found);
    Ok(true)
}

/// Returns the place of a task among leased ones.
fn order(LeasedTask { task, .. }: &LeasedTask) -> (Reverse<Priority>, Millis, TaskId) {
    (Reverse(task.priority), task.created_at, task.id)
}

/// Entry at the head of a partition's queue.
struct Head {
    place: Place,
    /// Index among the priorities, the highest first.
    priority: usize,
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
            let priority = Priority::HIGHEST_FIRST.iter().position(|known| records::priority(*known) == word);
            heads.push(Head {
                place,
                priority: priority.ok_or_else(|| answers::unexpected("a priority"))?,
                created_at: answers::number(created_at)?,
                task: answers::text(task)?.parse().map_err(|_| answers::unexpected("a task's id"))?,
            });
        }
    }
    heads.sort_by_key(|head| (head.priority, head.created_at, head.task));
    heads.truncate(request.tokens.len());
    Ok(heads)
}

/// Starts a lease of as many tasks as there are tokens, with a bound of entries taken from the line of each priority.
fn start(caller: &Caller, place: Place, request: &LeaseRequest, entries: [usize; 3], tokens: &[LeaseToken]) -> Call {
    caller
        .call(place, "lease")
        .arg(request.tenant.as_str())
        .arg(records::worker(&request.worker))
        .arg(request.lease_ms)
        .arg(BYTES_MAX)
        .arg(records::token(&random::lease_token()))
        .args(entries)
        .args(tokens.iter().map(records::token))
        // Performed twice, it would lease other tasks under the same tokens. A caller without an answer sends the
        // request again.
        .once()
}

/// Reads if there may be more, and the leased tasks; `None` for a task whose record cannot be read.
fn read(answer: Value, request: &LeaseRequest, tokens: &[LeaseToken]) -> Result<(bool, Vec<Option<LeasedTask>>)> {
    let [more, now, tasks] = answers::tuple(answer)?;
    let started_at = Millis(answers::number(now)?);
    let (worker, expires_at) = (request.worker, started_at.plus(request.lease_ms));
    let mut tokens = tokens.iter();
    let tasks = read_all(tasks, |id, record, state| {
        let token = *tokens.next().ok_or_else(|| answers::unexpected("a lease"))?;
        let lease = Lease { worker, token, started_at, expires_at, renewed: false };
        records::leased(id, record, state, &lease)
    });
    Ok((answers::number(more)? > 0, tasks?))
}

/// Reads leased tasks, of four values each; `None` for a task whose record cannot be read: its lease lapses until its
/// attempts are used up.
fn read_all(
    tasks: Value,
    mut decode: impl FnMut(TaskId, &str, Option<&str>) -> Result<TaskRecord>,
) -> Result<Vec<Option<LeasedTask>>> {
    let (mut values, mut read) = (answers::list(tasks)?.into_iter(), Vec::new());
    while let (Some(id), Some(record), Some(state), Some(input)) =
        (values.next(), values.next(), values.next(), values.next())
    {
        let id = answers::text(id)?;
        let task = leased(&id, record, state, input, &mut decode);
        read.push(
            task.inspect_err(|error| tracing::error!(task = id, %error, "task skipped: its record cannot be read"))
                .ok(),
        );
    }
    Ok(read)
}

fn leased(
    id: &str,
    record: Value,
    state: Value,
    input: Value,
    decode: impl FnOnce(TaskId, &str, Option<&str>) -> Result<TaskRecord>,
) -> Result<LeasedTask> {
    let input = answers::bytes(input)?.unwrap_or_default();
    let id = id.parse().map_err(|_| answers::unexpected("a task's id"))?;
    let (record, state) = (answers::text(record)?, answers::text(state)?);
    let TaskRecord { task, module, function_name } =
        decode(id, &record, Some(state.as_str()).filter(|state| !state.is_empty()))?;
    match task.token() {
        // The task's record has neither grants nor a setup; [`lease`] adds them.
        Some(_) => {
            let (tenant, limits, grants) = (task.tenant.clone(), task.limits, Grants::default());
            let invocation = Invocation::plain(tenant, function_name, module, limits, grants, input);
            let invocation = Invocation { waited_ms: task.waited_ms(), ..invocation };
            Ok(LeasedTask { task, invocation })
        }
        None => Err(answers::unexpected("a leased task")),
    }
}
