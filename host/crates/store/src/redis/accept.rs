//! Acceptance of tasks.

use fusebox_core::{limits::RECORD_BYTES, time::Millis};
use redis::Value;

use super::{
    answers, batches,
    caller::{Call, Caller},
    counted::{Amounts, Asked, Counted, Fit},
    kinds, records,
};
use crate::{Accepted, Expects, NewTask, Result};

/// Number of recent kinds in a call with which a task is compared.
const KINDS_COMPARED: usize = 16;

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
        let fits = match caller.layout().is_partitioned() {
            false => vec![Fit::Fits; open.len()],
            true => {
                let asked: Vec<_> = open.iter().map(|at| asked(&tasks[*at])).collect();
                match counted.fit(caller, &asked).await {
                    Ok(fits) => fits,
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
        let sent = send(caller, tasks, &open, &fits, source).await;
        for ((at, answer), fit) in open.iter().zip(sent).zip(fits) {
            // The call reached its limit of copied bytes; the task goes into a later call.
            let Some(answer) = answer.transpose() else {
                later.push(*at);
                continue;
            };
            match &answer {
                Ok(Accepted::QueueFull | Accepted::BytesReached) => refused.push(*at),
                Ok(Accepted::New { .. } | Accepted::NoAnswer) | Err(_) => {}
                // No new task was queued, so its room is free for another one.
                Ok(
                    Accepted::Duplicate
                    | Accepted::Conflict
                    | Accepted::FunctionChanged
                    | Accepted::InputGone
                    | Accepted::NoTenant,
                ) => room_left |= fit == Fit::Fits,
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
    fits: &[Fit],
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
            (task, fits[*item])
        };
        let tasks: Vec<_> = batch.items.iter().map(kind_of).collect();
        let (distinct, numbers) = distinct(&tasks);
        let call = caller.call(batch.place, function).arg(counts).arg(distinct.len());
        let call = distinct.into_iter().fold(call, kind);
        tasks.into_iter().zip(numbers).fold(call, |call, ((task, _), number)| row(call, task, number, source))
    };
    batches::perform(caller, sizes, call, read).await
}

/// Returns the amounts that a task adds. Those of a replay's input are found by the step.
fn asked(task: &NewTask) -> Asked<'_> {
    let bytes = RECORD_BYTES + task.tags.stored_bytes() + task.input_bytes(task.input.len());
    let more = Amounts { tasks: 1, bytes };
    Asked { tenant: &task.tenant, more, max: Amounts { tasks: task.queued_max, bytes: task.stored_max } }
}

/// Task that stands for all tasks of one call with the same shared fields, and whether they fit.
type Kind<'a> = (&'a NewTask, Fit);

/// Returns the limits of queued tasks and of stored bytes; 0 for the one that is reached.
const fn limits((task, fit): Kind<'_>) -> [u64; 2] {
    match fit {
        Fit::Fits => [task.queued_max, task.stored_max],
        Fit::QueueFull => [0, task.stored_max],
        Fit::BytesReached => [task.queued_max, 0],
    }
}

/// Returns the distinct kinds, and the index of each task's kind, counted from 1.
fn distinct<'a>(tasks: &[Kind<'a>]) -> (Vec<Kind<'a>>, Vec<usize>) {
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

fn is_same_kind(one: Kind<'_>, other: Kind<'_>) -> bool {
    let same_limits = limits(one) == limits(other);
    let ((one, _), (other, _)) = (one, other);
    one.function == other.function
        && one.tenant == other.tenant
        && one.function_name == other.function_name
        && one.module == other.module
        && one.limits == other.limits
        && (one.priority, one.attempts_max, one.expects) == (other.priority, other.attempts_max, other.expects)
        && one.keep == other.keep
        && one.start == other.start
        && one.tags == other.tags
        && (one.delay_ms, one.expires_in_ms) == (other.delay_ms, other.expires_in_ms)
        && same_limits
}

fn kind(call: Call, kind: Kind<'_>) -> Call {
    let (task, _) = kind;
    let words = kinds::words(task);
    call.arg(task.function.to_string())
        .arg(task.tenant.as_str())
        .arg(task.function_name.as_str())
        .arg(records::priority(task.priority))
        .arg(match task.expects {
            Expects::Nothing => "",
            Expects::There => "there",
            Expects::Newest => "newest",
        })
        .args(limits(kind))
        .arg(kinds::name(&words))
        .arg(words)
        .arg(task.start.bytes())
        .arg(records::start(task))
        .arg(task.delay_ms)
        .arg(task.expires_in_ms)
        .arg(records::tags(task))
}

fn row(call: Call, task: &NewTask, kind: usize, source: Source) -> Call {
    let call = call.arg(task.id.to_string()).arg(kind).arg(records::own(task));
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
        "NO_TENANT" => Accepted::NoTenant,
        "DUPLICATE" => Accepted::Duplicate,
        "CONFLICT" => Accepted::Conflict,
        "FULL" => Accepted::QueueFull,
        "LARGE" => Accepted::BytesReached,
        "CHANGED" => Accepted::FunctionChanged,
        _ => return Err(answers::unexpected("accept")),
    }))
}
