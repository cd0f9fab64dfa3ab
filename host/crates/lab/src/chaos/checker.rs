//! Checks a history against the guarantees of Fusebox. Pure: the same history yields the same findings. `plants` has a
//! bug for each rule that must be found.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fusebox_core::task::Status;

use super::{
    book::{Book, Seen, Task},
    finding::{Finding, Rule},
    harmless,
    history::{Entry, Event, Sight},
    recovery,
    schedule::Kind,
    work,
};

/// Returns everything that is wrong with a history.
pub(super) fn check(history: &[Entry]) -> Vec<Finding> {
    let book = Book::of(history);
    let mut findings = Vec::new();
    for (id, task) in book.accepted() {
        findings.extend(presence(id, task));
        findings.extend(order(id, task));
        findings.extend(end(id, task, &book));
    }
    findings.extend(keys(&book));
    findings.extend(balance(&book));
    findings.extend(processes(history));
    findings.extend(floors(history, &book));
    findings.extend(harmless::check(history, &book));
    findings.extend(recovery::times(history, &book).iter().filter_map(recovery::Recovery::finding));
    findings
}

/// An accepted task exists whenever it is requested, and ends.
fn presence(id: &str, task: &Task<'_>) -> Option<Finding> {
    let accepted_us = task.accepted_us.unwrap_or_default();
    if task.missing_us.iter().any(|asked_us| *asked_us >= accepted_us) {
        return Some(Rule::Lost.broken(id, format!("task {id} was accepted and does not exist")));
    }
    if task.ended().is_none() {
        let last = task.seen.iter().max_by_key(|seen| seen.at_us);
        let last = last.map_or_else(|| "it was never observed".to_owned(), |seen| describe(seen.sight));
        return Some(Rule::Unended.broken(id, format!("task {id} did not end: {last}")));
    }
    None
}

/// An observation requested after another was answered shows the same state or a later one.
fn order(id: &str, task: &Task<'_>) -> Option<Finding> {
    let mut by_question: Vec<&Seen<'_>> = task.seen.iter().collect();
    let mut by_answer = by_question.clone();
    by_question.sort_by_key(|seen| seen.asked_us);
    by_answer.sort_by_key(|seen| seen.at_us);
    let mut known = by_answer.into_iter().peekable();
    let mut furthest: Option<&Seen<'_>> = None;
    for now in by_question {
        while let Some(before) = known.next_if(|before| before.at_us <= now.asked_us) {
            if furthest.is_none_or(|seen| rank(seen.sight) <= rank(before.sight)) {
                furthest = Some(before);
            }
        }
        if let Some(before) = furthest.filter(|before| !may_follow(before.sight, now.sight)) {
            let what = format!("task {id} was {}, and then {}", describe(before.sight), describe(now.sight));
            return Some(Rule::Backwards.broken(id, what));
        }
    }
    None
}

/// Progress of a task: within one attempt it runs, then waits again or has ended.
fn rank(sight: &Sight) -> (u32, u8) {
    let step = match sight.status {
        Status::Running => 0,
        Status::Queued => 1,
        Status::Completed | Status::Failed => 2,
    };
    (sight.attempt, step)
}

fn may_follow(before: &Sight, now: &Sight) -> bool {
    if before.status.is_ended() {
        // Another rule checks that it is the same end.
        return now.status.is_ended();
    }
    match (before.status, now.status) {
        _ if now.attempt != before.attempt => now.attempt > before.attempt,
        // An attempt that lost its lease can neither continue nor complete.
        (Status::Queued, Status::Running | Status::Completed) => false,
        _ => true,
    }
}

/// A task has one end, the same in every observation, with the result of its own input and the receipt of its last
/// attempt.
fn end(id: &str, task: &Task<'_>, book: &Book<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let ends: Vec<&Sight> = task.seen.iter().map(|seen| seen.sight).filter(|sight| sight.status.is_ended()).collect();
    let Some(first) = ends.first() else { return findings };
    if let Some(other) = ends.iter().find(|other| !is_same_end(first, other)) {
        let what = format!("task {id} was {}, and later {}", describe(first), describe(other));
        findings.push(Rule::EndChanged.broken(id, what));
    }
    if first.status == Status::Failed {
        findings.push(Rule::Failed.broken(id, format!("task {id} is {}, and cannot fail", describe(first))));
        return findings;
    }
    for end in ends.iter().filter(|sight| sight.status == Status::Completed) {
        let receipt = end.end.as_ref().filter(|receipt| receipt.attempt == end.attempt && receipt.worker.is_some());
        if receipt.is_none() || end.attempt == 0 {
            let what = format!("task {id} is {}, with the receipt of another attempt or none", describe(end));
            findings.push(Rule::WrongReceipt.broken(id, what));
            break;
        }
    }
    let results = || ends.iter().filter_map(|sight| sight.end.as_ref()?.result.as_ref());
    let expected: Vec<String> =
        task.keys.iter().filter_map(|key| Some(expected(key, book.keys.get(key)?.wait_ms))).collect();
    if results().next().is_none() {
        findings.push(Rule::Unread.broken(id, format!("task {id} COMPLETED, and its result was never read")));
    }
    if let Some(wrong) = results().find(|result| !expected.contains(result)) {
        let what = format!("task {id} has the result {wrong}, and its input's is {}", expected.join(" or "));
        findings.push(Rule::WrongResult.broken(id, what));
    }
    findings
}

fn is_same_end(first: &Sight, other: &Sight) -> bool {
    let (Some(end), Some(again)) = (&first.end, &other.end) else { return first.end == other.end };
    // Not every observation includes the result.
    let mut again = again.clone();
    if again.result.is_none() || end.result.is_none() {
        again.result.clone_from(&end.result);
    }
    first.status == other.status && first.attempt == other.attempt && *end == again
}

fn expected(key: &str, wait_ms: u16) -> String {
    STANDARD.encode(work::output(&work::input(wait_ms, key)))
}

/// Each key belongs to one task, and each task to one key.
fn keys(book: &Book<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (about, (status, code)) in &book.refused {
        let what = format!("{about}: a good request was answered {status} ({code})");
        findings.push(Rule::Refused.broken(*about, what));
    }
    for (name, key) in &book.keys {
        if key.tasks.is_empty() && !book.refused.contains_key(name) {
            let what = format!("the client of key {name} never learned whether its task was accepted");
            findings.push(Rule::Unanswered.broken(*name, what));
        }
        if key.tasks.len() > 1 {
            let tasks: Vec<&str> = key.tasks.iter().copied().collect();
            findings
                .push(Rule::KeyWithTwoTasks.broken(*name, format!("key {name} has the tasks {}", tasks.join(" and "))));
        }
    }
    for (id, task) in book.accepted().filter(|(_, task)| task.keys.len() > 1) {
        let keys: Vec<&str> = task.keys.iter().copied().collect();
        findings
            .push(Rule::TaskWithTwoKeys.broken(id, format!("task {id} was given to the keys {}", keys.join(" and "))));
    }
    findings
}

/// At the end, the store lists exactly the tasks that clients received, with the ends that they observed.
fn balance(book: &Book<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut unbalanced = |about: &str, what: String| findings.push(Rule::Unbalanced.broken(about, what));
    match book.backlog {
        Some([0, 0, 0]) => {}
        Some([ready, delayed, running]) => {
            let what = format!(
                "every task has ended, and the store counts {ready} ready, {delayed} delayed, {running} running"
            );
            unbalanced("", what);
        }
        None => unbalanced("", "the store's counters were not read at the end".to_owned()),
    }
    let Some(listed) = &book.listed else {
        unbalanced("", "the store's tasks were not listed at the end".to_owned());
        return findings;
    };
    for (id, task) in book.accepted() {
        let seen = task.ended().map(|seen| seen.sight.status);
        match (listed.get(id), seen) {
            (None, _) => unbalanced(id, format!("task {id} was accepted, and is not listed")),
            (Some(status), Some(seen)) if *status != seen => {
                unbalanced(id, format!("task {id} was {}, and is listed as {}", seen.as_str(), status.as_str()));
            }
            _ => {}
        }
    }
    // A client that never got an answer may still have created a task.
    let unanswered = book.keys.values().filter(|key| key.tasks.is_empty()).count();
    let foreign = listed.keys().filter(|id| book.tasks.get(*id).is_none_or(|task| task.accepted_us.is_none()));
    let foreign: Vec<&&str> = foreign.collect();
    if foreign.len() > unanswered {
        let id = foreign.first().map_or("", |id| **id);
        unbalanced(id, format!("the store lists {} tasks that no client was given, such as {id}", foreign.len()));
    }
    findings
}

/// Only parts that were struck end, and those that are terminated exit cleanly.
fn processes(history: &[Entry]) -> Vec<Finding> {
    let finding = |entry: &Entry| match &entry.event {
        Event::Died { part, exit } => Some(Rule::Died.broken("", format!("{part} stopped unexpectedly: {exit}"))),
        Event::Drained { part, exit, clean: false, .. } => {
            Some(Rule::BadDrain.broken("", format!("{part} was terminated, and exited with {exit}")))
        }
        _ => None,
    };
    history.iter().filter_map(finding).collect()
}

fn floors(history: &[Entry], book: &Book<'_>) -> Vec<Finding> {
    let Some(setup) = book.setup else {
        return vec![Rule::TooFew.broken("", "the history has no beginning")];
    };
    let is_kill = |entry: &&Entry| matches!(&entry.event, Event::Struck { fault, .. } if fault.kind == Kind::Kill);
    let is_strike = |entry: &Entry| match entry.event {
        Event::Struck { round, .. } => Some(round),
        _ => None,
    };
    let accepted = book.accepted().map(|_| 1).sum::<u64>();
    let killed = history.iter().filter(is_kill).map(|_| 1).sum::<u64>();
    let rounds = u64::from(history.iter().filter_map(is_strike).max().unwrap_or_default());
    let floors = setup.floors;
    let mut findings = Vec::new();
    for (what, found, floor) in [
        ("tasks were accepted", accepted, floors.accepted),
        ("tasks COMPLETED", book.completed(), floors.completed),
        ("processes were killed", killed, floors.killed),
        ("tasks needed a second attempt", book.retried(), floors.retried),
        ("rounds were played", rounds, setup.rounds.into()),
    ] {
        if found < floor {
            findings.push(
                Rule::TooFew.broken("", format!("{found} {what}, and with less than {floor} the run proves nothing")),
            );
        }
    }
    findings
}

fn describe(sight: &Sight) -> String {
    let mut text = format!("{} at attempt {}", sight.status.as_str(), sight.attempt);
    if let Some(end) = &sight.end {
        let code = end.error.as_deref().map(|code| format!(" ({code})")).unwrap_or_default();
        text += &format!(
            "{code} by attempt {} of {} at {}",
            end.attempt,
            end.worker.as_deref().unwrap_or("nobody"),
            end.at
        );
    }
    text
}
