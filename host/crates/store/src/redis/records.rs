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
//! | 20 | the limit of CPU time; absent if it is the largest |

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use fusebox_core::{
    error::ErrorCode,
    function::RunLimits,
    id::{Attempt, FunctionId, LeaseToken, ModuleDigest, TaskId, WorkerId},
    keep::Keep,
    lifecycle::Fence,
    limits::{CPU_MS_MAX, KEEP_S_MAX},
    name::FunctionName,
    outcome::{Failure, Receipt},
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
    let RunLimits { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, .. } = task.limits;
    let (priority, version) = (priority(task.priority), version(task.function));
    let module = BASE64.encode(task.module.0);
    let [results_s, failed_s] = [task.keep.results_s, task.keep.failed_s].map(|kept_s| kept_s.min(KEEP_S_MAX));
    format!(
        "{version} {module} {results_s:07} {failed_s:07} {tenant} {function_name} {priority} {attempts_max} {fuel} {wall_ms} {memory_bytes} \
         {output_bytes} {log_bytes}"
    )
}

/// Encodes the words of start and CPU time, each behind a space, up to the last that is needed.
pub(super) fn later(task: &NewTask) -> String {
    let start = match task.start.is_empty() {
        true => NONE.to_owned(),
        // Every start can be encoded.
        false => BASE64.encode(serde_json::to_vec(&task.start).unwrap_or_default()),
    };
    match task.limits.cpu_ms {
        CPU_MS_MAX if task.start.is_empty() => String::new(),
        CPU_MS_MAX => format!(" {start}"),
        cpu_ms => format!(" {start} {cpu_ms}"),
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
    let limits = RunLimits { cpu_ms: words.added("CPU time")?.unwrap_or(CPU_MS_MAX), ..limits };
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
mod tests;
