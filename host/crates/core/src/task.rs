//! Tasks and their states. Each state carries only the data that is valid in it.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    error::ErrorCode,
    function::RunLimits,
    id::{Attempt, DispatcherId, FunctionId, LeaseToken, TaskId, WorkerId},
    keep::Keep,
    limits::RECORD_BYTES,
    name::TenantId,
    outcome::{Failure, Receipt},
    setup::Start,
    tags::Tags,
    time::Millis,
};

/// Order within a tenant's queue: higher priority first, then older first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Leased after all other tasks.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Leased before all other tasks.
    High,
}

impl Priority {
    /// All priorities, in the order in which they are leased.
    pub const HIGHEST_FIRST: [Self; 3] = [Self::High, Self::Normal, Self::Low];
}

/// A request to run a function once. Its input, output and log are stored separately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Unique id.
    pub id: TaskId,
    /// Owning tenant.
    pub tenant: TenantId,
    /// Function version to run.
    pub function: FunctionId,
    /// Limits of each run.
    pub limits: RunLimits,
    /// Order within the tenant's queue.
    pub priority: Priority,
    /// Time of acceptance.
    pub created_at: Millis,
    /// Expiry: the task fails with [`ErrorCode::Expired`] unless an attempt has started by then.
    pub expires_at: Millis,
    /// Number of the latest attempt, used as the fence; 0 before the first attempt.
    pub attempt: Attempt,
    /// Maximum number of attempts; each orderly release adds one, up to [`crate::limits::RELEASES_MAX`].
    pub attempts_max: Attempt,
    /// Number of releases so far.
    pub releases: u32,
    /// Hash of the client's request; present if the id was derived from an idempotency key.
    pub fingerprint: Option<Fingerprint>,
    /// Task of which a client requested this retry.
    pub retry_of: Option<TaskId>,
    /// Size of the input as accepted and of the start, in bytes.
    pub input_bytes: u64,
    /// Way in which the request starts the function.
    pub start: Start,
    /// Time for which the task is kept after its end.
    pub keep: Keep,
    /// Tags by which the task is found.
    #[serde(default)]
    pub tags: Tags,
    /// Attempts that did not end the task by a report, the latest [`PAST_ATTEMPTS_MAX`], the earliest first.
    #[serde(default)]
    pub past: Vec<PastAttempt>,
    /// Current state.
    pub state: TaskState,
}

/// Attempts of a task that are kept beside the last one, the latest: as many as the default number of attempts and their
/// releases allow, below 1 KiB in all.
pub const PAST_ATTEMPTS_MAX: usize = 8;

/// Attempt that is over without a report of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastAttempt {
    /// Number of the attempt.
    pub attempt: Attempt,
    /// Worker that held it.
    pub worker: WorkerId,
    /// Dispatcher that leased it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatcher: Option<DispatcherId>,
    /// Time of its lease.
    pub started_at: Millis,
    /// Time of its end.
    pub ended_at: Millis,
    /// Reason of its end.
    pub why: Why,
}

/// Reason for which an attempt was over without a report of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// Its worker was lost, or could not run it.
    Lost,
    /// It was returned in order, as by a worker that drains.
    Released,
    /// Its lease was not renewed in time.
    Lapsed,
    /// The task was cancelled.
    Cancelled,
}

impl Why {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::Lost, Self::Released, Self::Lapsed, Self::Cancelled];

    /// Returns the word used on every surface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Released => "released",
            Self::Lapsed => "lapsed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Hash of everything in a client's request. Detects an idempotency key that is reused with a different request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 32]);

/// State of a task. [`crate::lifecycle`] holds every legal transition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskState {
    /// Waiting for an attempt.
    Queued {
        /// Earliest time of the next lease; later than the acceptance for delayed tasks and after a failed attempt.
        not_before: Millis,
    },
    /// An attempt is leased to a worker.
    Running(Lease),
    /// The function returned.
    Completed(EndRecord),
    /// The task ended without a result of its function.
    Failed(Failure, EndRecord),
}

/// The exclusive right to run one attempt until a given time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Worker that holds the lease.
    pub worker: WorkerId,
    /// Dispatcher that leased the attempt, if the record names it.
    #[serde(default)]
    pub dispatcher: Option<DispatcherId>,
    /// Secret of the lease; a report that carries it comes from the holder.
    pub token: LeaseToken,
    /// Time of the lease.
    pub started_at: Millis,
    /// Time at which the lease expires unless renewed.
    pub expires_at: Millis,
    /// True once the lease has been renewed, which proves that the holder received it. Stores encode it in their own
    /// way.
    #[serde(skip)]
    pub renewed: bool,
}

/// Record of the end of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndRecord {
    /// Time of the end.
    pub at: Millis,
    /// Token of the attempt that recorded the end, which identifies a repeated report; `None` if the host ended the
    /// task.
    pub token: Option<LeaseToken>,
    /// Resources used by the last run.
    pub receipt: Receipt,
}

/// Status of a task, in the words of the Python platform's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Waiting for an attempt.
    Queued,
    /// Leased to a worker.
    Running,
    /// The function returned.
    Completed,
    /// Ended in any other way.
    Failed,
}

impl Status {
    /// Returns the word used on every surface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }

    /// Returns whether the status is final.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

impl Task {
    /// Returns the milliseconds between acceptance and lease, both by the store's clock; 0 unless the task is running.
    #[must_use]
    pub fn waited_ms(&self) -> u64 {
        match self.state {
            TaskState::Running(lease) => lease.started_at.since(self.created_at),
            _ => 0,
        }
    }

    /// Returns the status that corresponds to the state.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self.state {
            TaskState::Queued { .. } => Status::Queued,
            TaskState::Running(_) => Status::Running,
            TaskState::Completed(_) => Status::Completed,
            TaskState::Failed(..) => Status::Failed,
        }
    }

    /// Returns the worker that runs the task, or that ran its last attempt.
    #[must_use]
    pub fn worker(&self) -> Option<WorkerId> {
        match &self.state {
            TaskState::Queued { .. } => None,
            TaskState::Running(lease) => Some(lease.worker),
            TaskState::Completed(ended) | TaskState::Failed(_, ended) => {
                ended.receipt.worker.or_else(|| self.last_past().map(|past| past.worker))
            }
        }
    }

    /// Returns the time at which the last attempt started: of one that has ended by a report, its run.
    #[must_use]
    pub fn started_at(&self) -> Option<Millis> {
        match &self.state {
            TaskState::Queued { .. } => None,
            TaskState::Running(lease) => Some(lease.started_at),
            TaskState::Completed(EndRecord { receipt, token, at })
            | TaskState::Failed(_, EndRecord { receipt, token, at }) => match token {
                Some(_) => Some(self.created_at.plus(receipt.queue_us / 1_000).min(*at)),
                None => self.last_past().map(|past| past.started_at),
            },
        }
    }

    /// Returns the last attempt if it was over without a report.
    fn last_past(&self) -> Option<&PastAttempt> {
        self.past.last().filter(|past| past.attempt == self.attempt)
    }

    /// Records that the attempt of a running task is over without a report.
    pub(crate) fn past(&mut self, why: Why, ended_at: Millis) {
        let TaskState::Running(Lease { worker, dispatcher, started_at, .. }) = self.state else { return };
        if self.past.len() >= PAST_ATTEMPTS_MAX {
            self.past.remove(0);
        }
        self.past.push(PastAttempt { attempt: self.attempt, worker, dispatcher, started_at, ended_at, why });
    }

    /// Returns the token of the current lease, if the task is running.
    #[must_use]
    pub const fn token(&self) -> Option<LeaseToken> {
        match &self.state {
            TaskState::Running(lease) => Some(lease.token),
            TaskState::Queued { .. } | TaskState::Completed(_) | TaskState::Failed(..) => None,
        }
    }

    /// Returns the end, if the task has ended.
    #[must_use]
    pub const fn ended(&self) -> Option<&EndRecord> {
        match &self.state {
            TaskState::Completed(ended) | TaskState::Failed(_, ended) => Some(ended),
            TaskState::Queued { .. } | TaskState::Running(_) => None,
        }
    }

    /// Returns whether the task is a dead letter: it failed for any reason other than cancellation.
    #[must_use]
    pub fn is_dead_letter(&self) -> bool {
        self.failure().is_some_and(|failure| failure.code != ErrorCode::Cancelled)
    }

    /// Returns the bytes that count against its tenant's quota of stored bytes: the input while it is kept, output, log
    /// and texts of the failure, the tags, and [`RECORD_BYTES`].
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        let input = if self.ended().is_none() || self.is_dead_letter() { self.input_bytes } else { 0 };
        let kept =
            self.ended().map_or(0, |EndRecord { receipt, .. }| receipt.output_bytes.saturating_add(receipt.log_bytes));
        let texts = self.failure().map_or(0, Failure::text_bytes);
        let record = RECORD_BYTES.saturating_add(self.tags.stored_bytes());
        record.saturating_add(input).saturating_add(kept).saturating_add(texts)
    }

    /// Returns the failure, if the task has failed.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match &self.state {
            TaskState::Failed(failure, _) => Some(failure),
            _ => None,
        }
    }
}
