//! Record of a task, with the bytes that it carries if they are small. Columns of fixed width come first, so that steps
//! change a record in place and filters look at a few bytes. The id, tenant and time of acceptance are in the key.
//!
//! | at | bytes | column |
//! |---|---|---|
//! | 0 | 1 | layout |
//! | 1 | 1 | state |
//! | 2 | 1 | order of the priority |
//! | 3 | 1 | which optional columns are there |
//! | 4 | 16 | function |
//! | 20 | 8 each | expiry; limits of fuel, memory, output, log; size of the input as it was accepted |
//! | 68 | 4 each | limit of wall time, attempt, largest number of attempts, releases; retentions in seconds |
//! | 92 | 48 | columns of the state |
//! | 140 | 4 each | sizes of input, output, log; of the end's details |
//! | 156 | | fingerprint, `retry_of`, the end's details, input, output, log |
//! | | | the size of the start in 4 bytes, and the start as JSON; absent if it is empty and nothing follows |
//! | | | the limit of CPU time in 4 bytes; absent if it is the largest and nothing follows |
//! | | | the size of what few tasks have in 4 bytes, and that as JSON; absent if there is none and nothing follows |
//! | | | whatever a later version adds |

use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    function::RunLimits,
    id::{FunctionId, LeaseToken, TaskId, WorkerId},
    keep::Keep,
    limits::CPU_MS_MAX,
    name::TenantId,
    outcome::{Failure, Receipt},
    tags::Tags,
    task::{EndRecord, Fingerprint, Lease, Priority, Status, Task, TaskState},
    time::Millis,
};
use serde::{Deserialize, Serialize};

use self::columns::Columns;
use super::more::More;
use crate::{Error, Result, embedded::keys::order};

mod columns;

/// Layout of the record; `decode` must still read older ones.
const LAYOUT: u8 = 2;

const STATE_AT: usize = 1;
const FUNCTION_AT: usize = 4;
const STATE_BYTES: usize = 48;
const FIXED_BYTES: usize = 156;

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const RENEWED: u8 = 2;
const COMPLETED: u8 = 3;
const FAILED: u8 = 4;

const HAS_FINGERPRINT: u8 = 1;
const HAS_RETRY_OF: u8 = 2;
const HAS_TOKEN: u8 = 4;

/// Largest input, output or log that is kept in its task's record, in bytes. An end writes the record again;
/// larger ones have a key of their own, and the record only their size.
pub(in crate::embedded) const INLINE_BYTES_MAX: usize = 1 << 10;
/// Mark in a size of bytes that have a key of their own. Sizes are far below.
const OUTSIDE: u32 = 1 << 31;

/// Input, output or log of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::embedded) enum Piece {
    /// Bytes in the record.
    Inline(Bytes),
    /// Number of bytes under a key of their own.
    Outside(u32),
}

/// Contents of a record besides the task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::embedded) struct Carried {
    /// Input, until the task ends; of a dead letter as long as its record.
    pub(in crate::embedded) input: Piece,
    /// Output.
    pub(in crate::embedded) output: Piece,
    /// Log.
    pub(in crate::embedded) log: Piece,
    /// Columns of a later version, which are kept as they are.
    later: Bytes,
}

/// Columns that are in the key.
#[derive(Clone, Debug)]
pub(in crate::embedded) struct Named {
    /// Id of the task.
    pub(in crate::embedded) id: TaskId,
    /// Tenant of the task.
    pub(in crate::embedded) tenant: TenantId,
    /// Time of acceptance.
    pub(in crate::embedded) created_at: Millis,
}

/// Details of an end.
#[derive(Serialize, Deserialize)]
struct Details {
    receipt: Receipt,
    failure: Option<FailureRecord>,
}

/// Encoding of a failure.
#[derive(Serialize, Deserialize)]
pub(super) struct FailureRecord {
    code: String,
    message: String,
    backtrace: Vec<String>,
}

impl Default for Piece {
    fn default() -> Self {
        Self::Inline(Bytes::new())
    }
}

impl Piece {
    fn size(&self) -> u32 {
        match self {
            // Bounded by INLINE_BYTES_MAX.
            Self::Inline(bytes) => u32::try_from(bytes.len()).unwrap_or(0),
            Self::Outside(size) => size | OUTSIDE,
        }
    }

    fn inline(&self) -> &[u8] {
        match self {
            Self::Inline(bytes) => bytes,
            Self::Outside(_) => &[],
        }
    }
}

/// Returns false if the record is not of a task of this version, or if it has ended with another status. Looks at a few
/// bytes, since most records of a search are of other tasks.
pub(in crate::embedded) fn may_be(record: &[u8], version: Option<FunctionId>, ended: Option<Status>) -> bool {
    let ended = match ended {
        Some(Status::Completed) => Some(COMPLETED),
        Some(Status::Failed) => Some(FAILED),
        Some(Status::Queued | Status::Running) | None => None,
    };
    ended.is_none_or(|ended| record.get(STATE_AT) == Some(&ended))
        && version.is_none_or(|version| record.get(FUNCTION_AT..FUNCTION_AT + 16) == Some(version.as_bytes()))
}

/// Returns true if the record is of a queued task.
pub(in crate::embedded) fn is_queued(record: &[u8]) -> bool {
    record.get(STATE_AT) == Some(&QUEUED)
}

/// Encodes a task with what it carries.
///
/// # Errors
/// [`Error::Corrupt`] if postcard refuses the end's details, as it refuses none.
pub(in crate::embedded) fn encode_task(task: &Task, carried: &Carried) -> Result<Vec<u8>> {
    let Carried { input, output, log, later } = carried;
    let (state, columns, end) = encode_state(&task.state)?;
    let mut bytes = Vec::with_capacity(FIXED_BYTES + 48 + end.len() + input.inline().len() + output.inline().len());
    let token = task.ended().is_some_and(|ended| ended.token.is_some());
    let there =
        [(task.fingerprint.is_some(), HAS_FINGERPRINT), (task.retry_of.is_some(), HAS_RETRY_OF), (token, HAS_TOKEN)];
    let there = there.iter().filter(|(there, _)| *there).map(|(_, bit)| bit).sum();
    bytes.extend([LAYOUT, state, order(task.priority), there]);
    bytes.extend(task.function.as_bytes());
    let RunLimits { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, cpu_ms } = task.limits;
    for number in [task.expires_at.0, fuel, memory_bytes, output_bytes, log_bytes, task.input_bytes] {
        bytes.extend(number.to_be_bytes());
    }
    let [results_s, failed_s] =
        [task.keep.results_s, task.keep.failed_s].map(|kept_s| u32::try_from(kept_s).unwrap_or(u32::MAX));
    for number in [wall_ms, task.attempt, task.attempts_max, task.releases, results_s, failed_s] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(columns);
    for size in [input.size(), output.size(), log.size(), u32::try_from(end.len()).unwrap_or(0)] {
        bytes.extend(size.to_be_bytes());
    }
    bytes.extend(task.fingerprint.iter().flat_map(|fingerprint| fingerprint.0));
    bytes.extend(task.retry_of.iter().flat_map(|id| *id.as_bytes()));
    for part in [&end, input.inline(), output.inline(), log.inline()] {
        bytes.extend_from_slice(part);
    }
    let more = More::of(task).encode()?;
    let has_more = !more.is_empty() || !later.is_empty();
    let has_cpu = cpu_ms != CPU_MS_MAX || has_more;
    if !task.start.is_empty() || has_cpu {
        let start = if task.start.is_empty() { Vec::new() } else { super::encode_open(&task.start)? };
        bytes.extend(u32::try_from(start.len()).unwrap_or(0).to_be_bytes());
        bytes.extend(start);
    }
    if has_cpu {
        bytes.extend(cpu_ms.to_be_bytes());
    }
    if has_more {
        bytes.extend(u32::try_from(more.len()).unwrap_or(0).to_be_bytes());
        bytes.extend(more);
        bytes.extend_from_slice(later);
    }
    Ok(bytes)
}

/// Returns the state, its columns, and the end's details.
fn encode_state(state: &TaskState) -> Result<(u8, [u8; STATE_BYTES], Vec<u8>)> {
    let mut columns = [0; STATE_BYTES];
    let mut rest = &mut columns[..];
    let mut put = |bytes: &[u8]| {
        let (column, behind) = std::mem::take(&mut rest).split_at_mut(bytes.len());
        column.copy_from_slice(bytes);
        rest = behind;
    };
    let mut end = Vec::new();
    let state = match state {
        TaskState::Queued { not_before } => {
            put(&not_before.0.to_be_bytes());
            QUEUED
        }
        TaskState::Running(lease) => {
            put(lease.worker.as_bytes());
            put(&lease.token.0);
            put(&lease.started_at.0.to_be_bytes());
            put(&lease.expires_at.0.to_be_bytes());
            if lease.renewed { RENEWED } else { RUNNING }
        }
        TaskState::Completed(ended) | TaskState::Failed(_, ended) => {
            put(&ended.at.0.to_be_bytes());
            put(&ended.token.map_or([0; 16], |token| token.0));
            let failure = match state {
                TaskState::Failed(failure, _) => Some(FailureRecord::from(failure.clone())),
                _ => None,
            };
            let state = if failure.is_some() { FAILED } else { COMPLETED };
            end = super::encode(&Details { receipt: ended.receipt.clone(), failure })?;
            state
        }
    };
    Ok((state, columns, end))
}

/// Decodes a task and what it carries.
///
/// # Errors
/// [`Error::Corrupt`] if the bytes are invalid or of a layout unknown to this version.
pub(in crate::embedded) fn decode_task(named: Named, record: &Bytes) -> Result<(Task, Carried)> {
    let mut columns = Columns { record, rest: record };
    let [layout, state, order, there] = columns.take()?;
    if layout != LAYOUT {
        return Err(Error::Corrupt(format!("a task: layout {layout} is not known to this version")));
    }
    let function = FunctionId::from_bytes(columns.take()?);
    let [expires_at, fuel, memory_bytes, output_bytes, log_bytes, input_bytes] = columns.long()?;
    let [wall_ms, attempt, attempts_max, releases, results_s, failed_s] = columns.short()?;
    let mut of_state = Columns { record, rest: columns.slice(STATE_BYTES)? };
    let [input, output, log, end] = columns.short()?;
    let fingerprint = if there & HAS_FINGERPRINT == 0 { None } else { Some(Fingerprint(columns.take()?)) };
    let retry_of = if there & HAS_RETRY_OF == 0 { None } else { Some(TaskId::from_bytes(columns.take()?)) };
    let end = columns.slice(end as usize)?;
    let state = match state {
        QUEUED => TaskState::Queued { not_before: Millis(u64::from_be_bytes(of_state.take()?)) },
        RUNNING | RENEWED => TaskState::Running(Lease {
            worker: WorkerId::from_bytes(of_state.take()?),
            dispatcher: None,
            token: LeaseToken(of_state.take()?),
            started_at: Millis(u64::from_be_bytes(of_state.take()?)),
            expires_at: Millis(u64::from_be_bytes(of_state.take()?)),
            renewed: state == RENEWED,
        }),
        COMPLETED | FAILED => {
            let Details { receipt, failure } = super::decode("a task's end", end)?;
            let (at, token) = (Millis(u64::from_be_bytes(of_state.take()?)), LeaseToken(of_state.take()?));
            let ended = EndRecord { at, token: (there & HAS_TOKEN != 0).then_some(token), receipt };
            match failure {
                None => TaskState::Completed(ended),
                Some(failure) => TaskState::Failed(failure.into_failure()?, ended),
            }
        }
        state => return Err(Error::Corrupt(format!("a task: unknown state {state}"))),
    };
    let carried = Carried {
        input: columns.piece(input)?,
        output: columns.piece(output)?,
        log: columns.piece(log)?,
        later: Bytes::new(),
    };
    let (start, cpu_ms, more) = (columns.start()?, columns.cpu_ms()?, columns.more()?);
    let carried = Carried { later: record.slice_ref(columns.rest), ..carried };
    let priority = Priority::HIGHEST_FIRST.get(usize::from(order));
    let Named { id, tenant, created_at } = named;
    let mut task = Task {
        id,
        tenant,
        function,
        limits: RunLimits { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, cpu_ms },
        priority: *priority.ok_or_else(|| Error::Corrupt("a task: unknown priority".to_owned()))?,
        created_at,
        expires_at: Millis(expires_at),
        attempt,
        attempts_max,
        releases,
        fingerprint,
        retry_of,
        input_bytes,
        start,
        keep: Keep { results_s: results_s.into(), failed_s: failed_s.into() },
        tags: Tags::default(),
        past: Vec::new(),
        state,
    };
    more.complete(&mut task);
    Ok((task, carried))
}

impl From<Failure> for FailureRecord {
    fn from(Failure { code, message, backtrace }: Failure) -> Self {
        Self { code: code.as_str().to_owned(), message, backtrace }
    }
}

impl FailureRecord {
    /// Returns the failure.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a code of another version.
    pub(super) fn into_failure(self) -> Result<Failure> {
        let Self { code, message, backtrace } = self;
        let known = ErrorCode::ALL.iter().find(|known| known.as_str() == code);
        let code = *known.ok_or_else(|| Error::Corrupt(format!("a task: unknown error code {code:?}")))?;
        Ok(Failure { code, message, backtrace })
    }
}

#[cfg(test)]
mod tests;
