//! The rules that a history can break. Each has a name, so that tests can tie a planted bug to it.

use std::fmt;

use serde::Serialize;

/// A property that every history must have, named by its breach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Rule {
    /// An accepted task does not exist.
    Lost,
    /// An accepted task was not observed to end.
    Unended,
    /// A task that cannot fail FAILED.
    Failed,
    /// A result does not match the task's own input.
    WrongResult,
    /// A task COMPLETED, and its result was never read.
    Unread,
    /// An ended task was read again with another end.
    EndChanged,
    /// A task was observed in a state that it had already left.
    Backwards,
    /// The receipt is not from the attempt that ended the task.
    WrongReceipt,
    /// One idempotency key made two tasks.
    KeyWithTwoTasks,
    /// Two idempotency keys were answered with one task.
    TaskWithTwoKeys,
    /// A client never learned whether its task was accepted.
    Unanswered,
    /// A valid request was refused.
    Refused,
    /// The tasks that the store lists and counts differ from those that its clients received.
    Unbalanced,
    /// A minimum was not reached, so the run proves nothing.
    TooFew,
    /// A process ended that had not been struck.
    Died,
    /// A terminated process did not end, or reported an error.
    BadDrain,
    /// A struck part did not recover in time.
    SlowRecovery,
    /// A run was lost to a fault that must cost none: lost answers, or a changed clock.
    LostRun,
    /// A task's end has a time outside the run, though no clock of its store was changed.
    WrongTime,
}

/// A breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) rule: Rule,
    /// Task or key whose entries show the breach; empty if it concerns the whole run.
    pub(super) about: String,
    /// Description, one sentence.
    pub(super) what: String,
}

impl Rule {
    /// Every rule, to check that a bug breaks each of them.
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

    /// Name for people and programs.
    pub(super) fn as_str(self) -> String {
        let word = serde_json::to_value(self).unwrap_or_default();
        word.as_str().unwrap_or_default().to_owned()
    }

    /// Creates a finding of this rule.
    pub(super) fn broken(self, about: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding { rule: self, about: about.into(), what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule.as_str(), self.what)
    }
}
