//! Tasks: submission, records, waits and dead letters. Sizes are bytes, times RFC 3339 in UTC.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fusebox_core::{
    outcome::{Failure, Receipt},
    tags::Tags,
    task::{Priority, Task},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{rfc3339, timeline::TimelineEvent};

/// Query of a submission.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Submission {
    /// Priority among the tenant's queued tasks: `low`, `normal` or `high`.
    #[param(value_type = Option<String>)]
    pub priority: Option<Priority>,
    /// Milliseconds before the task may start, at most 7 days.
    pub delay_ms: Option<u64>,
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
    /// Arguments behind those of the version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Name of the exported function that is entered instead of the version's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<String>,
    /// Tags by which it is found.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub tags: Tags,
    /// Content type of its input, if its function is a command or a script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Time of acceptance.
    pub created_at: String,
    /// Worker that runs it or ran its last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Time at which its last attempt started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// Time of its end.
    pub ended_at: Option<String>,
    /// Reason of its failure.
    pub error: Option<ErrorView>,
    /// Resources used by its last run.
    pub receipt: Option<ReceiptView>,
    /// Output, or the guest's error bytes, in base64; only in responses to requests that waited for the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Reason for which it is still queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<WaitingFor>,
    /// Events of the task, the earliest first; only in responses about one task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<TimelineEvent>,
}

/// Reason for which a task is queued, or the tasks of a function or tenant are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitingFor {
    /// Stable code: `delayed`, `no-worker`, `running-bound`, `fuel-tank-empty`, `fair-share`, or `starting` if nothing holds
    /// it up.
    pub code: String,
    /// Sentence that explains it.
    pub message: String,
    /// Time until which it waits at least, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
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

/// Page of tasks.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskPage {
    /// Tasks.
    pub items: Vec<TaskView>,
    /// The `cursor` of the next page; null on the last.
    pub next: Option<String>,
}

/// Request to wait for tasks.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitFor {
    /// Task ids, at most 1000.
    pub tasks: Vec<String>,
    /// `all`, the default, or `any`.
    #[serde(default, rename = "for")]
    pub until: Until,
}

/// Condition that ends a wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Until {
    /// Every task has ended.
    #[default]
    All,
    /// At least one task has ended.
    Any,
}

/// State of the tasks.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Waited {
    /// True if the condition is met.
    pub done: bool,
    /// Tasks in the order of the request. Ended ones have their `result`, as long as all results together stay within 6
    /// MiB.
    pub items: Vec<TaskView>,
    /// Ids of tasks that do not exist.
    pub missing: Vec<String>,
}

/// Query of a task's deletion.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Deletion {
    /// With `true`, deletes an ended task with its input, output and log, instead of cancelling an unfinished one.
    #[serde(default)]
    #[param(required = false)]
    pub purge: bool,
}

/// Filter of a listing of dead letters.
#[derive(Clone, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Function whose dead letters are listed: a name, for all its versions, or a version id. A page may then have
    /// fewer rows than `limit`.
    pub function: Option<String>,
}

/// Dead letters to replay: exactly one of `tasks` and `all`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Ids of dead letters, at most 1000.
    pub tasks: Option<Vec<String>>,
    /// Replays every dead letter, the latest first; at most 1000 per request.
    #[serde(default)]
    pub all: bool,
    /// With `all`: the `next` of the previous response.
    pub cursor: Option<String>,
}

impl TaskView {
    /// Returns a task with its output, or the guest's error bytes, if it has ended.
    #[must_use]
    pub fn with_result(task: &Task, output: &[u8]) -> Self {
        let result = task.status().is_ended().then(|| STANDARD.encode(output));
        Self { result, ..Self::from(task) }
    }

    /// Adds what happened to the task.
    #[must_use]
    pub fn with_timeline(self, task: &Task) -> Self {
        Self { timeline: TimelineEvent::of(task), ..self }
    }

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
            args: task.start.args.clone(),
            export: task.start.export.clone(),
            tags: task.tags.clone(),
            content_type: task.start.content_type.clone(),
            created_at: rfc3339(task.created_at),
            worker: task.worker().map(|worker| worker.to_string()),
            started_at: task.started_at().map(rfc3339),
            ended_at: task.ended().map(|ended| rfc3339(ended.at)),
            error: task.failure().map(Into::into),
            receipt: task.ended().map(|ended| (&ended.receipt).into()),
            result: None,
            waiting_for: None,
            timeline: Vec::new(),
        }
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
