//! A task that is to be accepted, and how a store answers.

use bytes::Bytes;
use fusebox_core::{
    function::RunLimits,
    id::{Attempt, FunctionId, ModuleDigest, TaskId},
    name::{FunctionName, TenantId},
    task::{Fingerprint, Priority, Task, TaskState},
    time::Millis,
};

/// What must still be so of a task's function when the task is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expects {
    /// Its caller has just looked it up.
    #[default]
    Nothing,
    /// The version is there. It was remembered, and asked for by its id.
    There,
    /// The version is its name's newest. It was remembered, and asked for by its name.
    Newest,
}

/// A request to run a function.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// The task's id, made by the caller so that the step can be sent again.
    pub id: TaskId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The version to run; the caller has looked it up.
    pub function: FunctionId,
    /// What must still be so of that version.
    pub expects: Expects,
    /// That version's name, for the run's context.
    pub function_name: FunctionName,
    /// That version's module.
    pub module: ModuleDigest,
    /// What the run may use.
    pub limits: RunLimits,
    /// Order within the tenant.
    pub priority: Priority,
    /// Attempts it may have.
    pub attempts_max: Attempt,
    /// How long after its acceptance it may be leased, in milliseconds; 0 for at once. Times are the store's to tell, and
    /// only durations are sent to it: another clock may be set wrong.
    pub delay_ms: u64,
    /// Fails as expired unless started within so many milliseconds after its acceptance.
    pub expires_in_ms: u64,
    /// Told where the id is made from an idempotency key: the same id with another fingerprint is a conflict.
    pub fingerprint: Option<Fingerprint>,
    /// The task that this one is another try of.
    pub retry_of: Option<TaskId>,
    /// Refused where its tenant has so many that wait.
    pub queued_max: u64,
    /// The input.
    pub input: Bytes,
}

impl NewTask {
    /// The task that it becomes when it is accepted.
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
            state: TaskState::Queued { not_before: at.plus(self.delay_ms) },
        }
    }
}

/// The answer to a request to run a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The task is durable and waits.
    New {
        /// When it was accepted.
        at: Millis,
    },
    /// A task of this id was accepted before; nothing changed.
    Duplicate,
    /// A task of this id was accepted before, and its client asked for something else; nothing changed.
    Conflict,
    /// The tenant has as many waiting tasks as it may have.
    QueueFull,
    /// Its function is not as it expects: look it up.
    FunctionChanged,
    /// The store accepted others of the same call and did not answer for this one: it waits or it does not. Handing it in
    /// again under its id tells.
    NoAnswer,
    /// The task that it is another try of is no dead letter of its tenant, so that there is no input.
    InputGone,
}

/// Bytes that one step copies from dead letters to their replays: bounds its memory, and how long others wait for it. The
/// first letter of a step is copied whatever its size.
pub(super) const REPLAYED_BYTES_MAX: usize = 8 << 20;
