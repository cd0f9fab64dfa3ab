//! Checks faults that must cost nothing but time: lost answers, changed clocks and full stores. They lose no run, and the store's
//! times never come from another process's clock.

use std::collections::BTreeMap;

use super::{
    book::Book,
    finding::{Finding, Rule},
    history::{End, Entry, Event},
    schedule::{Fault, Kind},
};
use crate::cluster::{ATTEMPTS_MAX, Part, Role};

/// Tolerated difference between the store's clock and the run's; most rounds change clocks by more.
const APART_MS: u64 = 10_000;

/// Returns all harm that such faults did.
pub(super) fn check(history: &[Entry], book: &Book<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = lost_runs(history, book).into_values().collect();
    findings.extend(wrong_times(history, book));
    findings
}

/// Finds runs that were in progress when such a fault occurred alone, and did not end; if only clocks were changed and
/// stores full, any lost run.
fn lost_runs<'a>(history: &'a [Entry], book: &'a Book<'_>) -> BTreeMap<&'a str, Finding> {
    let mut found = BTreeMap::new();
    for (round, part, fault, running) in struck(history).filter(|(_, _, fault, _)| fault.kind.is_harmless()) {
        for (id, attempt) in running {
            let end = book.tasks.get(id.as_str()).and_then(|task| task.end());
            if let Some(end) = end.filter(|end| attempts(end, fault.kind) > *attempt) {
                let did = match fault.kind {
                    Kind::Clock => "set the clock of",
                    Kind::Full => "filled the store of",
                    _ => "lost the answers to",
                };
                let what = format!(
                    "task {id} was at attempt {attempt} when round {round} {did} {part}, and ended with attempt {}",
                    end.attempt
                );
                found.insert(id.as_str(), Rule::LostRun.broken(id.as_str(), what));
            }
        }
    }
    let mut kinds = struck(history).map(|(_, _, fault, _)| fault.kind).peekable();
    if kinds.peek().is_some() && kinds.all(|kind| matches!(kind, Kind::Clock | Kind::Full)) {
        for (id, task) in book.accepted() {
            if let Some(end) = task.end().filter(|end| end.attempt > 1) {
                let what = format!(
                    "task {id} ended with attempt {}, and the only faults were changed clocks and full stores",
                    end.attempt
                );
                found.entry(id).or_insert_with(|| Rule::LostRun.broken(id, what));
            }
        }
    }
    found
}

/// Attempts of a task, without those that a fault of this kind may cost: when answers are lost, an assignment can be
/// lost too, and its attempt is given back.
fn attempts(end: &End, kind: Kind) -> u32 {
    let given_back = end.attempts_max.saturating_sub(ATTEMPTS_MAX);
    end.attempt.saturating_sub(if kind == Kind::Answers { given_back } else { 0 })
}

/// Finds ends with a time before the run began or after they were observed. Skipped if the clock of the store's process
/// was changed, since its times follow that clock.
fn wrong_times(history: &[Entry], book: &Book<'_>) -> Vec<Finding> {
    let keeps_time = |part: Part| matches!(part.role, Role::Redis | Role::Host);
    let is_set = struck(history).any(|(_, part, fault, _)| fault.kind == Kind::Clock && keeps_time(part));
    let Some(setup) = book.setup.filter(|_| !is_set) else { return Vec::new() };
    let mut findings = Vec::new();
    for (id, task) in book.accepted() {
        let Some(seen) = task.ended() else { continue };
        let Some(end) = &seen.sight.end else { continue };
        let earliest = setup.began_ms.saturating_sub(APART_MS);
        let latest = setup.began_ms + seen.at_us / 1_000 + APART_MS;
        if end.at_ms().is_none_or(|at_ms| !(earliest..=latest).contains(&at_ms)) {
            let what =
                format!("task {id} ended at {}, which is not between the start of the run and its observation", end.at);
            findings.push(Rule::WrongTime.broken(id, what));
        }
    }
    findings
}

type Strike<'a> = (u32, Part, Fault, &'a [(String, u32)]);

fn struck(history: &[Entry]) -> impl Iterator<Item = Strike<'_>> {
    history.iter().filter_map(|entry| match &entry.event {
        Event::Struck { round, part, fault, running, .. } => Some((*round, *part, *fault, running.as_slice())),
        _ => None,
    })
}
