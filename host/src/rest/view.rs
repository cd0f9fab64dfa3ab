//! JSON types of the native routes. Sizes are bytes, times RFC 3339 in UTC.

use std::time::{Duration, UNIX_EPOCH};

use fusebox_core::{
    function::{FunctionVersion, RunLimits},
    outcome::{Failure, Receipt},
    task::{Priority, Task},
    time::Millis,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::to_base64;
use crate::store::TaskResult;

/// One immutable version of a function.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FunctionView {
    /// Id of the version, a UUID.
    pub id: String,
    /// Name under which it was registered.
    pub name: String,
    /// 1 for the first version of a name, then 2, …
    pub version: u32,
    /// SHA-256 of the module's wasm bytes, hexadecimal.
    pub module: String,
    /// Size of the module in bytes.
    pub module_bytes: u64,
    /// Calling convention of the module: `core` or `command`.
    pub abi: String,
    /// Limits of one run.
    pub limits: LimitsView,
    /// Capabilities granted: `config`, `secrets`, `kv`, `http=HOST`.
    #[serde(default)]
    pub grants: Vec<String>,
    /// Time of registration.
    pub created_at: String,
    /// Time that the module took to compile, in milliseconds; only in the response to its registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compile_ms: Option<u64>,
    /// Grants that the previous version did not have; only in the response to the registration of a later version with
    /// grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_grants: Option<Vec<String>>,
}

/// Limits of one run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct LimitsView {
    /// CPU budget in fuel units.
    pub fuel: u64,
    /// Wall time in milliseconds.
    pub wall_ms: u32,
    /// Linear memory in bytes.
    pub memory_bytes: u64,
    /// Output in bytes.
    pub output_bytes: u64,
    /// Log kept, in bytes.
    pub log_bytes: u64,
}

/// A task.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    /// Id of the task, a UUID.
    pub id: String,
    /// Function version that it runs.
    pub function_id: String,
    /// `QUEUED`, `RUNNING`, `COMPLETED` or `FAILED`.
    pub status: String,
    /// Number of the latest attempt; 0 before the first.
    pub attempt: u32,
    /// Number of attempts before it fails for good.
    pub attempts_max: u32,
    /// `low`, `normal` or `high`.
    #[schema(value_type = String)]
    pub priority: Priority,
    /// Failed task that this one retries.
    #[serde(default)]
    pub retry_of: Option<String>,
    /// Time of acceptance.
    pub created_at: String,
    /// Time of its end.
    pub ended_at: Option<String>,
    /// Reason of its failure.
    pub error: Option<ErrorView>,
    /// Resources used by its last run.
    pub receipt: Option<ReceiptView>,
    /// Output, or the guest's error bytes, in base64; only in responses to requests that waited for the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

/// Reason of a failure.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorView {
    /// Stable error code.
    pub code: String,
    /// Sentence that explains it.
    pub message: String,
    /// Wasm frames, innermost first; empty if the run did not trap.
    pub backtrace: Vec<String>,
}

/// Resources used by a run. Times are microseconds.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReceiptView {
    /// Fuel units; null if the engine lost the count, as it does on traps and interrupts.
    pub fuel: Option<u64>,
    /// Time from the start of the run to its end.
    pub wall_us: u64,
    /// CPU time of the slot during the run, at most the wall time.
    pub cpu_us: u64,
    /// Time waited before the run.
    pub queue_us: u64,
    /// Time to load the compiled module.
    pub load_us: u64,
    /// Time to instantiate the module.
    pub instantiate_us: u64,
    /// Largest linear memory in bytes.
    pub memory_bytes: u64,
    /// Size of the output in bytes.
    pub output_bytes: u64,
    /// Size of the log kept, in bytes.
    pub log_bytes: u64,
    /// Number of the attempt.
    pub attempt: u32,
    /// Worker that ran it; null for a synchronous invocation.
    pub worker: Option<String>,
}

/// Page of function versions.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FunctionPage {
    /// Function versions.
    pub items: Vec<FunctionView>,
    /// The `cursor` of the next page; null on the last.
    pub next: Option<String>,
}

/// Page of tasks.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskPage {
    /// Tasks.
    pub items: Vec<TaskView>,
    /// The `cursor` of the next page; null on the last.
    pub next: Option<String>,
}

impl From<&FunctionVersion> for FunctionView {
    fn from(function: &FunctionVersion) -> Self {
        Self {
            id: function.id.to_string(),
            name: function.name.to_string(),
            version: function.version,
            module: function.module.to_string(),
            module_bytes: function.module_bytes,
            abi: function.abi.as_str().to_owned(),
            limits: function.limits.into(),
            grants: function.grants.each().map(|grant| grant.to_string()).collect(),
            created_at: rfc3339(function.created_at),
            compile_ms: None,
            new_grants: None,
        }
    }
}

impl From<RunLimits> for LimitsView {
    fn from(limits: RunLimits) -> Self {
        let RunLimits { fuel, wall_ms, memory_bytes, output_bytes, log_bytes } = limits;
        Self { fuel, wall_ms, memory_bytes, output_bytes, log_bytes }
    }
}

impl TaskView {
    /// Returns true if the task is `COMPLETED` or `FAILED`.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.status.as_str(), "COMPLETED" | "FAILED")
    }
}

impl From<&Task> for TaskView {
    fn from(task: &Task) -> Self {
        Self {
            id: task.id.to_string(),
            function_id: task.function.to_string(),
            status: task.status().as_str().to_owned(),
            attempt: task.attempt,
            attempts_max: task.attempts_max,
            priority: task.priority,
            retry_of: task.retry_of.map(|task| task.to_string()),
            created_at: rfc3339(task.created_at),
            ended_at: task.ended().map(|ended| rfc3339(ended.at)),
            error: task.failure().map(Into::into),
            receipt: task.ended().map(|ended| (&ended.receipt).into()),
            result: None,
        }
    }
}

impl From<&TaskResult> for TaskView {
    fn from(found: &TaskResult) -> Self {
        let result = found.task.status().is_ended().then(|| to_base64(&found.output));
        Self { result, ..Self::from(&found.task) }
    }
}

impl From<&Failure> for ErrorView {
    fn from(failure: &Failure) -> Self {
        Self {
            code: failure.code.as_str().to_owned(),
            message: failure.message.clone(),
            backtrace: failure.backtrace.clone(),
        }
    }
}

impl From<&Receipt> for ReceiptView {
    fn from(receipt: &Receipt) -> Self {
        Self {
            fuel: receipt.fuel,
            wall_us: receipt.wall_us,
            cpu_us: receipt.cpu_us,
            queue_us: receipt.queue_us,
            load_us: receipt.load_us,
            instantiate_us: receipt.instantiate_us,
            memory_bytes: receipt.memory_bytes,
            output_bytes: receipt.output_bytes,
            log_bytes: receipt.log_bytes,
            attempt: receipt.attempt,
            worker: receipt.worker.map(|worker| worker.to_string()),
        }
    }
}

pub(super) fn rfc3339(time: Millis) -> String {
    // The format's last year is 9999.
    let ms = time.0.min(253_402_300_799_999);
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}
