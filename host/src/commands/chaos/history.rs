//! What was done to a cluster and what its clients saw: plain data, a JSON document a line, so that the history of a run
//! that failed can be kept, read, and checked again.

use std::{
    fmt,
    io::{BufRead, Write},
    time::UNIX_EPOCH,
};

use anyhow::Context as _;
use fusebox_core::{id::Attempt, task::Status};
use serde::{Deserialize, Serialize};

use super::schedule::Fault;
use crate::commands::cluster::{Part, Role};

/// One thing that happened. Times are microseconds since the run began, on one clock that only moves forward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// When it was asked for; what it says was so at some moment between this and `at_us`.
    pub(super) asked_us: u64,
    /// When it was known.
    pub(super) at_us: u64,
    #[serde(flatten)]
    pub(super) event: Event,
}

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Event {
    /// The first entry: what is run.
    Began(Setup),
    /// A client means to submit a task. It sends the same key until it has an answer.
    Meant { key: String, wait_ms: u16 },
    /// No answer that says whether the task was accepted: a 503, or a connection that broke.
    Unanswered { key: String, why: String },
    /// The task is accepted, or was already.
    Accepted { key: String, task: String },
    /// An answer that a good request must not get: to the task of a key, or to a look at a task.
    Refused { about: String, status: u16, code: String },
    /// A task's record was read.
    Seen {
        task: String,
        #[serde(flatten)]
        sight: Sight,
    },
    /// A task was asked for, and there is none.
    Missing { task: String },
    /// Some of the tasks that the store lists at the end.
    Listed { tasks: Vec<(String, Status)> },
    /// What the store counts at the end.
    Backlog { ready: u64, delayed: u64, running: u64 },
    /// A part was struck. Where `alone`, nothing else was wrong, and the first part's `running` are the first attempts that
    /// ran then.
    Struck { round: u32, part: Part, fault: Fault, alone: bool, running: Vec<(String, Attempt)> },
    /// The part is there again: asked when it was started or continued, known when it was ready.
    Back { round: u32, part: Part },
    /// A part told to end did so, by itself, in this way.
    Drained { round: u32, part: Part, exit: String, clean: bool },
    /// A part ended though nobody had struck it, or did not come back.
    Died { part: Part, exit: String },
}

/// What is run, and what it must reach to prove anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Setup {
    /// `push on redis`.
    pub(super) what: String,
    pub(super) seed: u64,
    /// Unix time of the run's beginning in milliseconds, to compare it with the store's times.
    pub(super) began_ms: u64,
    pub(super) rounds: u32,
    /// Whose processes run the tasks.
    pub(super) runners: Vec<Role>,
    pub(super) floors: Floors,
}

/// Below these a run proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Floors {
    /// Tasks answered with an id.
    pub(super) accepted: u64,
    /// Tasks that ended COMPLETED.
    pub(super) completed: u64,
    /// Processes killed with SIGKILL.
    pub(super) killed: u64,
    /// Tasks that needed more than one attempt: without any, no kill met a run.
    pub(super) retried: u64,
}

/// A task's record as one read found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sight {
    pub(super) status: Status,
    pub(super) attempt: Attempt,
    /// Of an ended task only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<End>,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    /// RFC 3339.
    pub(super) at: String,
    /// The receipt's attempt.
    pub(super) attempt: Attempt,
    /// How many attempts the task may lose by then: more by one for each that was given back, since it had not begun.
    #[serde(default)]
    pub(super) attempts_max: u32,
    /// The receipt's worker.
    pub(super) worker: Option<String>,
    /// The whole receipt as JSON: it must stay the same, whatever is in it.
    pub(super) receipt: String,
    /// The code of a failure.
    pub(super) error: Option<String>,
    /// The output, base64; not every read asks for it.
    pub(super) result: Option<String>,
}

impl End {
    /// Its time in Unix milliseconds, as the store told it.
    pub(super) fn at_ms(&self) -> Option<u64> {
        let at = humantime::parse_rfc3339(&self.at).ok()?.duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(at.as_millis()).ok()
    }
}

impl Event {
    /// The key and the task it is about.
    pub(super) fn subjects(&self) -> [Option<&str>; 2] {
        match self {
            Self::Meant { key, .. } | Self::Unanswered { key, .. } => [Some(key), None],
            Self::Refused { about, .. } => [Some(about), Some(about)],
            Self::Accepted { key, task } => [Some(key), Some(task)],
            Self::Seen { task, .. } | Self::Missing { task } => [None, Some(task)],
            _ => [None, None],
        }
    }
}

/// As findings show it: the times in seconds, then the event as it is kept.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |us: u64| format!("{}.{:03}", us / 1_000_000, us / 1_000 % 1_000);
        let event = serde_json::to_string(&self.event).map_err(|_| fmt::Error)?;
        write!(f, "{:>8}–{:<8} {event}", seconds(self.asked_us), seconds(self.at_us))
    }
}

/// Writes a history.
///
/// # Errors
/// Where it cannot be written.
pub(super) fn write(mut to: impl Write, entries: &[Entry]) -> anyhow::Result<()> {
    for entry in entries {
        serde_json::to_writer(&mut to, entry)?;
        to.write_all(b"\n")?;
    }
    Ok(to.flush()?)
}

/// Reads a history.
///
/// # Errors
/// Where a line is none of a history.
pub(super) fn read(from: impl BufRead) -> anyhow::Result<Vec<Entry>> {
    let entry = |(number, line): (usize, std::io::Result<String>)| {
        serde_json::from_str(&line?).with_context(|| format!("line {number} is no line of a history"))
    };
    (1..).zip(from.lines()).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::chaos::plants;

    #[test]
    fn a_history_survives_being_kept() {
        let history = plants::clean();
        let mut kept = Vec::new();
        write(&mut kept, &history).unwrap();
        assert_eq!(read(kept.as_slice()).unwrap(), history);
        let error = read(b"{}\n".as_slice()).unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
    }
}
