//! Recovery times of parts that were killed alone, and their limits.

use fusebox_core::{limits::LEASE_MS, task::Status};
use serde::Serialize;

use super::{
    book::{Book, Task},
    finding::{Finding, Rule},
    history::{Entry, Event},
    schedule::Kind,
};
use crate::cluster::Role;

/// Limit of the time from a restart to the next task that ends, in milliseconds.
const RESTART_MS_MAX: u64 = 2_000;
/// Limit of the time for a lease to expire and the task to run again, in milliseconds.
const LEASE_OVER_MS_MAX: u64 = LEASE_MS + 1_000;

/// One recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Recovery {
    pub(super) round: u32,
    pub(super) role: Role,
    /// `None` if the part did not recover.
    pub(super) took_ms: Option<u64>,
    pub(super) limit_ms: u64,
}

impl Recovery {
    /// Returns a finding if the recovery took too long.
    pub(super) fn finding(&self) -> Option<Finding> {
        let Self { round, role, took_ms, limit_ms } = self;
        let took = took_ms.map_or_else(|| "it did not recover".to_owned(), |ms| format!("it took {ms} ms to recover"));
        let what = format!("round {round} killed {}: {took}, and may take {limit_ms} ms", role.as_str());
        took_ms.is_none_or(|ms| ms > *limit_ms).then(|| Rule::SlowRecovery.broken("", what))
    }
}

/// Returns the recoveries of all rounds that killed one role alone.
pub(super) fn times(history: &[Entry], book: &Book<'_>) -> Vec<Recovery> {
    let mut last = 0;
    let mut times = Vec::new();
    for entry in history {
        if let Event::Struck { round, part, fault, alone: true, running } = &entry.event
            && fault.kind == Kind::Kill
            && *round != last
        {
            last = *round;
            times.extend(match part.role {
                Role::Worker => worker(*round, entry.at_us, running, book),
                role => restart(*round, role, history, book),
            });
        }
    }
    times
}

/// Recovery from the loss of a worker: the time until the last task with a lost attempt has ended. `None` if the kill
/// interrupted no attempt.
fn worker(round: u32, struck_us: u64, running: &[(String, u32)], book: &Book<'_>) -> Option<Recovery> {
    let mut took_ms = None;
    for (id, attempt) in running {
        let task = book.tasks.get(id.as_str());
        let ended_us = task.and_then(|task| ended_us(task, book));
        let Some(ended_us) = ended_us else {
            return Some(Recovery { round, role: Role::Worker, took_ms: None, limit_ms: LEASE_OVER_MS_MAX });
        };
        if task.and_then(Task::end).is_some_and(|end| end.attempt > *attempt) {
            took_ms = took_ms.max(Some(ended_us.saturating_sub(struck_us) / 1_000));
        }
    }
    took_ms.map(|ms| Recovery { round, role: Role::Worker, took_ms: Some(ms), limit_ms: LEASE_OVER_MS_MAX })
}

/// Recovery from a restart. For a dispatcher or a host: from its start to the next end that the store records. For
/// Redis: from the loading of its data to the next accepted task.
fn restart(round: u32, role: Role, history: &[Entry], book: &Book<'_>) -> Option<Recovery> {
    let back = |entry: &Entry| match entry.event {
        Event::Back { round: other, .. } if other == round => Some((entry.asked_us, entry.at_us)),
        _ => None,
    };
    let backs = || history.iter().filter_map(back);
    let (from_us, until_us) = if role == Role::Redis {
        let ready_us = backs().map(|(_, ready_us)| ready_us).max()?;
        let accepted = |entry: &&Entry| matches!(entry.event, Event::Accepted { .. }) && entry.at_us >= ready_us;
        (ready_us, history.iter().filter(accepted).map(|entry| entry.at_us).min())
    } else {
        let started_us = backs().map(|(started_us, _)| started_us).min()?;
        let ends = book.accepted().filter_map(|(_, task)| ended_us(task, book));
        (started_us, ends.filter(|ended_us| *ended_us >= started_us).min())
    };
    let took_ms = until_us.map(|until_us| until_us.saturating_sub(from_us) / 1_000);
    // A dispatcher in local mode may have leased every task there was; a host reclaims its leases when it starts.
    let held_all = role == Role::Dispatcher && book.setup?.runners.contains(&role);
    let limit_ms = if held_all { LEASE_OVER_MS_MAX } else { RESTART_MS_MAX };
    Some(Recovery { round, role, took_ms, limit_ms })
}

/// Time at which the store recorded a task as COMPLETED, on the history's clock.
fn ended_us(task: &Task<'_>, book: &Book<'_>) -> Option<u64> {
    let at_ms = task.ended_as(Status::Completed)?.at_ms()?;
    Some(at_ms.saturating_sub(book.setup?.began_ms) * 1_000)
}
