//! A history indexed by subject: keys with their answers, tasks with their observations. Input of the checker, the
//! recovery times and the report.

use std::collections::{BTreeMap, BTreeSet};

use fusebox_core::task::Status;

use super::history::{End, Entry, Event, Setup, Sight};

/// An indexed history.
#[derive(Default)]
pub(super) struct Book<'a> {
    pub(super) setup: Option<&'a Setup>,
    pub(super) keys: BTreeMap<&'a str, Key<'a>>,
    pub(super) tasks: BTreeMap<&'a str, Task<'a>>,
    /// Status and code of the last refusal, by key or task.
    pub(super) refused: BTreeMap<&'a str, (u16, &'a str)>,
    /// Tasks that the store lists at the end; `None` if it was not read.
    pub(super) listed: Option<BTreeMap<&'a str, Status>>,
    /// Numbers of ready, delayed and running tasks at the end.
    pub(super) backlog: Option<[u64; 3]>,
}

/// Answers to an idempotency key.
#[derive(Default)]
pub(super) struct Key<'a> {
    pub(super) wait_ms: u16,
    pub(super) tasks: BTreeSet<&'a str>,
    /// Number of answers that named a task.
    pub(super) answers: u64,
}

/// Observations of a task.
#[derive(Default)]
pub(super) struct Task<'a> {
    pub(super) keys: BTreeSet<&'a str>,
    /// Time at which a client first knew of the task.
    pub(super) accepted_us: Option<u64>,
    pub(super) seen: Vec<Seen<'a>>,
    /// Times of the requests for the task that found none.
    pub(super) missing_us: Vec<u64>,
}

/// An observation of a task, true at some moment between the two times.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) asked_us: u64,
    pub(super) at_us: u64,
    pub(super) sight: &'a Sight,
}

impl<'a> Book<'a> {
    /// Indexes a history.
    pub(super) fn of(history: &'a [Entry]) -> Self {
        let mut book = Self::default();
        for entry in history {
            book.enter(entry);
        }
        book
    }

    fn enter(&mut self, entry: &'a Entry) {
        let &Entry { asked_us, at_us, ref event } = entry;
        match event {
            Event::Began(setup) => self.setup = Some(setup),
            Event::Meant { key, wait_ms } => self.keys.entry(key).or_default().wait_ms = *wait_ms,
            Event::Accepted { key, task } => {
                let known = self.keys.entry(key).or_default();
                known.tasks.insert(task);
                known.answers += 1;
                let known = self.tasks.entry(task).or_default();
                known.keys.insert(key);
                known.accepted_us = Some(known.accepted_us.map_or(at_us, |before| before.min(at_us)));
            }
            Event::Refused { about, status, code } => drop(self.refused.insert(about, (*status, code))),
            Event::Seen { task, sight } => {
                self.tasks.entry(task).or_default().seen.push(Seen { asked_us, at_us, sight });
            }
            Event::Missing { task } => self.tasks.entry(task).or_default().missing_us.push(asked_us),
            Event::Listed { tasks } => {
                let tasks = tasks.iter().map(|(task, status)| (task.as_str(), *status));
                self.listed.get_or_insert_default().extend(tasks);
            }
            Event::Backlog { ready, delayed, running } => self.backlog = Some([*ready, *delayed, *running]),
            _ => {}
        }
    }

    /// Iterates over the tasks whose ids clients received.
    pub(super) fn accepted(&self) -> impl Iterator<Item = (&'a str, &Task<'a>)> {
        self.tasks.iter().filter(|(_, task)| task.accepted_us.is_some()).map(|(id, task)| (*id, task))
    }

    /// Counts the accepted tasks that were observed as COMPLETED.
    pub(super) fn completed(&self) -> u64 {
        self.accepted().filter(|(_, task)| task.ended_as(Status::Completed).is_some()).map(|_| 1).sum()
    }

    /// Counts the accepted tasks that needed more than one attempt.
    pub(super) fn retried(&self) -> u64 {
        self.accepted().filter(|(_, task)| task.end().is_some_and(|end| end.attempt > 1)).map(|_| 1).sum()
    }
}

impl<'a> Task<'a> {
    /// Returns the first observation of the ended task.
    pub(super) fn ended(&self) -> Option<&Seen<'a>> {
        self.seen.iter().find(|seen| seen.sight.status.is_ended())
    }

    /// Returns the end of the task.
    pub(super) fn end(&self) -> Option<&'a End> {
        self.ended().and_then(|seen| seen.sight.end.as_ref())
    }

    /// Returns the end of the task if it has this status.
    pub(super) fn ended_as(&self, status: Status) -> Option<&'a End> {
        self.ended().filter(|seen| seen.sight.status == status).and_then(|seen| seen.sight.end.as_ref())
    }
}
