//! Acceptance of tasks, and the limit of queued tasks per tenant.
//!
//! On one server the step itself counts. On a Cluster a tenant's tasks are spread over partitions, so the host counts
//! before it sends them: exactly if the tenant is near its limit, otherwise from a recent count. Hosts that accept for
//! one tenant at the same moment can together exceed the limit by the tasks they have in flight.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use fusebox_core::{name::TenantId, time::Millis};
use redis::Value;

use super::{
    answers, batches,
    caller::{Call, Caller},
    records,
};
use crate::{Accepted, Expects, NewTask, Result};

/// Time for which a count is used.
const COUNT_FRESH: Duration = Duration::from_secs(1);
/// Largest number of cached counts; beyond it, all are dropped.
const TENANTS_MAX: usize = 10_000;

/// Number of recent kinds in a call with which a task is compared.
const KINDS_COMPARED: usize = 16;

/// Recent counts of tenants' queued tasks, plus the tasks accepted since.
#[derive(Default)]
pub(super) struct Counted {
    tenants: Mutex<HashMap<TenantId, (Instant, u64)>>,
}

/// Source of a task's input, and so the library's function that accepts the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The task itself.
    Own,
    /// The dead letter that it replays, in the same partition.
    Letter,
}

/// Accepts tasks; returns the answers in their order, each with its own error if there is no answer.
pub(super) async fn accept(caller: &Caller, counted: &Counted, tasks: &[NewTask]) -> Result<Vec<Result<Accepted>>> {
    take(caller, counted, tasks, Source::Own).await
}

/// Accepts replays of dead letters with the letters' inputs; answers as [`accept`].
pub(super) async fn replay(caller: &Caller, counted: &Counted, tasks: &[NewTask]) -> Result<Vec<Result<Accepted>>> {
    take(caller, counted, tasks, Source::Letter).await
}

async fn take(caller: &Caller, counted: &Counted, tasks: &[NewTask], source: Source) -> Result<Vec<Result<Accepted>>> {
    let mut answers = vec![Ok(Accepted::QueueFull); tasks.len()];
    let mut open: Vec<usize> = (0..tasks.len()).collect();
    while !open.is_empty() {
        let has_room = match caller.layout().is_partitioned() {
            false => vec![true; open.len()],
            true => {
                let asked: Vec<_> = open.iter().map(|at| &tasks[*at]).collect();
                match rooms(caller, counted, &asked).await {
                    Ok(rooms) => rooms,
                    Err(error) if open.len() == tasks.len() => return Err(error),
                    // Tasks accepted in earlier rounds stay accepted.
                    Err(error) => {
                        open.iter().for_each(|at| answers[*at] = Err(error.clone()));
                        break;
                    }
                }
            }
        };
        let (mut refused, mut later, mut room_left) = (Vec::new(), Vec::new(), false);
        let sent = send(caller, tasks, &open, &has_room, source).await;
        for ((at, answer), has_room) in open.iter().zip(sent).zip(has_room) {
            // The call reached its limit of copied bytes; the task goes into a later call.
            let Some(answer) = answer.transpose() else {
                later.push(*at);
                continue;
            };
            match &answer {
                Ok(Accepted::QueueFull) => refused.push(*at),
                Ok(Accepted::New { .. } | Accepted::NoAnswer) | Err(_) => {}
                // No new task was queued, so its room is free for another one.
                Ok(Accepted::Duplicate | Accepted::Conflict | Accepted::FunctionChanged | Accepted::InputGone) => {
                    room_left |= has_room;
                }
            }
            answers[*at] = answer;
        }
        if caller.layout().is_partitioned() && room_left {
            later.extend(refused);
            later.sort_unstable();
        }
        open = later;
    }
    Ok(answers)
}

async fn send(
    caller: &Caller,
    tasks: &[NewTask],
    open: &[usize],
    has_room: &[bool],
    source: Source,
) -> Vec<Result<Option<Accepted>>> {
    // On a Cluster the caller has counted.
    let counts = u8::from(!caller.layout().is_partitioned());
    let function = match source {
        Source::Own => "accept",
        Source::Letter => "replay",
    };
    let sizes = open.iter().map(|at| (tasks[*at].id, if source == Source::Own { tasks[*at].input.len() } else { 0 }));
    let call = |batch: &batches::Batch| {
        let kind_of = |item: &usize| {
            let task = &tasks[open[*item]];
            (task, most(task, has_room[*item]))
        };
        let tasks: Vec<_> = batch.items.iter().map(kind_of).collect();
        let (kinds, numbers) = kinds(&tasks);
        let call = caller.call(batch.place, function).arg(counts).arg(kinds.len());
        let call = kinds.into_iter().fold(call, kind);
        tasks.into_iter().zip(numbers).fold(call, |call, ((task, _), number)| row(call, task, number, source))
    };
    batches::perform(caller, sizes, call, read).await
}

/// Task that stands for all tasks of one call with the same shared fields, and the limit of queued tasks.
type Kind<'a> = (&'a NewTask, u64);

/// Returns the limit of queued tasks; 0 if there is no room for the task.
const fn most(task: &NewTask, has_room: bool) -> u64 {
    if has_room { task.queued_max } else { 0 }
}

/// Returns the distinct kinds, and the index of each task's kind, counted from 1.
fn kinds<'a>(tasks: &[Kind<'a>]) -> (Vec<Kind<'a>>, Vec<usize>) {
    let mut kinds: Vec<Kind<'_>> = Vec::new();
    let mut numbers = Vec::with_capacity(tasks.len());
    for task in tasks {
        // A duplicate kind costs less than a long search.
        let from = kinds.len().saturating_sub(KINDS_COMPARED);
        let known = kinds[from..].iter().rposition(|kind| is_same_kind(*kind, *task));
        numbers.push(known.map_or_else(
            || {
                kinds.push(*task);
                kinds.len()
            },
            |at| from + at + 1,
        ));
    }
    (kinds, numbers)
}

fn is_same_kind((one, one_most): Kind<'_>, (other, other_most): Kind<'_>) -> bool {
    one.function == other.function
        && one.tenant == other.tenant
        && one.function_name == other.function_name
        && one.module == other.module
        && one.limits == other.limits
        && (one.priority, one.attempts_max, one.expects) == (other.priority, other.attempts_max, other.expects)
        && one_most == other_most
}

fn kind(call: Call, (task, most): Kind<'_>) -> Call {
    call.arg(task.function.to_string())
        .arg(task.tenant.as_str())
        .arg(task.function_name.as_str())
        .arg(records::priority(task.priority))
        .arg(match task.expects {
            Expects::Nothing => "",
            Expects::There => "there",
            Expects::Newest => "newest",
        })
        .arg(most)
        .arg(records::common(task))
}

fn row(call: Call, task: &NewTask, kind: usize, source: Source) -> Call {
    let call = call.arg(task.id.to_string()).arg(kind).arg(task.delay_ms).arg(records::own(task));
    match source {
        Source::Own => call.arg(&task.input[..]),
        Source::Letter => call.arg(task.retry_of.map(|letter| letter.to_string()).unwrap_or_default()),
    }
}

/// Reads an answer; `None` if the task must be sent again.
fn read(answer: Value) -> Result<Option<Accepted>> {
    if let Value::Int(_) = answer {
        return Ok(Some(Accepted::New { at: Millis(answers::number(answer)?) }));
    }
    Ok(Some(match answers::text(answer)?.as_str() {
        "LATER" => return Ok(None),
        "GONE" => Accepted::InputGone,
        "DUPLICATE" => Accepted::Duplicate,
        "CONFLICT" => Accepted::Conflict,
        "FULL" => Accepted::QueueFull,
        "CHANGED" => Accepted::FunctionChanged,
        _ => return Err(answers::unexpected("accept")),
    }))
}

/// Returns true for each task that has room; earlier tasks take precedence.
async fn rooms(caller: &Caller, counted: &Counted, tasks: &[&NewTask]) -> Result<Vec<bool>> {
    // Number of tasks per tenant, and the limit.
    let mut asked: HashMap<&TenantId, (u64, u64)> = HashMap::new();
    for task in tasks {
        let (more, max) = asked.entry(&task.tenant).or_insert((0, u64::MAX));
        *more += 1;
        *max = task.queued_max.min(*max);
    }
    let near: BTreeSet<_> = asked.iter().filter(|(tenant, (more, max))| !counted.far(tenant, *more, *max)).collect();
    let near: Vec<_> = near.into_iter().map(|(tenant, _)| *tenant).collect();
    let mut rooms: HashMap<&TenantId, u64> = asked.keys().map(|tenant| (*tenant, u64::MAX)).collect();
    for (tenant, waiting) in near.iter().zip(depths(caller, &near).await?) {
        let (more, max) = asked.get(tenant).copied().unwrap_or_default();
        counted.put(tenant, waiting.saturating_add(more));
        rooms.insert(tenant, max.saturating_sub(waiting));
    }
    let has_room = |task: &&NewTask| match rooms.get_mut(&task.tenant) {
        Some(room) if *room > 0 => {
            *room -= 1;
            true
        }
        _ => false,
    };
    Ok(tasks.iter().map(has_room).collect())
}

/// Returns the number of queued tasks of each tenant over all partitions.
async fn depths(caller: &Caller, tenants: &[&TenantId]) -> Result<Vec<u64>> {
    let mut depths = vec![0_u64; tenants.len()];
    if tenants.is_empty() {
        return Ok(depths);
    }
    let names = || tenants.iter().map(|tenant| tenant.as_str());
    let calls = caller.layout().places().map(|place| caller.ask(caller.call(place, "depths").args(names())));
    for answer in futures_util::future::try_join_all(calls).await? {
        for (depth, more) in depths.iter_mut().zip(answers::list(answer)?) {
            *depth = depth.saturating_add(answers::number(more)?);
        }
    }
    Ok(depths)
}

impl Counted {
    /// Returns true if `more` tasks of the tenant certainly have room, and counts them in that case.
    fn far(&self, tenant: &TenantId, more: u64, max: u64) -> bool {
        let mut tenants = self.lock();
        let Some((at, waiting)) = tenants.get_mut(tenant) else { return false };
        let then = waiting.saturating_add(more);
        // A tenth is reserved for tasks that other hosts accept meanwhile.
        let far = at.elapsed() < COUNT_FRESH && then < max - max / 10;
        if far {
            *waiting = then;
        }
        far
    }

    fn put(&self, tenant: &TenantId, waiting: u64) {
        let mut tenants = self.lock();
        if tenants.len() >= TENANTS_MAX {
            tenants.clear();
        }
        tenants.insert(tenant.clone(), (Instant::now(), waiting));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, (Instant, u64)>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
