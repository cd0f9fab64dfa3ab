//! What a history can be found guilty of: each property has its name, so that a planted bug can be held against it.

use std::fmt;

use serde::Serialize;

/// A property that a history must have, named by its breach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Rule {
    /// An accepted task is not there.
    Lost,
    /// An accepted task was not seen to end.
    Unended,
    /// A task that cannot fail FAILED.
    Failed,
    /// A result is not that of the task's own input.
    WrongResult,
    /// A task COMPLETED, and its result was never read.
    Unread,
    /// An ended task was read again and had ended otherwise.
    EndChanged,
    /// A task was seen in a state that it had left before.
    Backwards,
    /// The receipt is not that of the attempt that ended the task.
    WrongReceipt,
    /// One idempotency key made two tasks.
    KeyWithTwoTasks,
    /// Two idempotency keys were answered with one task.
    TaskWithTwoKeys,
    /// A client never learned whether its task was accepted.
    Unanswered,
    /// A good request was refused.
    Refused,
    /// What the store lists and counts is not what its clients were told.
    Unbalanced,
    /// A floor was not reached: the run proves nothing.
    TooFew,
    /// A process ended that nobody had struck.
    Died,
    /// A process told to end did not, or said that something went wrong.
    BadDrain,
    /// What was struck did not recover in time.
    SlowRecovery,
    /// A run was lost to a fault that must cost none: lost answers, or a clock that was set.
    LostRun,
    /// A task's end is told at a time that was not in the run, though no clock of its store was set.
    WrongTime,
}

/// A breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) rule: Rule,
    /// The task or key whose entries tell the story; empty where it is the whole run's.
    pub(super) about: String,
    /// A sentence.
    pub(super) what: String,
}

impl Rule {
    /// Every rule, to see that each has a bug that breaks it.
    #[cfg(test)]
    pub(super) const ALL: [Self; 19] = [
        Self::Lost,
        Self::Unended,
        Self::Failed,
        Self::WrongResult,
        Self::Unread,
        Self::EndChanged,
        Self::Backwards,
        Self::WrongReceipt,
        Self::KeyWithTwoTasks,
        Self::TaskWithTwoKeys,
        Self::Unanswered,
        Self::Refused,
        Self::Unbalanced,
        Self::TooFew,
        Self::Died,
        Self::BadDrain,
        Self::SlowRecovery,
        Self::LostRun,
        Self::WrongTime,
    ];

    /// The word for people and programs.
    pub(super) fn as_str(self) -> String {
        let word = serde_json::to_value(self).unwrap_or_default();
        word.as_str().unwrap_or_default().to_owned()
    }

    /// A breach of this rule.
    pub(super) fn broken(self, about: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding { rule: self, about: about.into(), what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule.as_str(), self.what)
    }
}
