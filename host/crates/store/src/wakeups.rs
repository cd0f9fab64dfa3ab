//! Wake-ups of callers that wait. Hints: nothing depends on them for correctness.

use std::{future::Future, pin::Pin};

use fusebox_core::{id::TaskId, name::TenantId};
use tokio::sync::broadcast;

/// Wake-ups of callers that wait for a task or for work.
pub trait Wakeups: Send + Sync + 'static {
    /// Returns a hint that completes when the task may have started, been queued again or ended. The hint is registered
    /// before this returns.
    fn changed_hint(&self, task: TaskId) -> Hint;
    /// Returns a hint that completes when the task may have ended. The hint is registered before this returns, so read
    /// the record after calling this.
    fn ended_hint(&self, task: TaskId) -> Hint;
    /// Returns a hint that completes when tasks may have become ready since the last such hint completed; of several
    /// waiters, one is notified.
    fn ready_hint(&self) -> ReadyHint;
    /// Subscribes to the ids of tasks cancelled while they ran. A hint: a receiver that lags behind learns of the
    /// cancellation at the next lease renewal.
    fn cancellations(&self) -> broadcast::Receiver<TaskId>;
}

/// Future that completes when something may have happened. A hint, so the caller reads the record again.
pub type Hint = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Future that completes when tasks may have become ready.
pub type ReadyHint = Pin<Box<dyn Future<Output = Ready> + Send>>;

/// Tasks that became ready. A hint: another dispatcher may have leased them, and events may have been missed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Additional ready tasks per tenant.
    pub more: Vec<(TenantId, u64)>,
    /// True if events may have been missed; the backlog then has the true numbers.
    pub missed: bool,
}
