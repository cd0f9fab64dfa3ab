//! Task to be accepted, and the store's answer.

use bytes::Bytes;
use fusebox_core::{
    function::{FunctionVersion, RunLimits},
    id::{Attempt, FunctionId, ModuleDigest, TaskId},
    keep::Keep,
    limits::TASK_AGE_MS_MAX,
    name::{FunctionName, TenantId},
    quota::Quotas,
    setup::Start,
    tags::Tags,
    task::{Fingerprint, Priority, Task, TaskState},
    time::Millis,
};

/// State of the function that a task requires when it is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expects {
    /// No check: the caller has just read the function from the store.
    #[default]
    Nothing,
    /// The version must still exist. For a cached version that was requested by id.
    There,
    /// The version must still be the newest of its name. For a cached version that was requested by name.
    Newest,
}

/// Request for a task of a function, before it has an id.
#[derive(Clone, Debug)]
pub struct TaskRequest<'a> {
    /// Version to run, as the caller looked it up.
    pub function: &'a FunctionVersion,
    /// Limits of each run.
    pub limits: RunLimits,
    /// Priority within the tenant.
    pub priority: Priority,
    /// Milliseconds before the task may start.
    pub delay_ms: u64,
    /// Milliseconds after that within which it must start.
    pub start_within_ms: u64,
    /// Failed task that this one retries.
    pub retry_of: Option<TaskId>,
    /// Way in which the request starts the function.
    pub start: Start,
    /// Tags by which the task is found.
    pub tags: Tags,
    /// Input of the function.
    pub input: Bytes,
}

impl<'a> TaskRequest<'a> {
    /// Returns a request within the function's own limits, of normal priority, without a delay.
    #[must_use]
    pub fn new(function: &'a FunctionVersion, input: Bytes) -> Self {
        let (limits, priority, start) = (function.limits, Priority::Normal, Start::default());
        let (start_within_ms, tags) = (TASK_AGE_MS_MAX, Tags::default());
        Self { function, limits, priority, delay_ms: 0, start_within_ms, retry_of: None, start, tags, input }
    }

    /// Returns the task, without a fingerprint. `attempts_max` is the limit of attempts, and `quotas` are the tenant's.
    #[must_use]
    pub fn into_task(self, id: TaskId, attempts_max: Attempt, quotas: &Quotas) -> NewTask {
        let (start, input) = self.start.entering(self.function.abi, self.input);
        NewTask {
            id,
            tenant: self.function.tenant.clone(),
            function: self.function.id,
            expects: Expects::Nothing,
            function_name: self.function.name.clone(),
            module: self.function.module,
            limits: self.limits,
            priority: self.priority,
            attempts_max,
            delay_ms: self.delay_ms,
            expires_in_ms: self.delay_ms.saturating_add(self.start_within_ms),
            fingerprint: None,
            retry_of: self.retry_of,
            keep: quotas.keep(),
            queued_max: quotas.queued_tasks,
            stored_max: quotas.stored_bytes,
            start,
            tags: self.tags,
            input,
        }
    }
}

/// Task to be accepted.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Id of the task, chosen by the caller so that the step can be sent again.
    pub id: TaskId,
    /// Tenant that owns the task.
    pub tenant: TenantId,
    /// Version to run, as the caller resolved it.
    pub function: FunctionId,
    /// Check of that version when the task is accepted.
    pub expects: Expects,
    /// Name of that version, for the run's context.
    pub function_name: FunctionName,
    /// Digest of that version's module.
    pub module: ModuleDigest,
    /// Limits of the run.
    pub limits: RunLimits,
    /// Priority within the tenant.
    pub priority: Priority,
    /// Largest number of attempts.
    pub attempts_max: Attempt,
    /// Delay after acceptance before the task may be leased, in milliseconds; 0 for none. The caller sends durations
    /// and the store computes the times, because the clocks of two machines may differ.
    pub delay_ms: u64,
    /// Time after acceptance within which the task must start, in milliseconds; after it, the task fails as expired.
    pub expires_in_ms: u64,
    /// Fingerprint of the request, present if the id is derived from an idempotency key. The same id with another
    /// fingerprint is a conflict.
    pub fingerprint: Option<Fingerprint>,
    /// Dead letter that this task replays.
    pub retry_of: Option<TaskId>,
    /// Time for which the task is kept after its end.
    pub keep: Keep,
    /// The tenant's limit of queued tasks; at it, `accept` answers [`Accepted::QueueFull`].
    pub queued_max: u64,
    /// The tenant's limit of stored bytes; beyond it, `accept` answers [`Accepted::BytesReached`].
    pub stored_max: u64,
    /// Way in which the request starts the function.
    pub start: Start,
    /// Tags by which the task is found.
    pub tags: Tags,
    /// Input of the run.
    pub input: Bytes,
}

impl NewTask {
    /// Returns the bytes that count for an input of this size together with the start.
    #[must_use]
    pub fn input_bytes(&self, input: usize) -> u64 {
        (input as u64).saturating_add(self.start.bytes())
    }

    /// Returns the record of this task, accepted at `at`.
    #[must_use]
    pub fn accepted(&self, at: Millis) -> Task {
        Task {
            id: self.id,
            tenant: self.tenant.clone(),
            function: self.function,
            limits: self.limits,
            priority: self.priority,
            created_at: at,
            expires_at: at.plus(self.expires_in_ms),
            attempt: 0,
            attempts_max: self.attempts_max,
            releases: 0,
            fingerprint: self.fingerprint,
            retry_of: self.retry_of,
            input_bytes: self.input_bytes(self.input.len()),
            start: self.start.clone(),
            keep: self.keep,
            tags: self.tags.clone(),
            past: Vec::new(),
            state: TaskState::Queued { not_before: at.plus(self.delay_ms) },
        }
    }
}

/// Answer to a [`NewTask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The task is durable and queued.
    New {
        /// Time of acceptance, by the store's clock.
        at: Millis,
    },
    /// A task with this id was accepted before; nothing changed.
    Duplicate,
    /// A task with this id was accepted before for a different request or tenant; nothing changed.
    Conflict,
    /// The tenant's limit of queued tasks is reached.
    QueueFull,
    /// The tenant's limit of stored bytes would be exceeded.
    BytesReached,
    /// The function does not meet [`NewTask::expects`]; the caller must read it again.
    FunctionChanged,
    /// The store answered for other tasks of the call but not for this one, which may or may not have been accepted.
    /// Sending it again with the same id gives the answer.
    NoAnswer,
    /// The tenant is being deleted, or was deleted.
    NoTenant,
    /// `retry_of` names no dead letter of the tenant, so there is no input to copy.
    InputGone,
}

/// Largest size of the inputs that one step copies from dead letters to their replays, in bytes. Bounds the step's
/// memory and the time for which it delays others. The first input of a step is copied whatever its size.
pub(super) const REPLAYED_BYTES_MAX: usize = 8 << 20;
