//! A clean history, and a planted bug for each rule: the trace of a faulty host. The checker must find each bug under
//! its own name, and nothing else.

use std::{
    collections::BTreeSet,
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fusebox_core::{id::Attempt, task::Status};

use super::{
    checker::check,
    finding::Rule,
    history::{End, Entry, Event, Floors, Setup, Sight},
    schedule::{Fault, Kind},
    work,
};
use crate::cluster::{ATTEMPTS_MAX, Part, Role};
use harmless::{HOUR_MS, end_at, make_harmless};

mod harmless;

const BEGAN_MS: u64 = 1_700_000_000_000;
const TASKS: usize = 5;
const WORKER: Part = Part { role: Role::Worker, number: 1 };
const REDIS: Part = Part { role: Role::Redis, number: 1 };
const REST: Part = Part { role: Role::Rest, number: 2 };

type History = Vec<Entry>;

fn push(history: &mut History, event: Event) {
    let asked_us = history.last().map_or(0, |entry| entry.at_us + 1_000);
    history.push(Entry { asked_us, at_us: asked_us + 500, event });
}

fn key(n: usize) -> String {
    format!("key-{n}")
}

fn task(n: usize) -> String {
    format!("task-{n}")
}

fn look(n: usize, status: Status, attempt: Attempt) -> Event {
    Event::Seen { task: task(n), sight: Sight { status, attempt, end: None } }
}

fn completed(n: usize, attempt: Attempt, at_us: u64) -> Event {
    let at = UNIX_EPOCH + Duration::from_millis(BEGAN_MS) + Duration::from_micros(at_us);
    let end = End {
        at: humantime::format_rfc3339_millis(at).to_string(),
        attempt,
        attempts_max: ATTEMPTS_MAX,
        worker: Some(format!("worker-of-{n}")),
        receipt: format!("{{\"attempt\":{attempt}}}"),
        error: None,
        result: Some(STANDARD.encode(work::output(&work::input(0, &key(n))))),
    };
    Event::Seen { task: task(n), sight: Sight { status: Status::Completed, attempt, end: Some(end) } }
}

fn struck(round: u32, part: Part, kind: Kind, alone: bool) -> Event {
    let running = if alone { vec![(task(1), 1)] } else { Vec::new() };
    Event::Struck { round, part, fault: Fault { kind, away_ms: 100, ahead_ms: 0 }, alone, running }
}

/// Five tasks, three rounds: task 1 loses its first attempt with a worker, and the answer to key 2 is lost once.
pub(super) fn clean() -> History {
    let mut history = History::new();
    let h = &mut history;
    let floors = Floors { accepted: 5, completed: 4, killed: 2, retried: 1 };
    let runners = vec![Role::Worker];
    let setup = Setup { what: "push on redis".to_owned(), seed: 7, began_ms: BEGAN_MS, rounds: 3, runners, floors };
    push(h, Event::Began(setup));
    for n in 0..TASKS {
        push(h, Event::Meant { key: key(n), wait_ms: 0 });
        if n == 2 {
            push(h, Event::Unanswered { key: key(n), why: "503".to_owned() });
        }
        push(h, Event::Accepted { key: key(n), task: task(n) });
        push(h, look(n, Status::Queued, 0));
        push(h, look(n, Status::Running, 1));
    }
    push(h, struck(1, WORKER, Kind::Kill, true));
    push(h, Event::Back { round: 1, part: WORKER });
    push(h, look(1, Status::Queued, 1));
    push(h, look(1, Status::Running, 2));
    // This observation was requested before task 0 ended, and answered after another had found the end.
    let slow_us = h.last().map_or(0, |entry| entry.at_us);
    let ended_us = slow_us;
    for n in 0..TASKS {
        push(h, completed(n, if n == 1 { 2 } else { 1 }, ended_us));
    }
    push(h, look(0, Status::Running, 1));
    if let Some(slow) = h.last_mut() {
        slow.asked_us = slow_us;
    }
    push(h, struck(2, REDIS, Kind::Kill, false));
    push(h, Event::Back { round: 2, part: REDIS });
    push(h, Event::Accepted { key: key(2), task: task(2) });
    push(h, struck(3, REST, Kind::Terminate, false));
    push(h, Event::Drained { round: 3, part: REST, exit: "exit status: 0".to_owned(), clean: true });
    push(h, Event::Back { round: 3, part: REST });
    for n in 0..TASKS {
        push(h, completed(n, if n == 1 { 2 } else { 1 }, ended_us));
    }
    push(h, Event::Listed { tasks: (0..TASKS).map(|n| (task(n), Status::Completed)).collect() });
    push(h, Event::Backlog { ready: 0, delayed: 0, running: 0 });
    history
}

/// Changes every observation of the ended task `n`, except the first `from`.
fn change_ends(history: &mut History, n: usize, from: usize, change: impl Fn(&mut Sight)) {
    let ends = history.iter_mut().filter_map(|entry| match &mut entry.event {
        Event::Seen { task: id, sight } if *id == task(n) && sight.end.is_some() => Some(sight),
        _ => None,
    });
    ends.skip(from).for_each(change);
}

fn change_end(history: &mut History, n: usize, from: usize, change: impl Fn(&mut End)) {
    change_ends(history, n, from, |sight| sight.end.iter_mut().for_each(&change));
}

/// Inserts an event at the end of the rounds, before the last observations.
fn insert(history: &mut History, event: Event) {
    let is_last = |entry: &Entry| matches!(entry.event, Event::Back { round: 3, .. });
    let at = history.iter().position(is_last).unwrap() + 1;
    let asked_us = history[at - 1].at_us + 100;
    history.insert(at, Entry { asked_us, at_us: asked_us + 100, event });
}

fn without(history: &mut History, is_gone: impl Fn(&Event) -> bool) {
    history.retain(|entry| !is_gone(&entry.event));
}

fn fail(sight: &mut Sight) {
    sight.status = Status::Failed;
    sight.end.iter_mut().for_each(|end| end.error = Some("attempts-exhausted".to_owned()));
}

fn list(history: &mut History, change: impl Fn(&mut Vec<(String, Status)>)) {
    for entry in history {
        if let Event::Listed { tasks } = &mut entry.event {
            change(tasks);
        }
    }
}

type Bug = (&'static str, Rule, fn(&mut History));

const BUGS: &[Bug] = &[
    ("an accepted task is forgotten", Rule::Lost, |h| {
        insert(h, Event::Missing { task: task(3) });
    }),
    ("a task runs for ever", Rule::Unended, |h| {
        without(h, |event| matches!(event, Event::Seen { task: id, sight } if *id == task(3) && sight.end.is_some()));
        insert(h, look(3, Status::Running, 1));
    }),
    ("a task waits for ever", Rule::Unended, |h| {
        without(h, |event| matches!(event, Event::Seen { task: id, .. } if *id == task(3)));
        insert(h, look(3, Status::Queued, 0));
    }),
    ("nobody looks at a task", Rule::Unended, |h| {
        without(h, |event| matches!(event, Event::Seen { task: id, .. } if *id == task(3)));
    }),
    ("a task fails that cannot", Rule::Failed, |h| {
        change_ends(h, 3, 0, fail);
        list(h, |tasks| tasks[3].1 = Status::Failed);
    }),
    ("a task gets the result of another input", Rule::WrongResult, |h| {
        let other = STANDARD.encode(work::output(&work::input(0, &key(4))));
        change_end(h, 3, 0, |end| end.result = Some(other.clone()));
    }),
    ("a result is cut off", Rule::WrongResult, |h| {
        change_end(h, 3, 0, |end| end.result = end.result.as_ref().map(|result| result[..8].to_owned()));
    }),
    ("a result is never read", Rule::Unread, |h| change_end(h, 3, 0, |end| end.result = None)),
    ("a task is recorded twice, the second time by another worker", Rule::EndChanged, |h| {
        change_end(h, 3, 1, |end| {
            end.worker = Some("another".to_owned());
            end.receipt = "{\"worker\":\"another\"}".to_owned();
        });
    }),
    ("a receipt changes", Rule::EndChanged, |h| change_end(h, 3, 1, |end| end.receipt += " ")),
    ("the time of an end changes", Rule::EndChanged, |h| {
        change_end(h, 3, 1, |end| end.at = "2033-01-01T00:00:00.000Z".to_owned());
    }),
    ("a task goes back to the queue after its end", Rule::Backwards, |h| insert(h, look(3, Status::Queued, 1))),
    ("a task runs again after its end", Rule::Backwards, |h| insert(h, look(3, Status::Running, 2))),
    ("an attempt that lost its lease completes", Rule::Backwards, |h| {
        change_ends(h, 1, 0, |sight| {
            sight.attempt = 1;
            sight.end.iter_mut().for_each(|end| end.attempt = 1);
        });
        // The minimum of retried tasks must still be reached.
        change_ends(h, 4, 0, |sight| {
            sight.attempt = 2;
            sight.end.iter_mut().for_each(|end| end.attempt = 2);
        });
    }),
    ("a task waits at an attempt that it had not reached before", Rule::Backwards, |h| {
        without(
            h,
            |event| matches!(event, Event::Seen { task: id, sight } if *id == task(1) && sight.attempt == 2 && sight.end.is_none()),
        );
        insert(h, look(1, Status::Queued, 0));
    }),
    ("the receipt is of an attempt that never was", Rule::WrongReceipt, |h| {
        change_end(h, 3, 0, |end| end.attempt = 7);
        change_end(h, 1, 0, |end| end.attempt = 2);
    }),
    ("the receipt is of an attempt before", Rule::WrongReceipt, |h| {
        change_ends(h, 4, 0, |sight| sight.attempt = 2);
    }),
    ("nobody ran it", Rule::WrongReceipt, |h| change_end(h, 3, 0, |end| end.worker = None)),
    ("a resent key makes a second task", Rule::KeyWithTwoTasks, |h| {
        insert(h, Event::Accepted { key: key(2), task: "task-5".to_owned() });
        insert(h, Event::Seen { task: "task-5".to_owned(), sight: sight_of(h, 2) });
        list(h, |tasks| tasks.push(("task-5".to_owned(), Status::Completed)));
    }),
    ("two keys are answered with one task", Rule::TaskWithTwoKeys, |h| {
        without(
            h,
            |event| matches!(event, Event::Seen { task: id, .. } | Event::Accepted { task: id, .. } if *id == task(4)),
        );
        insert(h, Event::Accepted { key: key(4), task: task(3) });
        list(h, |tasks| tasks.truncate(TASKS - 1));
        floors(h).accepted -= 1;
    }),
    ("a key is never answered", Rule::Unanswered, |h| {
        insert(h, Event::Meant { key: "key-9".to_owned(), wait_ms: 0 });
        insert(h, Event::Unanswered { key: "key-9".to_owned(), why: "503".to_owned() });
    }),
    ("a good task is refused", Rule::Refused, |h| {
        insert(h, Event::Meant { key: "key-9".to_owned(), wait_ms: 0 });
        insert(h, Event::Refused { about: "key-9".to_owned(), status: 500, code: "internal".to_owned() });
    }),
    ("a look at a task is refused", Rule::Refused, |h| {
        insert(h, Event::Refused { about: task(3), status: 500, code: "internal".to_owned() });
    }),
    ("an accepted task is not listed", Rule::Unbalanced, |h| list(h, |tasks| drop(tasks.pop()))),
    ("a task is listed that nobody was given", Rule::Unbalanced, |h| {
        list(h, |tasks| tasks.push(("task-9".to_owned(), Status::Completed)));
    }),
    ("a task is listed in another state", Rule::Unbalanced, |h| list(h, |tasks| tasks[3].1 = Status::Queued)),
    ("a counter stays behind", Rule::Unbalanced, |h| {
        without(h, |event| matches!(event, Event::Backlog { .. }));
        push(h, Event::Backlog { ready: 0, delayed: 0, running: 1 });
    }),
    ("the counters are not read", Rule::Unbalanced, |h| without(h, |event| matches!(event, Event::Backlog { .. }))),
    ("the tasks are not listed", Rule::Unbalanced, |h| without(h, |event| matches!(event, Event::Listed { .. }))),
    ("too little was killed", Rule::TooFew, |h| {
        for entry in h {
            if let Event::Struck { round: 2, fault, .. } = &mut entry.event {
                fault.kind = Kind::Pause;
            }
        }
    }),
    ("no kill met a run", Rule::TooFew, |h| {
        for entry in h.iter_mut() {
            if let Event::Struck { running, .. } = &mut entry.event {
                running.clear();
            }
        }
        without(h, |event| matches!(event, Event::Seen { task: id, sight } if *id == task(1) && sight.end.is_none()));
        change_ends(h, 1, 0, |sight| {
            sight.attempt = 1;
            sight.end.iter_mut().for_each(|end| end.attempt = 1);
        });
    }),
    ("the schedule was cut short", Rule::TooFew, |h| {
        without(h, |event| matches!(event, Event::Struck { round: 3, .. } | Event::Drained { .. }));
    }),
    ("the history has no beginning", Rule::TooFew, |h| {
        h.remove(0);
        without(h, |event| matches!(event, Event::Struck { alone: true, .. }));
    }),
    ("a process falls over", Rule::Died, |h| {
        insert(h, Event::Died { part: REST, exit: "signal: 6 (SIGABRT)".to_owned() });
    }),
    ("a drain ends badly", Rule::BadDrain, |h| {
        insert(h, Event::Drained { round: 3, part: REST, exit: "exit status: 1".to_owned(), clean: false });
    }),
    ("nothing ends after the dispatchers are back", Rule::SlowRecovery, |h| {
        alone(h, Part { role: Role::Dispatcher, number: 1 });
    }),
    ("nothing is accepted after Redis is back", Rule::SlowRecovery, |h| {
        alone(h, REDIS);
        let again = h.iter().rposition(|entry| matches!(entry.event, Event::Accepted { .. })).unwrap();
        h.remove(again);
    }),
    ("a worker's task is left lying", Rule::SlowRecovery, |h| {
        let late_us = 60_000_000;
        for entry in h.iter_mut().skip_while(|entry| !matches!(entry.event, Event::Back { round: 1, .. })) {
            entry.asked_us += late_us;
            entry.at_us += late_us;
        }
        let at = UNIX_EPOCH + Duration::from_millis(BEGAN_MS) + Duration::from_micros(late_us);
        for n in 0..TASKS {
            change_end(h, n, 0, |end| end.at = humantime::format_rfc3339_millis(at).to_string());
        }
    }),
    ("a clock that is set costs a run", Rule::LostRun, |h| make_harmless(h, Kind::Clock)),
    ("lost answers cost a run", Rule::LostRun, |h| make_harmless(h, Kind::Answers)),
    ("a full store costs a run", Rule::LostRun, |h| make_harmless(h, Kind::Full)),
    ("a run is lost where nothing was done but clocks set", Rule::LostRun, |h| {
        h.iter_mut().for_each(|entry| {
            if let Event::Struck { fault, alone, running, .. } = &mut entry.event {
                (fault.kind, *alone) = (Kind::Clock, false);
                running.clear();
            }
        });
        floors(h).killed = 0;
    }),
    ("a process whose clock is ahead tells the time of an end", Rule::WrongTime, |h| end_at(h, 3, BEGAN_MS + HOUR_MS)),
    ("a process whose clock is behind tells the time of an end", Rule::WrongTime, |h| end_at(h, 3, BEGAN_MS - HOUR_MS)),
];

/// Makes round 2 a kill of `part` alone.
fn alone(history: &mut History, part: Part) {
    for entry in history {
        match &mut entry.event {
            Event::Struck { round: 2, part: other, alone, .. } => (*other, *alone) = (part, true),
            Event::Back { round: 2, part: other } => *other = part,
            _ => {}
        }
    }
}

fn sight_of(history: &History, n: usize) -> Sight {
    let ends = history.iter().find_map(|entry| match &entry.event {
        Event::Seen { task: id, sight } if *id == task(n) && sight.end.is_some() => Some(sight.clone()),
        _ => None,
    });
    ends.unwrap()
}

fn floors(history: &mut History) -> &mut Floors {
    let Event::Began(setup) = &mut history[0].event else { unreachable!("a history begins with its setup") };
    &mut setup.floors
}

#[test]
fn a_clean_history_passes() {
    assert_eq!(check(&clean()), []);
}

#[test]
fn each_planted_bug_is_found_under_its_name_and_no_other() {
    for (bug, rule, plant) in BUGS {
        let mut history = clean();
        plant(&mut history);
        let found: BTreeSet<Rule> = check(&history).iter().map(|finding| finding.rule).collect();
        assert_eq!(found, BTreeSet::from([*rule]), "{bug}: {:#?}", check(&history));
    }
}

#[test]
fn a_dispatcher_that_runs_the_tasks_may_hold_them_all_until_its_leases_are_over() {
    for (runner, found) in [(Role::Worker, 1), (Role::Dispatcher, 0)] {
        let mut history = clean();
        alone(&mut history, Part { role: Role::Dispatcher, number: 1 });
        let at = UNIX_EPOCH + Duration::from_millis(BEGAN_MS + 5_000);
        change_end(&mut history, 4, 0, |end| end.at = humantime::format_rfc3339_millis(at).to_string());
        if let Event::Began(setup) = &mut history[0].event {
            setup.runners = vec![runner];
        }
        assert_eq!(check(&history).len(), found, "{:#?}", check(&history));
    }
}

#[test]
fn each_rule_has_a_bug_that_breaks_it() {
    let broken: BTreeSet<Rule> = BUGS.iter().map(|(_, rule, _)| *rule).collect();
    assert_eq!(broken, BTreeSet::from(Rule::ALL));
}

#[test]
fn a_finding_is_told_with_its_name() {
    let finding = Rule::KeyWithTwoTasks.broken("key-1", "key-1 has two tasks");
    assert_eq!(finding.to_string(), "key-with-two-tasks: key-1 has two tasks");
}
