//! The report of a run, for people and for programs.

use std::collections::BTreeMap;

use fusebox_ui::{self as ui, table::Table};
use serde::Serialize;

use super::{
    book::Book,
    checker::check,
    finding::{Finding, Rule},
    history::{Entry, Event},
    recovery::{self, Recovery},
    schedule::Kind,
};
use crate::cluster::Role;

/// Most findings of one rule that are printed with their whole history; the others are counted.
const TOLD_MAX: usize = 5;
/// Most entries printed for one task or key.
const ENTRIES_MAX: usize = 60;

/// Report of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) what: String,
    pub(super) seed: u64,
    pub(super) seconds: u64,
    pub(super) rounds: u32,
    /// Strikes by role and kind, and the longest time until a part was back.
    pub(super) strikes: BTreeMap<Role, Strikes>,
    /// Accepted tasks.
    pub(super) accepted: u64,
    /// Tasks that ended COMPLETED.
    pub(super) completed: u64,
    /// Tasks that needed more than one attempt.
    pub(super) retried: u64,
    /// Submissions without an answer that were repeated under the same key.
    pub(super) resent: u64,
    /// Answers that repeated the id a key already had.
    pub(super) same_id: u64,
    /// Observations of tasks.
    pub(super) looks: u64,
    pub(super) recoveries: Vec<Recovery>,
    pub(super) findings: Vec<Finding>,
}

/// Number of strikes against parts of a role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Strikes {
    pub(super) killed: u64,
    pub(super) paused: u64,
    pub(super) terminated: u64,
    /// Times that answers to it were lost.
    pub(super) answers_lost: u64,
    /// Times that its clock was changed.
    pub(super) clock_set: u64,
    /// Times that its store was full.
    pub(super) filled: u64,
    /// Longest time from a restart until it was ready.
    pub(super) ready_ms_max: u64,
}

impl Report {
    /// Summarizes a history.
    pub(super) fn of(history: &[Entry]) -> Self {
        let book = Book::of(history);
        let setup = book.setup;
        let mut report = Self {
            what: setup.map(|setup| setup.what.clone()).unwrap_or_default(),
            seed: setup.map(|setup| setup.seed).unwrap_or_default(),
            seconds: history.last().map(|entry| entry.at_us / 1_000_000).unwrap_or_default(),
            rounds: 0,
            strikes: BTreeMap::new(),
            accepted: book.accepted().map(|_| 1).sum(),
            completed: book.completed(),
            retried: book.retried(),
            resent: 0,
            same_id: book.keys.values().map(|key| key.answers - key.tasks.len() as u64).sum(),
            looks: 0,
            recoveries: recovery::times(history, &book),
            findings: check(history),
        };
        history.iter().for_each(|entry| report.count(entry));
        report
    }

    fn count(&mut self, entry: &Entry) {
        match &entry.event {
            Event::Unanswered { .. } => self.resent += 1,
            Event::Seen { .. } => self.looks += 1,
            Event::Struck { round, part, fault, .. } => {
                self.rounds = self.rounds.max(*round);
                let strikes = self.strikes.entry(part.role).or_default();
                match fault.kind {
                    Kind::Kill => strikes.killed += 1,
                    Kind::Pause => strikes.paused += 1,
                    Kind::Terminate => strikes.terminated += 1,
                    Kind::Answers => strikes.answers_lost += 1,
                    Kind::Clock => strikes.clock_set += 1,
                    Kind::Full => strikes.filled += 1,
                }
            }
            Event::Back { part, .. } => {
                let ready_ms = (entry.at_us - entry.asked_us) / 1_000;
                let strikes = self.strikes.entry(part.role).or_default();
                strikes.ready_ms_max = strikes.ready_ms_max.max(ready_ms);
            }
            _ => {}
        }
    }

    /// Returns the longest recovery of each role.
    fn slowest(&self) -> BTreeMap<Role, Recovery> {
        let mut slowest: BTreeMap<Role, Recovery> = BTreeMap::new();
        for recovery in &self.recoveries {
            let known = slowest.entry(recovery.role).or_insert(*recovery);
            // A missing recovery counts as the longest.
            let time = |recovery: &Recovery| recovery.took_ms.unwrap_or(u64::MAX);
            if time(recovery) > time(known) {
                *known = *recovery;
            }
        }
        slowest
    }

    /// Formats the report as a table for people.
    pub(super) fn table(&self) -> String {
        let Self { what, seed, seconds, rounds, .. } = self;
        let slowest = self.slowest();
        let struck = [
            "PART",
            "KILLED",
            "PAUSED",
            "TERMINATED",
            "ANSWERS LOST",
            "CLOCK SET",
            "FILLED",
            "READY IN",
            "RECOVERED IN",
        ];
        let mut table = Table::new(struck);
        for (role, strikes) in &self.strikes {
            let recovered = slowest.get(role).map(|slowest| match slowest.took_ms {
                Some(ms) => format!("{ms} ms (at most {})", slowest.limit_ms),
                None => format!("never (at most {} ms)", slowest.limit_ms),
            });
            table.row([
                role.as_str().to_owned(),
                strikes.killed.to_string(),
                strikes.paused.to_string(),
                strikes.terminated.to_string(),
                strikes.answers_lost.to_string(),
                strikes.clock_set.to_string(),
                strikes.filled.to_string(),
                // A worker is not awaited after its start: the dispatcher that it joins may be down.
                if *role == Role::Worker { String::new() } else { format!("{} ms", strikes.ready_ms_max) },
                recovered.unwrap_or_default(),
            ]);
        }
        let [accepted, completed, retried] = [self.accepted, self.completed, self.retried].map(ui::count);
        let [resent, same_id, looks] = [self.resent, self.same_id, self.looks].map(ui::count);
        let verdict = match self.findings.len() {
            0 => "nothing lost, nothing twice, nothing wrong".to_owned(),
            count => format!("{count} findings"),
        };
        format!(
            "{what}, seed {seed}: {rounds} rounds in {seconds} s\n{table}\n\
             {accepted} tasks accepted, {completed} COMPLETED, {retried} of them after more than one attempt\n\
             {resent} submissions sent again, {same_id} answered with the id their key had; {looks} looks\n\
             verdict: {verdict}"
        )
    }

    /// Formats each finding with all entries of its task or key.
    pub(super) fn tell(&self, history: &[Entry]) -> Vec<String> {
        let mut told: BTreeMap<Rule, usize> = BTreeMap::new();
        let mut lines = Vec::new();
        for finding in &self.findings {
            let count = told.entry(finding.rule).or_default();
            *count += 1;
            if *count <= TOLD_MAX {
                lines.push(finding.to_string());
                lines.extend(story(history, &finding.about));
            }
        }
        for (rule, count) in told.into_iter().filter(|(_, count)| *count > TOLD_MAX) {
            lines.push(format!("{}: {} more", rule.as_str(), count - TOLD_MAX));
        }
        lines
    }
}

/// Returns the entries about a task and its keys, or a key and its tasks.
fn story(history: &[Entry], about: &str) -> Vec<String> {
    let mut names = vec![about];
    for entry in history {
        if let Event::Accepted { key, task } = &entry.event
            && (key == about || task == about)
        {
            names.extend([key.as_str(), task.as_str()]);
        }
    }
    let is_part = |entry: &&Entry| entry.event.subjects().into_iter().flatten().any(|name| names.contains(&name));
    let lines: Vec<String> = history.iter().filter(is_part).map(|entry| format!("  {entry}")).collect();
    let skipped = lines.len().saturating_sub(ENTRIES_MAX);
    let note = (skipped > 0).then(|| format!("  … {skipped} entries before these are in the history"));
    note.into_iter().chain(lines.into_iter().skip(skipped)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::plants;

    #[test]
    fn a_clean_run_is_told_in_figures() {
        let report = Report::of(&plants::clean());
        assert_eq!((report.accepted, report.completed, report.retried), (5, 5, 1));
        assert_eq!((report.rounds, report.resent, report.same_id), (3, 1, 1));
        let strikes = report.strikes[&Role::Worker];
        assert_eq!((strikes.killed, strikes.paused, strikes.terminated), (1, 0, 0));
        assert!(report.table().contains("nothing lost"), "{}", report.table());
    }

    #[test]
    fn a_finding_is_told_with_its_tasks_story() {
        let mut history = plants::clean();
        history.retain(
            |entry| !matches!(&entry.event, Event::Seen { task, sight } if task == "task-3" && sight.end.is_some()),
        );
        let lines = Report::of(&history).tell(&history);
        assert!(lines[0].starts_with("unended: task task-3"), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("key-3")), "{lines:#?}");
        assert!(!lines.iter().any(|line| line.contains("key-2")), "{lines:#?}");
    }
}
