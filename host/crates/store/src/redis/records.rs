//! Encoding of a task in its hash. Fields that the Python platform had keep its names: `function_id`, `param_payload`,
//! `status`, `result`. Independent of the keys.
//!
//! A task's `record` and `state` are authoritative; `status` and `function_id` repeat parts of them for other readers.
//! The record is written once, when the task is accepted; later steps write only the state, which is absent until then;
//! `states` explains it. The receipt is a field of its own: no step reads it.
//!
//! The words of a record, with `-` for an absent value. The words before the tenant have a fixed size, so that a step
//! finds them without a pattern.
//!
//! | words | meaning |
//! |---|---|
//! | 1, 2 | time of acceptance and expiry, of 16 digits |
//! | 3 | size of the input in bytes, of 10 digits |
//! | 4, 5 | version and module |
//! | 6, 7 | times for which a completed or cancelled task and a dead letter are kept, in seconds of 7 digits |
//! | 8 to 11 | tenant, name of the function, priority, largest number of attempts without releases |
//! | 12 to 16 | limits: fuel, wall time, memory, output, log |
//! | 17, 18 | fingerprint, and the dead letter that it replays |
//! | 19 | the start, as JSON in base64; absent if it is empty and nothing follows |

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use fusebox_core::{
    error::ErrorCode,
    function::RunLimits,
    id::{Attempt, FunctionId, LeaseToken, ModuleDigest, TaskId, WorkerId},
    keep::Keep,
    lifecycle::Fence,
    limits::KEEP_S_MAX,
    name::FunctionName,
    outcome::{Failure, Receipt},
    setup::Start,
    task::{Fingerprint, Lease, Priority, Task},
    time::Millis,
};
use redis::Value;
use serde::{Deserialize, Serialize};

use super::{answers, states::State, words::Words};
use crate::{NewTask, Result};

/// Fields from which a task is read.
pub(super) const FIELDS: [&str; 4] = ["record", "state", "receipt", "error"];

/// Index of the tenant among a record's words.
const TENANT: usize = 7;

/// Word for an absent value.
pub(super) const NONE: &str = "-";

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

/// Encodes the words specific to one new task, fingerprint and `retry_of`, each behind a space.
pub(super) fn own(task: &NewTask) -> String {
    let fingerprint = task.fingerprint.map(|fingerprint| BASE64.encode(fingerprint.0));
    let retry_of = task.retry_of.map(|task| BASE64.encode(task.as_bytes()));
    format!(" {} {}", or_none(fingerprint), or_none(retry_of))
}

/// Encodes the words that a new task can share with others, from the version to the limits.
pub(super) fn common(task: &NewTask) -> String {
    let NewTask { attempts_max, tenant, function_name, .. } = task;
    let RunLimits { fuel, wall_ms, memory_bytes, output_bytes, log_bytes } = task.limits;
    let (priority, version) = (priority(task.priority), version(task.function));
    let module = BASE64.encode(task.module.0);
    let [results_s, failed_s] = [task.keep.results_s, task.keep.failed_s].map(|kept_s| kept_s.min(KEEP_S_MAX));
    format!(
        "{version} {module} {results_s:07} {failed_s:07} {tenant} {function_name} {priority} {attempts_max} {fuel} {wall_ms} {memory_bytes} \
         {output_bytes} {log_bytes}"
    )
}

/// Encodes the word of a start behind a space; an empty one has no word.
pub(super) fn start(start: &Start) -> String {
    match start.is_empty() {
        true => String::new(),
        // Every start can be encoded.
        false => format!(" {}", BASE64.encode(serde_json::to_vec(start).unwrap_or_default())),
    }
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
    format!("{:010}{}", fence.attempt, token(&fence.token))
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
    let [record, state, receipt, error] = fields.try_into().map_err(|_| answers::unexpected("a record"))?;
    let [state, receipt, error] = [state, receipt, error].map(answers::optional_text);
    let (state, receipt, error) = (state?, receipt?, error?);
    read(id, &answers::text(record)?, state.as_deref(), receipt.as_deref(), error.as_deref())
}

/// Decodes the task with this id from its record, its state, and from receipt and failure if it has them.
pub(super) fn read(
    id: TaskId,
    record: &str,
    state: Option<&str>,
    receipt: Option<&str>,
    error: Option<&str>,
) -> Result<TaskRecord> {
    let state = state.map(|state| State::read(id, state)).transpose()?;
    of_state(id, record, |created_at| state.unwrap_or_else(|| State::new(created_at)), receipt, error)
}

/// Decodes a task that a lease was just given, from its record and the state that it had before; `None` if it had none.
pub(super) fn leased(id: TaskId, record: &str, state: Option<&str>, lease: &Lease) -> Result<TaskRecord> {
    let state = state.map(|state| State::read(id, state)).transpose()?;
    of_state(id, record, |created_at| state.unwrap_or_else(|| State::new(created_at)).leased(lease), None, None)
}

fn of_state(
    id: TaskId,
    record: &str,
    state: impl FnOnce(Millis) -> State,
    receipt: Option<&str>,
    error: Option<&str>,
) -> Result<TaskRecord> {
    let mut words = Words::new(id, record);
    let (created_at, expires_at) = (Millis(words.parsed("acceptance")?), Millis(words.parsed("expiry")?));
    let input_bytes = words.parsed("input size")?;
    let function = FunctionId::from_bytes(words.bytes("version")?.ok_or_else(|| words.bad("version"))?);
    let module = ModuleDigest(words.bytes("module")?.ok_or_else(|| words.bad("module"))?);
    let keep = Keep { results_s: words.parsed("retention")?, failed_s: words.parsed("retention")? };
    let (tenant, function_name) = (words.parsed("tenant")?, words.parsed("function name")?);
    let (priority, attempts_max) = (words.priority()?, words.parsed::<Attempt>("attempts_max")?);
    let limits = words.limits()?;
    let fingerprint = words.bytes("fingerprint")?.map(Fingerprint);
    let retry_of = words.bytes("retry_of")?.map(TaskId::from_bytes);
    let start = words.last("start")?.unwrap_or_default();
    let state = state(created_at);
    let State { attempt, releases, .. } = state;
    let task = Task {
        id,
        tenant,
        function,
        limits,
        priority,
        created_at,
        expires_at,
        attempt,
        attempts_max: attempts_max.saturating_add(releases),
        releases,
        fingerprint,
        retry_of,
        input_bytes,
        start,
        keep,
        state: state.decode(id, receipt, error)?,
    };
    Ok(TaskRecord { task, module, function_name })
}

/// Decodes a receipt; if the host ended the task, returns an empty one. Words added by later versions follow it and are
/// ignored.
pub(super) fn read_receipt(id: TaskId, attempt: Attempt, text: Option<&str>) -> Result<Receipt> {
    let Some(text) = text else { return Ok(Receipt { attempt, ..Receipt::default() }) };
    let (mut words, name) = (Words::new(id, text), "receipt");
    Ok(Receipt {
        fuel: words.optional(name)?,
        wall_us: words.parsed(name)?,
        cpu_us: words.parsed(name)?,
        queue_us: words.parsed(name)?,
        load_us: words.parsed(name)?,
        instantiate_us: words.parsed(name)?,
        memory_bytes: words.parsed(name)?,
        output_bytes: words.parsed(name)?,
        log_bytes: words.parsed(name)?,
        attempt: words.parsed(name)?,
        worker: words.bytes(name)?.map(WorkerId::from_bytes),
    })
}

/// Decodes a failure; `None` if it cannot be read.
pub(super) fn read_failure(text: &str) -> Option<Failure> {
    let FailureRecord { code, message, backtrace } = serde_json::from_str(text).ok()?;
    let code = *ErrorCode::ALL.iter().find(|known| known.as_str() == code)?;
    Some(Failure { code, message, backtrace })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fusebox_core::{
        name::TenantId,
        task::{EndRecord, TaskState},
    };

    use super::*;
    use crate::{Error, Expects};

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
            keep: Keep::DEFAULT,
            queued_max: 9,
            stored_max: 9,
            start: Start::default(),
            input: Bytes::new(),
        }
    }

    /// The record of a new task, as the library writes it at time 6.
    fn written(task: &NewTask) -> String {
        format!("{:016} {:016} {:010} {}{}{}", 6, 100, task.start.bytes(), common(task), own(task), start(&task.start))
    }

    /// A state of two attempts, as the library writes it.
    fn state(letter: &str, token: &str, since: u64, lease: &str, releases: u32) -> String {
        format!("{letter}0000000002{token}{since:016}{releases:02}{lease}")
    }

    fn lease_part() -> String {
        format!("{:016}{SEVENS}", 9)
    }

    const NO_ID: &str = "----------------------";
    const NO_LEASE: &str = "";

    fn read(state: &str, receipt: Option<&str>, error: Option<&str>) -> Result<TaskRecord> {
        let new = new_task();
        super::read(new.id, &written(&new), Some(state), receipt, error)
    }

    #[test]
    fn a_task_is_read_as_it_is_written() {
        let expected = new_task().accepted(Millis(6));
        let record = written(&new_task());
        assert_eq!(
            (&record[..16], &record[17..33], &record[112..136]),
            ("0000000000000006", "0000000000000100", "0086400 0604800 default ")
        );
        let TaskRecord { task, module, function_name } = super::read(expected.id, &record, None, None, None).unwrap();
        // It is due at its acceptance until a step writes a state.
        assert_eq!(task.state, TaskState::Queued { not_before: Millis(6) });
        assert_eq!((Task { state: expected.state.clone(), ..task }, function_name.as_str()), (expected.clone(), "f"));
        assert_eq!(module.0, [0xa6; 32]);
        for letter in ["Q", "D"] {
            let task = read(&state(letter, NO_ID, 7, NO_LEASE, 1), None, None).unwrap().task;
            assert_eq!(task.state, expected.state);
            assert_eq!((task.attempt, task.releases, task.attempts_max), (2, 1, 4));
        }
        let told = NewTask { fingerprint: Some(Fingerprint([0xa6; 32])), retry_of: Some(expected.id), ..new_task() };
        assert!(own(&told).contains(DIGEST));
        let text = written(&told);
        let task = super::read(told.id, &text, None, None, None).unwrap().task;
        assert_eq!(Task { state: expected.state, ..task }, told.accepted(Millis(6)));
        assert_eq!(super::tenant(&text), Some("default"));
        let start = Start { args: vec!["a b".to_owned()], export: None, is_http: false };
        let started = NewTask { start, ..new_task() };
        assert!(written(&started).ends_with(" - - eyJhcmdzIjpbImEgYiJdfQ"), "{}", written(&started));
        let task = super::read(started.id, &written(&started), None, None, None).unwrap().task;
        assert_eq!((task.start, task.input_bytes), (started.start, 4));
        let bad = format!("{} !", written(&new_task()));
        assert!(super::read(started.id, &bad, None, None, None).is_err());
        let lease = Lease {
            worker: WorkerId::from_bytes([7; 16]),
            token: FENCE.token,
            started_at: Millis(8),
            expires_at: Millis(9),
            renewed: false,
        };
        let running = read(&state("R", SEVENS, 8, &lease_part(), 0), None, None).unwrap().task;
        assert_eq!((running.attempt, running.state), (2, TaskState::Running(lease)));
        let before = state("Q", NO_ID, 7, NO_LEASE, 1);
        let started = leased(new_task().id, &written(&new_task()), Some(&before), &lease).unwrap().task;
        assert_eq!((started.attempt, started.attempts_max, started.state), (3, 4, TaskState::Running(lease)));
        let started = leased(new_task().id, &written(&new_task()), None, &lease).unwrap().task;
        assert_eq!((started.attempt, started.state), (1, TaskState::Running(lease)));
        let renewed = read(&state("B", SEVENS, 8, &lease_part(), 0), None, None).unwrap().task;
        assert_eq!(renewed.state, TaskState::Running(Lease { renewed: true, ..lease }));
        assert_eq!((worker(&lease.worker), fence(&FENCE)), (SEVENS.to_owned(), format!("0000000002{SEVENS}")));
        assert_eq!(read_worker(SEVENS), Some(lease.worker));
    }

    #[test]
    fn an_end_is_read_as_it_is_written() {
        let numbers = Receipt { fuel: Some(1), wall_us: 2, cpu_us: 3, queue_us: 4, load_us: 5, ..Receipt::default() };
        let numbers = Receipt { instantiate_us: 6, memory_bytes: 7, output_bytes: 8, log_bytes: 9, ..numbers };
        let whole = Receipt { attempt: 10, worker: Some(WorkerId::from_bytes([7; 16])), ..numbers };
        let ended_as = |letter: &str| state(letter, SEVENS, 8, NO_LEASE, 0);
        for receipt in [whole, Receipt::default()] {
            let ended = EndRecord { at: Millis(8), token: Some(FENCE.token), receipt };
            let text = super::receipt(&ended.receipt);
            let completed = read(&ended_as("C"), Some(&text), None).unwrap().task.state;
            assert_eq!(completed, TaskState::Completed(ended.clone()));
            let failure = Failure::new(ErrorCode::Trap, "it trapped");
            let (later, error) = (format!("{text} later"), super::failure(&failure));
            let failed = read(&ended_as("F"), Some(&later), Some(&error)).unwrap();
            assert_eq!(failed.task.state, TaskState::Failed(failure, ended));
        }
        let by_host = read(&state("C", NO_ID, 8, NO_LEASE, 0), None, None).unwrap().task.state;
        let receipt = Receipt { attempt: 2, ..Receipt::default() };
        assert_eq!(by_host, TaskState::Completed(EndRecord { at: Millis(8), token: None, receipt }));
    }

    #[test]
    fn what_is_no_record_is_corrupt_and_names_the_word() {
        let bad = |state: &str, receipt: Option<&str>| match read(state, receipt, None) {
            Err(Error::Corrupt(reason)) => reason.strip_prefix(&format!("{ID}: ")).map(str::to_owned),
            other => panic!("{state}: {:?}", other.map(|record| record.task)),
        };
        let (whole, running) = (state("C", SEVENS, 8, NO_LEASE, 0), state("R", SEVENS, 8, &lease_part(), 0));
        let known = [
            (state("S", NO_ID, 7, NO_LEASE, 0), None, "state"),
            (whole.replacen("C0", "C-", 1), None, "attempt"),
            (whole.replacen(SEVENS, &NO_ID.replacen('-', "x", 1), 1), None, "token"),
            (running.replace(&lease_part(), &format!("{:016}{}", 9, SEVENS.replace('B', "-!"))), None, "worker"),
            (state("R", SEVENS, 7, NO_LEASE, 0), None, "lease"),
            (state("F", NO_ID, 7, NO_LEASE, 0), None, "error"),
            (whole[..49].to_owned(), None, "releases"),
            (running[..80].to_owned(), None, "worker"),
            (whole.clone(), Some("1 2 x"), "receipt"),
        ];
        for (text, receipt, name) in known {
            assert_eq!(bad(&text, receipt).as_deref(), Some(name), "{text}");
        }
        let short = super::read(ID.parse().unwrap(), "6 7 8", None, None, None);
        assert!(matches!(short, Err(Error::Corrupt(reason)) if reason.ends_with("version")));
        assert!(task(ID.parse().unwrap(), Vec::new()).is_err());
    }
}
