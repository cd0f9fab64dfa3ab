//! Leases of attempts. On a Cluster a tenant's queue is spread: the heads of all partitions are read and merged in
//! order, and the first ones are leased in their partitions.

use std::{cmp::Reverse, collections::HashSet};

use bytes::Bytes;
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
    kinds::Kind,
    records::{self, TaskRecord},
    version_cache::VersionCache,
};
use crate::{Error, LeaseRequest, LeasedTask, Result};

/// Size of the inputs in one call, in bytes, to bound Redis's memory and time.
const BYTES_MAX: u64 = 8 << 20;
/// Largest number of calls, or rounds of calls, per request. Each ends expired tasks or leases some, so a request
/// seldom needs more.
const ROUNDS_MAX: usize = 16;

/// Number of letters of an id.
const ID: usize = 36;
/// Largest number of entries of a line in one call; the library has a smaller one.
const ENTRIES_MAX: usize = 1 << 20;

/// Leases the first due tasks of a tenant. An error after some were leased fails the request, so that the caller
/// repeats it and receives the attempts that its tokens hold.
pub(super) async fn lease(caller: &Caller, cache: &VersionCache, mut request: LeaseRequest) -> Result<Vec<LeasedTask>> {
    request.tokens.truncate(LEASE_BATCH_MAX as usize);
    let mut leased = if request.again { held(caller, cache, &mut request).await? } else { Vec::new() };
    match fresh(caller, cache, request).await {
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
async fn held(caller: &Caller, cache: &VersionCache, request: &mut LeaseRequest) -> Result<Vec<LeasedTask>> {
    let calls = caller.layout().places().map(|place| held_at(caller, cache, place, request));
    let mut held: Vec<_> = futures_util::future::try_join_all(calls).await?.into_iter().flatten().collect();
    let tokens: HashSet<_> = held.iter().filter_map(|leased| leased.task.token()).collect();
    request.tokens.retain(|token| !tokens.contains(token));
    held.sort_by_key(order);
    Ok(held)
}

async fn held_at(
    caller: &Caller,
    cache: &VersionCache,
    place: Place,
    request: &LeaseRequest,
) -> Result<Vec<LeasedTask>> {
    let (mut tokens, mut held) = (request.tokens.clone(), Vec::new());
    loop {
        let call = caller.call(place, "held").arg(request.lease_ms).arg(BYTES_MAX);
        let call = call.args(tokens.iter().map(records::token));
        let [more, tasks] = answers::tuple(caller.ask(call).await?)?;
        let (before, mut values) = (tokens.len(), answers::list(tasks)?.into_iter());
        while let Some(parts) = Parts::of_read(&mut values)? {
            let decode = |kind: &Kind| records::read(parts.id, &parts.record, kind, parts.state(), None, None);
            if let Some(leased) = leased(caller, cache, place, &parts, decode).await? {
                tokens.retain(|token| leased.task.token() != Some(*token));
                held.push(leased);
            }
        }
        // A task that cannot be read would be found again for ever.
        if answers::number(more)? == 0 || tokens.len() == before {
            return Ok(held);
        }
    }
}

/// Leases new attempts.
async fn fresh(caller: &Caller, cache: &VersionCache, mut request: LeaseRequest) -> Result<Vec<LeasedTask>> {
    let mut leased = Vec::new();
    for _ in 0..ROUNDS_MAX {
        if request.tokens.is_empty() {
            break;
        }
        let more = match caller.layout().is_partitioned() {
            false => whole(caller, cache, &mut request, &mut leased).await?,
            true => partitioned(caller, cache, &mut request, &mut leased).await?,
        };
        if !more {
            break;
        }
    }
    Ok(leased)
}

/// Leases from the single queue. Returns true if there may be more.
async fn whole(
    caller: &Caller,
    cache: &VersionCache,
    request: &mut LeaseRequest,
    leased: &mut Vec<LeasedTask>,
) -> Result<bool> {
    let place = caller.layout().shared();
    let call = start(caller, place, request, [ENTRIES_MAX; 3], &request.tokens);
    let (more, tasks) = read(caller, cache, place, caller.ask(call).await?, request, &request.tokens).await?;
    request.tokens.drain(..tasks.len().min(request.tokens.len()));
    leased.extend(tasks.into_iter().flatten());
    Ok(more)
}

/// Leases the first tasks of all partitions. Returns true if there may be more.
async fn partitioned(
    caller: &Caller,
    cache: &VersionCache,
    request: &mut LeaseRequest,
    leased: &mut Vec<LeasedTask>,
) -> Result<bool> {
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
        calls.push(async move { caller.ask(call).await.map(|answer| (place, answer, tokens)) });
    }
    let mut found = Vec::new();
    for (place, answer, tokens) in futures_util::future::try_join_all(calls).await? {
        let (_, tasks) = read(caller, cache, place, answer, request, &tokens).await?;
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
        .arg(records::dispatcher(&request.dispatcher))
        .arg(request.lease_ms)
        .arg(BYTES_MAX)
        .arg(records::token(&random::lease_token()))
        .args(entries)
        .args(tokens.iter().map(records::token))
        // Performed twice, it would lease other tasks under the same tokens. A caller without an answer sends the
        // request again.
        .once()
}

/// Reads if there may be more, and the leased tasks; `None` for a task whose record cannot be read: its lease lapses until
/// its attempts are used up.
async fn read(
    caller: &Caller,
    cache: &VersionCache,
    place: Place,
    answer: Value,
    request: &LeaseRequest,
    tokens: &[LeaseToken],
) -> Result<(bool, Vec<Option<LeasedTask>>)> {
    let [more, now, entries, others] = answers::tuple(answer)?;
    let started_at = Millis(answers::number(now)?);
    let (worker, expires_at) = (request.worker, started_at.plus(request.lease_ms));
    let dispatcher = Some(request.dispatcher);
    let (mut tokens, mut others, mut tasks) = (tokens.iter(), answers::list(others)?.into_iter(), Vec::new());
    for entry in answers::list(entries)? {
        let entry = answers::bytes(entry)?.unwrap_or_default();
        let parts = match entry.is_empty() {
            false => Parts::of_entry(&entry)?,
            true => Parts::of_read(&mut others)?.ok_or_else(|| answers::unexpected("a lease"))?,
        };
        let token = *tokens.next().ok_or_else(|| answers::unexpected("a lease"))?;
        let lease = Lease { worker, dispatcher, token, started_at, expires_at, renewed: false };
        let decode = |kind: &Kind| records::leased(parts.id, &parts.record, kind, parts.state(), &lease);
        tasks.push(leased(caller, cache, place, &parts, decode).await?);
    }
    Ok((answers::number(more)? > 0, tasks))
}

/// Parts of a leased task in an answer.
struct Parts {
    id: TaskId,
    record: String,
    /// Empty if no step has changed the task since its acceptance.
    state: String,
    input: Bytes,
}

impl Parts {
    /// Reads an entry of a line: record, id, a letter, and the input.
    fn of_entry(entry: &Bytes) -> Result<Self> {
        let text = |from: usize, to: usize| entry.get(from..to).and_then(|part| std::str::from_utf8(part).ok());
        let bad = || answers::unexpected("an entry of a line");
        let id = text(records::FIXED, records::FIXED + ID).and_then(|id| id.parse().ok()).ok_or_else(bad)?;
        let record = text(0, records::FIXED).ok_or_else(bad)?.to_owned();
        Ok(Self { id, record, state: String::new(), input: entry.slice((records::FIXED + ID + 1).min(entry.len())..) })
    }

    /// Reads the next four values: id, record, state and input.
    fn of_read(values: &mut impl Iterator<Item = Value>) -> Result<Option<Self>> {
        let (Some(id), Some(record), Some(state), Some(input)) =
            (values.next(), values.next(), values.next(), values.next())
        else {
            return Ok(None);
        };
        let id = answers::text(id)?.parse().map_err(|_| answers::unexpected("a task's id"))?;
        let input = answers::bytes(input)?.unwrap_or_default();
        Ok(Some(Self { id, record: answers::text(record)?, state: answers::text(state)?, input }))
    }

    fn state(&self) -> Option<&str> {
        Some(self.state.as_str()).filter(|state| !state.is_empty())
    }
}

/// Returns a leased task; `None` if its record cannot be read.
async fn leased(
    caller: &Caller,
    cache: &VersionCache,
    place: Place,
    parts: &Parts,
    decode: impl FnOnce(&Kind) -> Result<TaskRecord>,
) -> Result<Option<LeasedTask>> {
    let read = match cache.kinds.of(caller, place, &parts.record).await {
        Ok(Some(kind)) => decode(&kind),
        Ok(None) => Err(Error::Corrupt("its kind is missing".to_owned())),
        Err(error @ Error::Corrupt(_)) => Err(error),
        Err(error) => return Err(error),
    };
    match read {
        // The task's record has neither grants nor a setup; [`lease`] adds them.
        Ok(TaskRecord { task, module, function_name }) if task.token().is_some() => {
            let (tenant, limits, grants) = (task.tenant.clone(), task.limits, Grants::default());
            let invocation = Invocation::plain(tenant, function_name, module, limits, grants, parts.input.clone());
            let invocation = Invocation { waited_ms: task.waited_ms(), ..invocation };
            Ok(Some(LeasedTask { task, invocation }))
        }
        other => {
            let error = other.err().unwrap_or_else(|| answers::unexpected("a leased task"));
            tracing::error!(task = %parts.id, %error, "task skipped: its record cannot be read");
            Ok(None)
        }
    }
}
