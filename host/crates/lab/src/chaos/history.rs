//! The faults of a run and the observations of its clients: plain data, one JSON document per line, so that the history
//! of a failed run can be kept, read, and checked again.

use std::{
    fmt,
    io::{BufRead, Write},
    time::UNIX_EPOCH,
};

use anyhow::Context as _;
use fusebox_core::{id::Attempt, task::Status};
use serde::{Deserialize, Serialize};

use super::schedule::Fault;
use crate::cluster::{Part, Role};

/// An entry of the history. Times are in microseconds since the start of the run, on one monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Time of the request. The event was true at some moment between this and `at_us`.
    pub(super) asked_us: u64,
    /// Time of the answer.
    pub(super) at_us: u64,
    #[serde(flatten)]
    pub(super) event: Event,
}

/// An event of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Event {
    /// The first entry: the setup of the run.
    Began(Setup),
    /// A client is about to submit a task. It repeats the same key until it gets an answer.
    Meant { key: String, wait_ms: u16 },
    /// No definite answer: a 503, or a broken connection.
    Unanswered { key: String, why: String },
    /// The task is accepted, or already was.
    Accepted { key: String, task: String },
    /// An answer that a valid request must not get: to the submission under a key, or to a read of a task.
    Refused { about: String, status: u16, code: String },
    /// A task's record was read.
    Seen {
        task: String,
        #[serde(flatten)]
        sight: Sight,
    },
    /// A requested task does not exist.
    Missing { task: String },
    /// Some of the tasks that the store lists at the end.
    Listed { tasks: Vec<(String, Status)> },
    /// Numbers that the store counts at the end.
    Backlog { ready: u64, delayed: u64, running: u64 },
    /// A part was struck. If `alone`, no other fault was active, and the entry of the first part lists in `running` the
    /// first attempts in progress.
    Struck { round: u32, part: Part, fault: Fault, alone: bool, running: Vec<(String, Attempt)> },
    /// The part is back: requested when it was started or continued, answered when it was ready.
    Back { round: u32, part: Part },
    /// A terminated part ended by itself, with this status.
    Drained { round: u32, part: Part, exit: String, clean: bool },
    /// A part ended without being struck, or did not come back.
    Died { part: Part, exit: String },
}

/// Setup of a run, and the minimums that it must reach to prove anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Setup {
    /// Mode and store, such as `push on redis`.
    pub(super) what: String,
    pub(super) seed: u64,
    /// Unix time of the start in milliseconds, for comparison with the store's times.
    pub(super) began_ms: u64,
    pub(super) rounds: u32,
    /// Roles whose processes run the tasks.
    pub(super) runners: Vec<Role>,
    pub(super) floors: Floors,
}

/// Minimums below which a run proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Floors {
    /// Accepted tasks.
    pub(super) accepted: u64,
    /// Tasks that ended COMPLETED.
    pub(super) completed: u64,
    /// Processes killed with SIGKILL.
    pub(super) killed: u64,
    /// Tasks that needed more than one attempt: without any, no kill interrupted a run.
    pub(super) retried: u64,
}

/// A task's record as read once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sight {
    pub(super) status: Status,
    pub(super) attempt: Attempt,
    /// The end, of an ended task only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<End>,
}

/// End of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    /// Time of the end, in RFC 3339.
    pub(super) at: String,
    /// Attempt in the receipt.
    pub(super) attempt: Attempt,
    /// Limit of lost attempts by then: it grows by one for each attempt that was given back because it had not begun.
    #[serde(default)]
    pub(super) attempts_max: u32,
    /// Worker in the receipt.
    pub(super) worker: Option<String>,
    /// The whole receipt as JSON; it must not change between reads.
    pub(super) receipt: String,
    /// Error code of a failure.
    pub(super) error: Option<String>,
    /// Output in base64; only some reads request it.
    pub(super) result: Option<String>,
}

impl End {
    /// Time of the end in Unix milliseconds, as reported by the store.
    pub(super) fn at_ms(&self) -> Option<u64> {
        let at = humantime::parse_rfc3339(&self.at).ok()?.duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(at.as_millis()).ok()
    }
}

impl Event {
    /// Key and task of the event.
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

/// Formats an entry for findings: the times in seconds, then the event as JSON.
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
/// Fails if it cannot be written.
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
/// Fails if a line is not an entry of a history.
pub(super) fn read(from: impl BufRead) -> anyhow::Result<Vec<Entry>> {
    let entry = |(number, line): (usize, std::io::Result<String>)| {
        serde_json::from_str(&line?).with_context(|| format!("line {number} is not an entry of a history"))
    };
    (1..).zip(from.lines()).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::plants;

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
