//! History of a task, as far as its record has it.

use fusebox_core::task::{PastAttempt, Task, TaskState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::rfc3339;

/// One moment of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimelineEvent {
    /// Time of the moment.
    pub at: String,
    /// `accepted`, `started` or `ended`: the task was accepted, an attempt has started, or an attempt or the task has ended.
    pub event: String,
    /// Number of the attempt; absent for the task itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Worker of the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Dispatcher that leased the attempt; absent for one that has ended by a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatcher: Option<String>,
    /// Reason of an end: `completed`, an error code, or of an attempt that may be followed by another one `lost`, `released`,
    /// `lapsed` or `cancelled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl TimelineEvent {
    /// Returns the history of a task, the earliest moment first. Of attempts without a report of their end only the last
    /// few are kept.
    #[must_use]
    pub fn of(task: &Task) -> Vec<Self> {
        let plain = |at, event: &str| Self {
            at: rfc3339(at),
            event: event.to_owned(),
            attempt: None,
            worker: None,
            dispatcher: None,
            why: None,
        };
        let mut events = vec![plain(task.created_at, "accepted")];
        for &PastAttempt { attempt, worker, dispatcher, started_at, ended_at, why } in &task.past {
            let started = Self {
                attempt: Some(attempt),
                worker: Some(worker.to_string()),
                dispatcher: dispatcher.map(|dispatcher| dispatcher.to_string()),
                ..plain(started_at, "started")
            };
            let ended = Self { attempt: Some(attempt), why: Some(why.as_str().to_owned()), ..plain(ended_at, "ended") };
            events.extend([started, ended]);
        }
        match &task.state {
            TaskState::Queued { .. } => {}
            TaskState::Running(lease) => events.push(Self {
                attempt: Some(task.attempt),
                worker: Some(lease.worker.to_string()),
                dispatcher: lease.dispatcher.map(|dispatcher| dispatcher.to_string()),
                ..plain(lease.started_at, "started")
            }),
            TaskState::Completed(ended) | TaskState::Failed(_, ended) => {
                let why = task.failure().map_or("completed", |failure| failure.code.as_str());
                // Without a token the host ended the task, and not one of its attempts.
                let attempt = ended.token.map(|_| task.attempt);
                let worker = task.worker().map(|worker| worker.to_string());
                let started = task.started_at().filter(|_| attempt.is_some());
                events.extend(started.map(|at| Self { attempt, worker, ..plain(at, "started") }));
                events.push(Self { attempt, why: Some(why.to_owned()), ..plain(ended.at, "ended") });
            }
        }
        events
    }
}
