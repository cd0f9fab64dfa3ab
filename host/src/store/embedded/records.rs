//! How records are written: a byte that says the layout, then postcard. The layouts are stated here rather than taken
//! from the domain types wherever those name things by position, so that a new error code or field cannot change the
//! meaning of what is on disk. Knows no key.

use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    function::{FunctionVersion, RunLimits},
    id::{Attempt, FunctionId, TaskId},
    name::TenantId,
    outcome::Failure,
    task::{Ended, Fingerprint, Lease, Priority, Task, TaskState},
    time::Millis,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::store::{Backlog, Error, Result};

mod functions;

pub(super) use self::functions::{decode_function, encode_function};

/// The layout of every record but those of functions, which have one of their own. A change of any layout makes a new
/// number, and `decode` learns to read the old one.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FunctionRecord {
    /// The version.
    pub(super) version: FunctionVersion,
    /// Whether it looks absent.
    pub(super) deleted: bool,
}

/// What is counted of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NamespaceRecord {
    /// The last revision given.
    pub(super) revision: u64,
    /// Values, those whose time is over included.
    pub(super) entries: u64,
    /// Bytes of their keys and themselves.
    pub(super) bytes: u64,
}

/// A value of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ValueRecord {
    /// Its revision.
    pub(super) revision: u64,
    /// When it is over.
    pub(super) expires_at: Option<Millis>,
    /// The value.
    pub(super) value: Bytes,
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
    decode_layout(LAYOUT, what, bytes)
}

fn decode_layout<T: DeserializeOwned>(layout: u8, what: &str, bytes: &[u8]) -> Result<T> {
    match bytes.split_first() {
        Some((&found, bytes)) if found == layout => match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(Error::Corrupt(format!("{what}: bytes are left over"))),
            Err(error) => Err(Error::Corrupt(format!("{what}: {error}"))),
        },
        Some((layout, _)) => Err(Error::Corrupt(format!("{what}: layout {layout} is not known to this version"))),
        None => Err(Error::Corrupt(format!("{what}: empty"))),
    }
}

/// A record that may get more fields, as JSON. Of such there are few, and they are small.
///
/// # Errors
/// [`Error::Corrupt`]; no value of this store's types is refused.
pub(super) fn encode_open<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Corrupt(format!("a record to be written: {error}")))
}

/// A record that [`encode_open`] wrote, perhaps of another version.
///
/// # Errors
/// [`Error::Corrupt`] where the bytes are none.
pub(super) fn decode_open<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::Corrupt(format!("{what}: {error}")))
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
    fingerprint: Option<Fingerprint>,
    retry_of: Option<TaskId>,
    state: StateRecord,
}

#[derive(Serialize, Deserialize)]
enum StateRecord {
    Queued(Millis),
    Running(Lease),
    Completed(Ended),
    Failed(FailureRecord, Ended),
    /// Runs, under a lease that was renewed.
    Renewed(Lease),
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
            fingerprint: task.fingerprint,
            retry_of: task.retry_of,
            state: StateRecord::from(&task.state),
        }
    }
}

impl From<&TaskState> for StateRecord {
    fn from(state: &TaskState) -> Self {
        match state {
            TaskState::Queued { not_before } => Self::Queued(*not_before),
            TaskState::Running(lease) if lease.renewed => Self::Renewed(*lease),
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
            StateRecord::Running(lease) => TaskState::Running(Lease { renewed: false, ..lease }),
            StateRecord::Renewed(lease) => TaskState::Running(Lease { renewed: true, ..lease }),
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
            fingerprint: self.fingerprint,
            retry_of: self.retry_of,
            state,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_core::{
        id::{LeaseToken, WorkerId, to_hex},
        outcome::Receipt,
    };

    fn task(state: TaskState) -> Task {
        Task {
            id: TaskId::from_bytes([1; 16]),
            tenant: TenantId::default_tenant(),
            function: FunctionId::from_bytes([2; 16]),
            limits: RunLimits { fuel: 1, wall_ms: 2, memory_bytes: 3, output_bytes: 4, log_bytes: 5 },
            priority: Priority::High,
            created_at: Millis(6),
            expires_at: Millis(7),
            attempt: 8,
            attempts_max: 9,
            releases: 10,
            fingerprint: None,
            retry_of: Some(TaskId::from_bytes([5; 16])),
            state,
        }
    }

    fn states() -> [TaskState; 5] {
        let (worker, token) = (WorkerId::from_bytes([3; 16]), LeaseToken([4; 16]));
        let lease = Lease { worker, token, started_at: Millis(11), expires_at: Millis(12), renewed: false };
        let receipt = Receipt { fuel: Some(13), wall_us: 14, attempt: 8, worker: Some(worker), ..Receipt::default() };
        let ended = Ended { at: Millis(15), token: Some(token), receipt };
        let failure = Failure { backtrace: vec!["b".to_owned()], ..Failure::new(ErrorCode::Trap, "m") };
        [
            TaskState::Queued { not_before: Millis(16) },
            TaskState::Running(lease),
            TaskState::Completed(ended.clone()),
            TaskState::Failed(failure, ended),
            TaskState::Running(Lease { renewed: true, ..lease }),
        ]
    }

    /// Where this fails, what older versions have written can no longer be read: keep the old layout readable, and give
    /// the new one the next number.
    #[test]
    fn the_layout_is_the_one_on_disk() {
        let [one, two, three, four, five] = ["01", "02", "03", "04", "05"].map(|byte| byte.repeat(16));
        let head = format!("0110{one}0764656661756c7410{two}010203040500060708090a000110{five}");
        let ended = format!("0f01{four}010d0e00000000000000080110{three}");
        let states_on_disk = [
            "0010".to_owned(),
            format!("0110{three}{four}0b0c"),
            format!("02{ended}"),
            format!("030474726170016d010162{ended}"),
            format!("0410{three}{four}0b0c"),
        ];
        for (state, on_disk) in states().into_iter().zip(states_on_disk) {
            assert_eq!(to_hex(&encode_task(&task(state)).unwrap()), format!("{head}{on_disk}"));
        }
    }

    #[test]
    fn a_task_is_read_as_it_was_written() {
        for state in states() {
            let task = task(state);
            assert_eq!(decode_task(&encode_task(&task).unwrap()).unwrap(), task);
        }
    }

    #[test]
    fn what_is_no_record_is_corrupt() {
        let good = encode_task(&task(TaskState::Queued { not_before: Millis(0) })).unwrap();
        let long = [&good[..], &[0]].concat();
        let newer = [&[LAYOUT + 1], &good[1..]].concat();
        for bad in [&[][..], &good[..good.len() - 1], &long, &newer, b"nonsense"] {
            assert!(matches!(decode_task(bad), Err(Error::Corrupt(_))), "{bad:?}");
        }
    }
}
