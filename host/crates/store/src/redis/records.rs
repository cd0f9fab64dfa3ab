//! Encoding of a task in its hash. Fields that the Python platform had keep its names: `function_id`, `param_payload`,
//! `status`, `result`. Independent of the keys.
//!
//! A task's `record` and `state` are authoritative; `status` and `function_id` repeat parts of them for other readers.
//! The record is written once, when the task is accepted; later steps write only the state, which is absent until then;
//! `states` explains it. The receipt is a field of its own: no step reads it. `kinds` has the words that many tasks share.
//!
//! The parts of a record have fixed places, so that a step finds them without a pattern:
//!
//! | letters | meaning |
//! |---|---|
//! | 1 to 32 | time of acceptance and expiry, of 16 digits each |
//! | 33 to 42 | size of the input in bytes |
//! | 43 to 58 | name of the kind |
//!
//! Behind them, each behind a space and with `-` for an absent value: fingerprint, the dead letter that the task replays, and
//! the start, as JSON in base64, and the tags, which commas separate. All of them are absent if there is nothing to say, and the start if it is empty and
//! there are no tags. So the
//! hash of a small task is of the compact form that Redis has for values of up to 64 bytes.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use fusebox_core::{
    error::ErrorCode,
    id::{Attempt, DispatcherId, FunctionId, LeaseToken, ModuleDigest, TaskId, WorkerId},
    lifecycle::Fence,
    name::FunctionName,
    outcome::{Failure, Receipt},
    setup::Start,
    tags::Tags,
    task::{Fingerprint, Lease, Priority, Task},
    time::Millis,
};
use redis::Value;
use serde::{Deserialize, Serialize};

use super::{answers, kinds::Kind, past, states::State, words::Words};
use crate::{Error, NewTask, Result};

/// Fields from which a task is read.
pub(super) const FIELDS: [&str; 5] = ["record", "state", "receipt", "error", "past"];

/// Lengths of a record's parts.
const TIME: usize = 16;
const SIZE: usize = 10;
const KIND: usize = 16;
/// Length of all of them.
pub(super) const FIXED: usize = 2 * TIME + SIZE + KIND;

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

/// Encodes the words specific to one new task, fingerprint and `retry_of`, each behind a space. Empty without any, if
/// nothing follows.
pub(super) fn own(task: &NewTask) -> String {
    if task.fingerprint.is_none() && task.retry_of.is_none() && task.start.is_empty() && task.tags.is_empty() {
        return String::new();
    }
    let fingerprint = task.fingerprint.map(|fingerprint| BASE64.encode(fingerprint.0));
    let retry_of = task.retry_of.map(|task| BASE64.encode(task.as_bytes()));
    format!(" {} {}", or_none(fingerprint), or_none(retry_of))
}

/// Encodes the start and the tags, each behind a space; empty if there is neither.
pub(super) fn start(task: &NewTask) -> String {
    // Every start can be encoded.
    let start = || BASE64.encode(serde_json::to_vec(&task.start).unwrap_or_default());
    match (task.start.is_empty(), task.tags.is_empty()) {
        (true, true) => String::new(),
        (false, true) => format!(" {}", start()),
        (true, false) => format!(" {NONE} {}", tags(task)),
        (false, false) => format!(" {} {}", start(), tags(task)),
    }
}

/// Encodes the tags, with commas between them.
pub(super) fn tags(task: &NewTask) -> String {
    task.tags.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
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

/// Encodes a dispatcher's id.
pub(super) fn dispatcher(dispatcher: &DispatcherId) -> String {
    BASE64.encode(dispatcher.as_bytes())
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

/// Returns the name of a record's kind.
pub(super) fn kind_of(record: &str) -> Option<&str> {
    record.get(FIXED - KIND..FIXED)
}

/// Decodes the task with this id from its fields and its kind.
pub(super) fn task(id: TaskId, fields: Vec<Value>, kind: &Kind) -> Result<TaskRecord> {
    let [record, state, receipt, error, past] = fields.try_into().map_err(|_| answers::unexpected("a record"))?;
    let [state, receipt, error, past] = [state, receipt, error, past].map(answers::optional_text);
    let (state, receipt, error, past) = (state?, receipt?, error?, past?);
    let mut read = read(id, &answers::text(record)?, kind, state.as_deref(), receipt.as_deref(), error.as_deref())?;
    read.task.past = past.map(|past| past::read(id, &past)).transpose()?.unwrap_or_default();
    Ok(read)
}

/// Decodes the task with this id from its record, its kind and its state, and from receipt and failure if it has them.
pub(super) fn read(
    id: TaskId,
    record: &str,
    kind: &Kind,
    state: Option<&str>,
    receipt: Option<&str>,
    error: Option<&str>,
) -> Result<TaskRecord> {
    let state = state.map(|state| State::read(id, state)).transpose()?;
    of_state(id, record, kind, |created_at| state.unwrap_or_else(|| State::new(created_at)), receipt, error)
}

/// Decodes a task that a lease was just given, from its record, its kind, and the state that it had before; `None` if it
/// had none.
pub(super) fn leased(id: TaskId, record: &str, kind: &Kind, state: Option<&str>, lease: &Lease) -> Result<TaskRecord> {
    let state = state.map(|state| State::read(id, state)).transpose()?;
    of_state(id, record, kind, |created_at| state.unwrap_or_else(|| State::new(created_at)).leased(lease), None, None)
}

fn of_state(
    id: TaskId,
    record: &str,
    kind: &Kind,
    state: impl FnOnce(Millis) -> State,
    receipt: Option<&str>,
    error: Option<&str>,
) -> Result<TaskRecord> {
    let (fixed, own) = record.split_at_checked(FIXED).unwrap_or((record, ""));
    let bad = |name: &str| Error::Corrupt(format!("{id}: {name}"));
    let number = |from: usize, letters: usize, name: &str| -> Result<u64> {
        fixed.get(from..from + letters).and_then(|digits| digits.parse().ok()).ok_or_else(|| bad(name))
    };
    let created_at = Millis(number(0, TIME, "acceptance")?);
    let expires_at = Millis(number(TIME, TIME, "expiry")?);
    let input_bytes = number(2 * TIME, SIZE, "input size")?;
    let (mut fingerprint, mut retry_of, mut start, mut tags) = (None, None, Start::default(), Tags::default());
    if let Some(own) = own.strip_prefix(' ') {
        let mut words = Words::new(&id, own);
        fingerprint = words.bytes("fingerprint")?.map(Fingerprint);
        retry_of = words.bytes("retry_of")?.map(TaskId::from_bytes);
        start = words.last("start")?.unwrap_or_default();
        let text = words.added::<String>("tags")?;
        tags = Tags::parse_list(text.as_deref().unwrap_or_default()).map_err(|_| bad("tags"))?;
    }
    let state = state(created_at);
    let State { attempt, releases, .. } = state;
    let task = Task {
        id,
        tenant: kind.tenant.clone(),
        function: kind.function,
        limits: kind.limits,
        priority: kind.priority,
        created_at,
        expires_at,
        attempt,
        attempts_max: kind.attempts_max.saturating_add(releases),
        releases,
        fingerprint,
        retry_of,
        input_bytes,
        start,
        keep: kind.keep,
        tags,
        past: Vec::new(),
        state: state.decode(id, receipt, error)?,
    };
    Ok(TaskRecord { task, module: kind.module, function_name: kind.function_name.clone() })
}

/// Decodes a receipt; if the host ended the task, returns an empty one. Words added by later versions follow it and are
/// ignored.
pub(super) fn read_receipt(id: TaskId, attempt: Attempt, text: Option<&str>) -> Result<Receipt> {
    let Some(text) = text else { return Ok(Receipt { attempt, ..Receipt::default() }) };
    let (mut words, name) = (Words::new(&id, text), "receipt");
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
