//! Selection of tasks by their properties. Every store applies [`Selection::takes`], whatever index leads it to a task.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    error::ErrorCode,
    id::{FunctionId, TaskId, WorkerId},
    name::FunctionName,
    tags::Tag,
    task::{Status, Task},
    time::Millis,
};

/// Properties that a task must have, all of them. The default takes every task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// Function of the task.
    pub function: Option<Runs>,
    /// Status of the task.
    pub status: Option<Status>,
    /// Error code of a failed task.
    pub code: Option<ErrorCode>,
    /// Worker that runs the task or ran its last attempt.
    pub worker: Option<WorkerId>,
    /// Tags of the task.
    pub tags: Vec<Tag>,
    /// Earliest time of acceptance.
    pub since: Option<Millis>,
    /// Time before which it was accepted.
    pub until: Option<Millis>,
    /// Task that it retries.
    pub retry_of: Option<TaskId>,
}

/// Function of selected tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Runs {
    /// One version.
    Version(FunctionId),
    /// All versions of a name.
    Name(FunctionName),
}

/// Order of found tasks, by their time of acceptance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The latest first.
    #[default]
    Newest,
    /// The earliest first.
    Oldest,
}

impl Selection {
    /// Returns true if a task has all properties. `name` returns the name of the function of the task; it is called only
    /// if the rest fits.
    ///
    /// # Errors
    /// Fails as `name` does.
    pub fn takes<E>(&self, task: &Task, name: impl FnOnce() -> Result<Option<FunctionName>, E>) -> Result<bool, E> {
        if !self.takes_but_name(task) {
            return Ok(false);
        }
        match &self.function {
            Some(Runs::Name(wanted)) => Ok(name()?.as_ref() == Some(wanted)),
            Some(Runs::Version(_)) | None => Ok(true),
        }
    }

    fn takes_but_name(&self, task: &Task) -> bool {
        let version = match &self.function {
            Some(Runs::Version(version)) => Some(*version),
            Some(Runs::Name(_)) | None => None,
        };
        self.is_in_time(task.created_at)
            && self.status.is_none_or(|status| task.status() == status)
            && version.is_none_or(|version| task.function == version)
            && self.code.is_none_or(|code| task.failure().is_some_and(|failure| failure.code == code))
            && self.worker.is_none_or(|worker| task.worker() == Some(worker))
            && self.retry_of.is_none_or(|letter| task.retry_of == Some(letter))
            && self.tags.iter().all(|tag| task.tags.has(tag))
    }

    /// Returns true if a task that was accepted then may be selected.
    #[must_use]
    pub fn is_in_time(&self, created_at: Millis) -> bool {
        self.since.is_none_or(|since| created_at >= since) && self.until.is_none_or(|until| created_at < until)
    }

    /// Returns the status that selected tasks have: only a failed task has an error code.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.status.or_else(|| self.code.map(|_| Status::Failed))
    }
}
