//! How records are written: a byte that says the layout, then postcard. The layouts are stated here rather than taken
//! from the domain types wherever those name things by position, so that a new error code or field cannot change the
//! meaning of what is on disk. Knows no key.

use fusebox_core::{
    error::ErrorCode,
    function::{FunctionVersion, RunLimits},
    id::{Attempt, FunctionId, TaskId},
    name::TenantId,
    outcome::Failure,
    task::{Ended, Lease, Priority, Task, TaskState},
    time::Millis,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::store::{Backlog, Error, Result};

/// The layout of every record. A change of any layout makes a new number, and `decode` learns to read the old one.
const LAYOUT: u8 = 1;

/// What is counted of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counters {
    /// Tasks that may be leased, by the order of their priority.
    pub(super) ready: [u64; 3],
    /// Tasks that wait for their time.
    pub(super) delayed: u64,
    /// Leased attempts.
    pub(super) running: u64,
    /// Function versions.
    pub(super) versions: u64,
}

impl Counters {
    /// Tasks that wait.
    pub(super) fn waiting(&self) -> u64 {
        self.ready.iter().sum::<u64>() + self.delayed
    }

    /// What waits and runs, if anything does.
    pub(super) fn backlog(&self, tenant: TenantId) -> Option<Backlog> {
        let ready = self.ready.iter().sum();
        let any = ready + self.delayed + self.running > 0;
        any.then_some(Backlog { tenant, ready, delayed: self.delayed, running: self.running })
    }
}

/// A function version. One that is deleted is kept until its last task has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FunctionRecord {
    /// The version.
    pub(super) version: FunctionVersion,
    /// Whether it looks absent.
    pub(super) deleted: bool,
}

/// A value as it is kept.
///
/// # Errors
/// [`Error::Corrupt`]; no value of this store's types is refused by postcard.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    postcard::to_extend(value, vec![LAYOUT]).map_err(|error| Error::Corrupt(format!("a record to be written: {error}")))
}

/// A value that was kept.
///
/// # Errors
/// [`Error::Corrupt`] where the bytes are none, or of a layout that this version does not know.
pub(super) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    match bytes.split_first() {
        Some((&LAYOUT, bytes)) => match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(Error::Corrupt(format!("{what}: bytes are left over"))),
            Err(error) => Err(Error::Corrupt(format!("{what}: {error}"))),
        },
        Some((layout, _)) => Err(Error::Corrupt(format!("{what}: layout {layout} is not known to this version"))),
        None => Err(Error::Corrupt(format!("{what}: empty"))),
    }
}

/// A task as it is kept.
///
/// # Errors
/// See [`encode`].
pub(super) fn encode_task(task: &Task) -> Result<Vec<u8>> {
    encode(&TaskRecord::from(task))
}

/// A task that was kept.
///
/// # Errors
/// See [`decode`].
pub(super) fn decode_task(bytes: &[u8]) -> Result<Task> {
    decode::<TaskRecord>("a task", bytes)?.into_task()
}

#[derive(Serialize, Deserialize)]
struct TaskRecord {
    id: TaskId,
    tenant: TenantId,
    function: FunctionId,
    limits: RunLimits,
    priority: u8,
    created_at: Millis,
    expires_at: Millis,
    attempt: Attempt,
    attempts_max: Attempt,
    releases: u32,
    state: StateRecord,
}

#[derive(Serialize, Deserialize)]
enum StateRecord {
    Queued(Millis),
    Running(Lease),
    Completed(Ended),
    Failed(FailureRecord, Ended),
}

#[derive(Serialize, Deserialize)]
struct FailureRecord {
    code: String,
    message: String,
    backtrace: Vec<String>,
}

impl From<&Task> for TaskRecord {
    fn from(task: &Task) -> Self {
        Self {
            id: task.id,
            tenant: task.tenant.clone(),
            function: task.function,
            limits: task.limits,
            priority: super::keys::order(task.priority),
            created_at: task.created_at,
            expires_at: task.expires_at,
            attempt: task.attempt,
            attempts_max: task.attempts_max,
            releases: task.releases,
            state: StateRecord::from(&task.state),
        }
    }
}

impl From<&TaskState> for StateRecord {
    fn from(state: &TaskState) -> Self {
        match state {
            TaskState::Queued { not_before } => Self::Queued(*not_before),
            TaskState::Running(lease) => Self::Running(*lease),
            TaskState::Completed(ended) => Self::Completed(ended.clone()),
            TaskState::Failed(Failure { code, message, backtrace }, ended) => {
                let (message, backtrace) = (message.clone(), backtrace.clone());
                Self::Failed(FailureRecord { code: code.as_str().to_owned(), message, backtrace }, ended.clone())
            }
        }
    }
}

impl TaskRecord {
    fn into_task(self) -> Result<Task> {
        let state = match self.state {
            StateRecord::Queued(not_before) => TaskState::Queued { not_before },
            StateRecord::Running(lease) => TaskState::Running(lease),
            StateRecord::Completed(ended) => TaskState::Completed(ended),
            StateRecord::Failed(FailureRecord { code, message, backtrace }, ended) => {
                let known = ErrorCode::ALL.iter().find(|known| known.as_str() == code);
                let code = *known.ok_or_else(|| Error::Corrupt(format!("a task: unknown error code {code:?}")))?;
                TaskState::Failed(Failure { code, message, backtrace }, ended)
            }
        };
        let priority = Priority::HIGHEST_FIRST.get(usize::from(self.priority));
        Ok(Task {
            id: self.id,
            tenant: self.tenant,
            function: self.function,
            limits: self.limits,
            priority: *priority.ok_or_else(|| Error::Corrupt("a task: unknown priority".to_owned()))?,
            created_at: self.created_at,
            expires_at: self.expires_at,
            attempt: self.attempt,
            attempts_max: self.attempts_max,
            releases: self.releases,
            state,
        })
    }
}
