//! A task and its states. Each state carries only the data that is valid in it.

use serde::{Deserialize, Serialize};

use crate::{
    error::ErrorCode,
    function::RunLimits,
    id::{Attempt, FunctionId, LeaseToken, TaskId, WorkerId},
    name::TenantId,
    outcome::{Failure, Receipt},
    time::Millis,
};

/// Order within a tenant: higher first, then oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// After everything else.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Before everything else.
    High,
}

impl Priority {
    /// Every priority, the first to be leased first.
    pub const HIGHEST_FIRST: [Self; 3] = [Self::High, Self::Normal, Self::Low];
}

/// One request to run a function. Its input, output and log are stored beside it, not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Names the task.
    pub id: TaskId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The version it runs.
    pub function: FunctionId,
    /// What its run may use.
    pub limits: RunLimits,
    /// Order within the tenant.
    pub priority: Priority,
    /// When it was accepted.
    pub created_at: Millis,
    /// It fails as expired unless an attempt has started by then.
    pub expires_at: Millis,
    /// The number of the latest attempt: the fence. 0 before the first.
    pub attempt: Attempt,
    /// Attempts it may have; an orderly release gives one back.
    pub attempts_max: Attempt,
    /// How often it was released.
    pub releases: u32,
    /// What its client asked for; there where the id was made from an idempotency key.
    pub fingerprint: Option<Fingerprint>,
    /// The task that this one is another try of, by its client's wish.
    pub retry_of: Option<TaskId>,
    /// Where it stands.
    pub state: TaskState,
}

/// A hash of all that a client asked for: the same idempotency key with another request is noticed by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 32]);

/// Where a task stands. [`crate::lifecycle`] holds every legal change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskState {
    /// Waits for an attempt; after a failed one, not before a given moment.
    Queued {
        /// May be leased from then on.
        not_before: Millis,
    },
    /// An attempt is leased.
    Running(Lease),
    /// The function returned.
    Completed(Ended),
    /// It ended in another way.
    Failed(Failure, Ended),
}

/// The right to run one attempt until a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it.
    pub worker: WorkerId,
    /// Proves the holder.
    pub token: LeaseToken,
    /// When the attempt was leased.
    pub started_at: Millis,
    /// Over at this moment unless renewed.
    pub expires_at: Millis,
    /// Whether it was ever renewed: a sign that its holder got it. Stores write it in a way of their own.
    #[serde(skip)]
    pub renewed: bool,
}

/// What is known of a task that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When it ended.
    pub at: Millis,
    /// The token of the attempt that recorded the end, so that the same report, sent again, is recognised; `None` where
    /// the host ended the task.
    pub token: Option<LeaseToken>,
    /// What the last run used.
    pub receipt: Receipt,
}

/// A task's state as a word: the one that clients of the Python platform know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Waits.
    Queued,
    /// Runs.
    Running,
    /// Ended well.
    Completed,
    /// Ended otherwise.
    Failed,
}

impl Status {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }

    /// Whether a task of this status can never change again.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

impl Task {
    /// How long it had waited when it was leased, in milliseconds: both times are its store's. 0 of one that does not run.
    #[must_use]
    pub fn waited_ms(&self) -> u64 {
        match self.state {
            TaskState::Running(lease) => lease.started_at.since(self.created_at),
            _ => 0,
        }
    }

    /// The state as a word.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self.state {
            TaskState::Queued { .. } => Status::Queued,
            TaskState::Running(_) => Status::Running,
            TaskState::Completed(_) => Status::Completed,
            TaskState::Failed(..) => Status::Failed,
        }
    }

    /// The token of its lease, where it runs.
    #[must_use]
    pub const fn token(&self) -> Option<LeaseToken> {
        match &self.state {
            TaskState::Running(lease) => Some(lease.token),
            TaskState::Queued { .. } | TaskState::Completed(_) | TaskState::Failed(..) => None,
        }
    }

    /// What is known of the end, where it has ended.
    #[must_use]
    pub const fn ended(&self) -> Option<&Ended> {
        match &self.state {
            TaskState::Completed(ended) | TaskState::Failed(_, ended) => Some(ended),
            TaskState::Queued { .. } | TaskState::Running(_) => None,
        }
    }

    /// Whether it FAILED for another reason than that someone cancelled it: worth to be looked at and tried again.
    #[must_use]
    pub fn is_dead_letter(&self) -> bool {
        self.failure().is_some_and(|failure| failure.code != ErrorCode::Cancelled)
    }

    /// The failure of a failed task.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match &self.state {
            TaskState::Failed(failure, _) => Some(failure),
            _ => None,
        }
    }
}
