//! Encoding of records: a byte for the layout, then postcard. Where a domain type is encoded by position, the layout is
//! declared here instead, so that a new error code or field cannot change the meaning of data on disk. Independent of
//! the keys.

use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    function::{FunctionVersion, RunLimits},
    id::{Attempt, FunctionId, TaskId},
    name::TenantId,
    outcome::Failure,
    task::{EndRecord, Fingerprint, Lease, Priority, Task, TaskState},
    time::Millis,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Backlog, Error, Result};

mod functions;

pub(super) use self::functions::{decode_function, encode_function};

/// Layout of every record except functions, which have their own. A change of any layout increments the number, and
/// `decode` must still read the old one.
const LAYOUT: u8 = 1;

/// Counters of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counters {
    /// Number of ready tasks, by the order of their priority.
    pub(super) ready: [u64; 3],
    /// Number of delayed tasks.
    pub(super) delayed: u64,
    /// Number of leased attempts.
    pub(super) running: u64,
    /// Number of function versions.
    pub(super) versions: u64,
    /// Bytes stored.
    pub(super) stored_bytes: u64,
}

impl Counters {
    /// Returns the number of queued tasks.
    pub(super) fn waiting(&self) -> u64 {
        self.ready.iter().sum::<u64>() + self.delayed
    }

    /// Returns the tenant's backlog, or `None` if it has no unfinished tasks.
    pub(super) fn backlog(&self, tenant: TenantId) -> Option<Backlog> {
        let ready = self.ready.iter().sum();
        let any = ready + self.delayed + self.running > 0;
        any.then_some(Backlog { tenant, ready, delayed: self.delayed, running: self.running })
    }
}

/// Function version. A deleted one is kept until its last task has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FunctionRecord {
    /// The version.
    pub(super) version: FunctionVersion,
    /// True if the version is deleted and must look absent.
    pub(super) deleted: bool,
}

/// Counters of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NamespaceRecord {
    /// Last revision used.
    pub(super) revision: u64,
    /// Number of values, including expired ones.
    pub(super) entries: u64,
    /// Size of the keys and values, in bytes.
    pub(super) bytes: u64,
}

/// Value of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ValueRecord {
    /// Revision of the value.
    pub(super) revision: u64,
    /// Time of expiry, if any.
    pub(super) expires_at: Option<Millis>,
    /// Bytes of the value.
    pub(super) value: Bytes,
}

/// Encodes a record.
///
/// # Errors
/// [`Error::Corrupt`] if postcard refuses the value, as it refuses none of this store's types.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    postcard::to_extend(value, vec![LAYOUT]).map_err(|error| Error::Corrupt(format!("a record to be written: {error}")))
}

/// Decodes a record.
///
/// # Errors
/// [`Error::Corrupt`] if the bytes are invalid or of a layout unknown to this version.
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

/// Encodes a record that may get more fields as JSON. Such records are few and small.
///
/// # Errors
/// [`Error::Corrupt`] if the value cannot be encoded, as every value of this store's types can.
pub(super) fn encode_open<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Corrupt(format!("a record to be written: {error}")))
}

/// Decodes a record of [`encode_open`], possibly written by another version.
///
/// # Errors
/// [`Error::Corrupt`] if the bytes are invalid.
pub(super) fn decode_open<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::Corrupt(format!("{what}: {error}")))
}

/// Encodes a task.
///
/// # Errors
/// See [`encode`].
pub(super) fn encode_task(task: &Task) -> Result<Vec<u8>> {
    encode(&TaskRecord::from(task))
}

/// Decodes a task.
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
    input_bytes: u64,
    state: StateRecord,
}

#[derive(Serialize, Deserialize)]
enum StateRecord {
    Queued(Millis),
    Running(Lease),
    Completed(EndRecord),
    Failed(FailureRecord, EndRecord),
    /// Running, with a lease that was renewed.
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
            input_bytes: task.input_bytes,
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
            input_bytes: self.input_bytes,
            state,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_core::{
        id::{LeaseToken, WorkerId},
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
            input_bytes: 6,
            state,
        }
    }

    fn states() -> [TaskState; 5] {
        let (worker, token) = (WorkerId::from_bytes([3; 16]), LeaseToken([4; 16]));
        let lease = Lease { worker, token, started_at: Millis(11), expires_at: Millis(12), renewed: false };
        let receipt = Receipt { fuel: Some(13), wall_us: 14, attempt: 8, worker: Some(worker), ..Receipt::default() };
        let ended = EndRecord { at: Millis(15), token: Some(token), receipt };
        let failure = Failure { backtrace: vec!["b".to_owned()], ..Failure::new(ErrorCode::Trap, "m") };
        [
            TaskState::Queued { not_before: Millis(16) },
            TaskState::Running(lease),
            TaskState::Completed(ended.clone()),
            TaskState::Failed(failure, ended),
            TaskState::Running(Lease { renewed: true, ..lease }),
        ]
    }

    /// If this fails, data written by older versions can no longer be read: keep the old layout readable, and give the
    /// new one the next number.
    #[test]
    fn the_layout_is_the_one_on_disk() {
        let [one, two, three, four, five] = ["01", "02", "03", "04", "05"].map(|byte| byte.repeat(16));
        let head = format!("0110{one}0764656661756c7410{two}010203040500060708090a000110{five}06");
        let ended = format!("0f01{four}010d0e00000000000000080110{three}");
        let states_on_disk = [
            "0010".to_owned(),
            format!("0110{three}{four}0b0c"),
            format!("02{ended}"),
            format!("030474726170016d010162{ended}"),
            format!("0410{three}{four}0b0c"),
        ];
        for (state, on_disk) in states().into_iter().zip(states_on_disk) {
            assert_eq!(hex::encode(encode_task(&task(state)).unwrap()), format!("{head}{on_disk}"));
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
