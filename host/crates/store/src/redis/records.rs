//! Encoding of a task in its hash. Fields that the Python platform had keep its names: `function_id`, `param_payload`,
//! `status`, `result`. Independent of the keys.
//!
//! A task's `record` is authoritative. It is one text, since each additional field costs Redis time in every step;
//! `status` and `function_id` repeat parts of it for other readers. Its words, with `-` for an absent value:
//!
//! | words | meaning |
//! |---|---|
//! | 1 | state: `Q` queued, `D` delayed, `R` running, `B` running with a renewed lease, `C` completed, `F` failed |
//! | 2, 3 | number of attempts so far, and the token of the last |
//! | 4 | time at which it is due; while it runs, the time of the lease; then the time of its end |
//! | 5, 6 | end of its lease, and the worker that holds it |
//! | 7 to 10 | time of acceptance, expiry, fingerprint, and the dead letter that it replays |
//! | 11 to 15 | priority, largest number of attempts, releases, tenant, name of the function |
//! | 16 to 22 | version, module, limits: fuel, wall time, memory, output, log |
//! | 23 to 33 | fields of the receipt in their order, if an attempt has reported the end |

use std::str::{FromStr, Split};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use fusebox_core::{
    error::ErrorCode,
    function::RunLimits,
    id::{FunctionId, LeaseToken, ModuleDigest, TaskId, WorkerId},
    lifecycle::Fence,
    name::FunctionName,
    outcome::{Failure, Receipt},
    task::{EndRecord, Fingerprint, Lease, Priority, Task, TaskState},
    time::Millis,
};
use redis::Value;
use serde::{Deserialize, Serialize};

use super::answers;
use crate::{Error, NewTask, Result};

/// Fields from which a task is read.
pub(super) const FIELDS: [&str; 2] = ["record", "error"];

/// Index of the tenant among a record's words.
const TENANT: usize = 13;

/// Word for an absent value.
const NONE: &str = "-";

/// Task, with the other data of its record.
pub(super) struct TaskRecord {
    /// The task.
    pub(super) task: Task,
    /// Module that it was accepted for.
    pub(super) module: ModuleDigest,
    /// Name of the function at the time of acceptance.
    pub(super) function_name: FunctionName,
}

/// Encoding of a failure.
#[derive(Serialize, Deserialize)]
struct FailureRecord {
    code: String,
    message: String,
    #[serde(default)]
    backtrace: Vec<String>,
}

/// Returns the word for a priority.
pub(super) const fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::High => "high",
        Priority::Normal => "normal",
        Priority::Low => "low",
    }
}

/// Encodes a failure.
pub(super) fn failure(failure: &Failure) -> String {
    let Failure { code, message, backtrace } = failure.clone();
    // Every value of these types can be encoded.
    serde_json::to_string(&FailureRecord { code: code.as_str().to_owned(), message, backtrace }).unwrap_or_default()
}

/// Encodes the words specific to one new task, from its expiry to `retry_of`. The expiry is a duration, which Redis
/// adds to its own clock.
pub(super) fn own(task: &NewTask) -> String {
    let fingerprint = task.fingerprint.map(|fingerprint| BASE64.encode(fingerprint.0));
    let retry_of = task.retry_of.map(|task| BASE64.encode(task.as_bytes()));
    format!("{} {} {}", task.expires_in_ms, or_none(fingerprint), or_none(retry_of))
}

/// Encodes the words that a new task can share with others, from the priority on.
pub(super) fn common(task: &NewTask) -> String {
    let NewTask { attempts_max, tenant, function_name, .. } = task;
    let RunLimits { fuel, wall_ms, memory_bytes, output_bytes, log_bytes } = task.limits;
    let (priority, version) = (priority(task.priority), version(task.function));
    let module = BASE64.encode(task.module.0);
    format!(
        "{priority} {attempts_max} 0 {tenant} {function_name} {version} {module} {fuel} {wall_ms} {memory_bytes} \
         {output_bytes} {log_bytes}"
    )
}

/// Encodes a version's id.
pub(super) fn version(version: FunctionId) -> String {
    BASE64.encode(version.as_bytes())
}

/// Encodes a receipt.
pub(super) fn receipt(receipt: &Receipt) -> String {
    let Receipt { wall_us, cpu_us, queue_us, load_us, instantiate_us, memory_bytes, .. } = receipt;
    let Receipt { output_bytes, log_bytes, attempt, .. } = receipt;
    let (fuel, worker) = (or_none(receipt.fuel), or_none(receipt.worker.as_ref().map(worker)));
    format!(
        "{fuel} {wall_us} {cpu_us} {queue_us} {load_us} {instantiate_us} {memory_bytes} {output_bytes} {log_bytes} \
         {attempt} {worker}"
    )
}

/// Encodes a fence, the proof of the right to report.
pub(super) fn fence(fence: &Fence) -> String {
    format!("{} {}", fence.attempt, token(&fence.token))
}

/// Encodes a worker's id.
pub(super) fn worker(worker: &WorkerId) -> String {
    BASE64.encode(worker.as_bytes())
}

/// Decodes a worker's id.
pub(super) fn read_worker(word: &str) -> Option<WorkerId> {
    Some(WorkerId::from_bytes(BASE64.decode(word).ok()?.try_into().ok()?))
}

/// Encodes a token.
pub(super) fn token(token: &LeaseToken) -> String {
    BASE64.encode(token.0)
}

fn or_none(word: Option<impl ToString>) -> String {
    word.map_or_else(|| NONE.to_owned(), |word| word.to_string())
}

/// Returns the tenant in a record.
pub(super) fn tenant(record: &str) -> Option<&str> {
    record.split(' ').nth(TENANT)
}

/// Decodes the task with this id from its fields.
pub(super) fn task(id: TaskId, fields: Vec<Value>) -> Result<TaskRecord> {
    let [record, error] = fields.try_into().map_err(|_| answers::unexpected("a record"))?;
    let error = answers::optional_text(error)?;
    read(id, &answers::text(record)?, error.as_deref())
}

/// Decodes the task with this id from its record, and from its failure if it has failed.
pub(super) fn read(id: TaskId, record: &str, error: Option<&str>) -> Result<TaskRecord> {
    let mut words = Words { id, words: record.split(' ') };
    let letter = words.some("state")?;
    let attempt = words.parsed("attempt")?;
    let token = words.bytes("token")?.map(LeaseToken);
    let since = Millis(words.parsed("since")?);
    let expires_at = words.optional("lease end")?.map(Millis);
    let worker = words.bytes("worker")?.map(WorkerId::from_bytes);
    let mut task = Task {
        id,
        created_at: Millis(words.parsed("acceptance")?),
        expires_at: Millis(words.parsed("expiry")?),
        fingerprint: words.bytes("fingerprint")?.map(Fingerprint),
        retry_of: words.bytes("retry_of")?.map(TaskId::from_bytes),
        priority: words.priority()?,
        attempt,
        attempts_max: words.parsed("attempts_max")?,
        releases: words.parsed("releases")?,
        tenant: words.parsed("tenant")?,
        // Set below: it follows the name.
        function: FunctionId::from_bytes([0; 16]),
        limits: RunLimits::default(),
        state: TaskState::Queued { not_before: since },
    };
    let function_name = words.parsed("function name")?;
    task.function = FunctionId::from_bytes(words.bytes("version")?.ok_or_else(|| words.bad("version"))?);
    let module = ModuleDigest(words.bytes("module")?.ok_or_else(|| words.bad("module"))?);
    task.limits = words.limits()?;
    let bad = |name: &str| Error::Corrupt(format!("{id}: {name}"));
    let mut ended = || Ok::<_, Error>(EndRecord { at: since, token, receipt: words.receipt(attempt)? });
    task.state = match letter {
        "Q" | "D" => TaskState::Queued { not_before: since },
        "R" | "B" => match (worker, token, expires_at) {
            (Some(worker), Some(token), Some(expires_at)) => {
                TaskState::Running(Lease { worker, token, started_at: since, expires_at, renewed: letter == "B" })
            }
            _ => return Err(bad("lease")),
        },
        "C" => TaskState::Completed(ended()?),
        "F" => TaskState::Failed(error.and_then(read_failure).ok_or_else(|| bad("error"))?, ended()?),
        _ => return Err(bad("state")),
    };
    Ok(TaskRecord { task, module, function_name })
}

fn read_failure(text: &str) -> Option<Failure> {
    let FailureRecord { code, message, backtrace } = serde_json::from_str(text).ok()?;
    let code = *ErrorCode::ALL.iter().find(|known| known.as_str() == code)?;
    Some(Failure { code, message, backtrace })
}

/// Words of one record, each read once.
struct Words<'a> {
    id: TaskId,
    words: Split<'a, char>,
}

impl<'a> Words<'a> {
    fn bad(&self, name: &str) -> Error {
        Error::Corrupt(format!("{}: {name}", self.id))
    }

    fn some(&mut self, name: &str) -> Result<&'a str> {
        self.words.next().ok_or_else(|| self.bad(name))
    }

    fn parsed<T: FromStr>(&mut self, name: &str) -> Result<T> {
        self.some(name)?.parse().map_err(|_| self.bad(name))
    }

    fn optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        match self.some(name)? {
            NONE => Ok(None),
            word => word.parse().map(Some).map_err(|_| self.bad(name)),
        }
    }

    fn bytes<const N: usize>(&mut self, name: &str) -> Result<Option<[u8; N]>> {
        match self.some(name)? {
            NONE => Ok(None),
            word => {
                let bytes = BASE64.decode(word).ok().and_then(|bytes| bytes.try_into().ok());
                bytes.map(Some).ok_or_else(|| self.bad(name))
            }
        }
    }

    fn priority(&mut self) -> Result<Priority> {
        let word = self.some("priority")?;
        let known = Priority::HIGHEST_FIRST.into_iter().find(|known| priority(*known) == word);
        known.ok_or_else(|| self.bad("priority"))
    }

    fn limits(&mut self) -> Result<RunLimits> {
        Ok(RunLimits {
            fuel: self.parsed("limits")?,
            wall_ms: self.parsed("limits")?,
            memory_bytes: self.parsed("limits")?,
            output_bytes: self.parsed("limits")?,
            log_bytes: self.parsed("limits")?,
        })
    }

    /// Decodes the receipt; if the host ended the task, returns an empty one. Words added by later versions follow it
    /// and are ignored.
    fn receipt(&mut self, attempt: fusebox_core::id::Attempt) -> Result<Receipt> {
        let name = "receipt";
        let fuel = match self.words.next() {
            None => return Ok(Receipt { attempt, ..Receipt::default() }),
            Some(NONE) => None,
            Some(word) => Some(word.parse().map_err(|_| self.bad(name))?),
        };
        Ok(Receipt {
            fuel,
            wall_us: self.parsed(name)?,
            cpu_us: self.parsed(name)?,
            queue_us: self.parsed(name)?,
            load_us: self.parsed(name)?,
            instantiate_us: self.parsed(name)?,
            memory_bytes: self.parsed(name)?,
            output_bytes: self.parsed(name)?,
            log_bytes: self.parsed(name)?,
            attempt: self.parsed(name)?,
            worker: self.bytes(name)?.map(WorkerId::from_bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fusebox_core::name::TenantId;

    use super::*;
    use crate::Expects;

    const ID: &str = "0190d5a0-7b1a-7c3e-8f00-0123456789ab";
    const SEVENS: &str = "BwcHBwcHBwcHBwcHBwcHBw";
    const DIGEST: &str = "pqampqampqampqampqampqampqampqampqampqampqY";
    const FENCE: Fence = Fence { attempt: 2, token: LeaseToken([7; 16]) };

    fn new_task() -> NewTask {
        NewTask {
            id: ID.parse().unwrap(),
            tenant: TenantId::default_tenant(),
            function: FunctionId::from_bytes([7; 16]),
            expects: Expects::Nothing,
            function_name: "f".parse().unwrap(),
            module: ModuleDigest([0xa6; 32]),
            limits: RunLimits { fuel: 1, wall_ms: 2, memory_bytes: 3, output_bytes: 4, log_bytes: 5 },
            priority: Priority::High,
            attempts_max: 3,
            delay_ms: 1,
            expires_in_ms: 94,
            fingerprint: None,
            retry_of: None,
            queued_max: 9,
            input: Bytes::new(),
        }
    }

    /// The words specific to one new task, as the library writes them at time 6.
    fn written(task: &NewTask) -> String {
        let own = own(task);
        format!("100 {}", own.strip_prefix("94 ").unwrap())
    }

    fn read(head: &str, tail: &str, error: Option<&str>) -> Result<TaskRecord> {
        let new = new_task();
        let text = format!("{head} 0000000000000006 {} {}{tail}", written(&new), common(&new));
        super::read(new.id, &text, error)
    }

    #[test]
    fn a_task_is_read_as_it_is_written() {
        let expected = new_task().accepted(Millis(6));
        for letter in ["Q", "D"] {
            let record = read(&format!("{letter} 0 - 7 - -"), "", None).unwrap();
            assert_eq!((record.task, record.function_name.as_str()), (expected.clone(), "f"));
            assert_eq!(record.module.0, [0xa6; 32]);
        }
        let told = NewTask { fingerprint: Some(Fingerprint([0xa6; 32])), retry_of: Some(expected.id), ..new_task() };
        assert!(own(&told).contains(DIGEST));
        let text = format!("Q 0 - 7 - - 6 {} {}", written(&told), common(&told));
        assert_eq!(super::read(told.id, &text, None).unwrap().task, told.accepted(Millis(6)));
        assert_eq!(super::tenant(&text), Some("default"));
        let lease = Lease {
            worker: WorkerId::from_bytes([7; 16]),
            token: FENCE.token,
            started_at: Millis(8),
            expires_at: Millis(9),
            renewed: false,
        };
        let running = read(&format!("R {} 8 9 {}", fence(&FENCE), worker(&lease.worker)), "", None).unwrap().task;
        assert_eq!((running.attempt, running.state), (2, TaskState::Running(lease)));
        let renewed = read(&format!("B {} 8 9 {}", fence(&FENCE), worker(&lease.worker)), "", None).unwrap().task;
        assert_eq!(renewed.state, TaskState::Running(Lease { renewed: true, ..lease }));
        assert_eq!(worker(&lease.worker), SEVENS);
        assert_eq!(read_worker(SEVENS), Some(lease.worker));
    }

    #[test]
    fn an_end_is_read_as_it_is_written() {
        let numbers = Receipt { fuel: Some(1), wall_us: 2, cpu_us: 3, queue_us: 4, load_us: 5, ..Receipt::default() };
        let numbers = Receipt { instantiate_us: 6, memory_bytes: 7, output_bytes: 8, log_bytes: 9, ..numbers };
        let whole = Receipt { attempt: 10, worker: Some(WorkerId::from_bytes([7; 16])), ..numbers };
        let head = |letter: &str| format!("{letter} {} 8 9 {SEVENS}", fence(&FENCE));
        for receipt in [whole, Receipt::default()] {
            let ended = EndRecord { at: Millis(8), token: Some(FENCE.token), receipt };
            let tail = format!(" {}", super::receipt(&ended.receipt));
            let completed = read(&head("C"), &tail, None).unwrap().task.state;
            assert_eq!(completed, TaskState::Completed(ended.clone()));
            let failure = Failure::new(ErrorCode::Trap, "it trapped");
            let failed = read(&head("F"), &format!("{tail} later"), Some(&super::failure(&failure))).unwrap();
            assert_eq!(failed.task.state, TaskState::Failed(failure, ended));
        }
        let by_host = read("C 2 - 8 - -", "", None).unwrap().task.state;
        let receipt = Receipt { attempt: 2, ..Receipt::default() };
        assert_eq!(by_host, TaskState::Completed(EndRecord { at: Millis(8), token: None, receipt }));
    }

    #[test]
    fn what_is_no_record_is_corrupt_and_names_the_word() {
        let bad = |head: &str, tail: &str| match read(head, tail, None) {
            Err(Error::Corrupt(reason)) => reason.strip_prefix(&format!("{ID}: ")).map(str::to_owned),
            other => panic!("{head}: {:?}", other.map(|record| record.task)),
        };
        let known = [
            ("S 0 - 7 - -", "", "state"),
            ("Q -1 - 7 - -", "", "attempt"),
            ("Q 0 x 7 - -", "", "token"),
            ("Q 0 - 7 - BwcH", "", "worker"),
            ("R 1 - 7 9 -", "", "lease"),
            ("F 1 - 7 - -", "", "error"),
            ("C 1 - 7 - -", " 1 2 x", "receipt"),
        ];
        for (head, tail, name) in known {
            assert_eq!(bad(head, tail).as_deref(), Some(name), "{head}");
        }
        let short = super::read(ID.parse().unwrap(), "Q 0 - 7 - - 6 7 - - high 3 0 acme f", None);
        assert!(matches!(short, Err(Error::Corrupt(reason)) if reason.ends_with("version")));
        assert!(task(ID.parse().unwrap(), Vec::new()).is_err());
    }
}
