//! A call of a function: its invocation, the flag that stops its run, and the run that results.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use bytes::Bytes;
use fusebox_core::{
    function::RunLimits,
    id::{Attempt, TaskId},
    invocation::Invocation,
    outcome::{Outcome, Receipt, StopReason, Traces},
    time::Millis,
    wire::AttemptId,
};

use crate::{Guest, HostCalls, exchange::Exchange};

/// Requests that one run stop. Cheap to clone; can be raised once.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicU8>);

impl StopFlag {
    /// Stops the run at its next tick or wait. The first reason is kept.
    pub fn raise(&self, reason: StopReason) {
        let value = match reason {
            StopReason::Cancelled => 1,
            StopReason::Interrupted => 2,
        };
        let _ = self.0.compare_exchange(0, value, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Returns the reason to stop, if the flag is raised.
    #[must_use]
    pub fn reason(&self) -> Option<StopReason> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            1 => Some(StopReason::Cancelled),
            _ => Some(StopReason::Interrupted),
        }
    }
}

/// One call of a function. Task, attempt, deadline, tenant and function are visible to the guest.
#[derive(Clone)]
pub struct Call {
    /// Function, input, limits and grants; the limits are reduced to the sandbox's ceiling.
    pub invocation: Invocation,
    /// Task of the call; `None` for a sync invoke, which is not stored.
    pub task: Option<TaskId>,
    /// Number of the attempt.
    pub attempt: Attempt,
    /// Time at which the run is ended.
    pub deadline: Millis,
    /// Stops the run from outside.
    pub stop: StopFlag,
    /// Answers the calls that require grants; without it they are refused as
    /// [`fusebox_core::capability::Refusal::Unavailable`].
    pub host_calls: Option<Arc<dyn HostCalls>>,
    /// Exchange with the client that waits for the response, if the input is an HTTP request. Functions that can only
    /// return a whole response leave it unused.
    pub exchange: Option<Exchange>,
}

impl Call {
    /// Returns a sync invoke without a deadline and without host calls.
    #[must_use]
    pub fn new(invocation: Invocation) -> Self {
        let (deadline, stop) = (Millis::NEVER, StopFlag::default());
        Self { invocation, task: None, attempt: 1, deadline, stop, host_calls: None, exchange: None }
    }

    /// Returns the limits of the run.
    pub(crate) fn limits(&self, ceiling: &RunLimits) -> RunLimits {
        let limits = self.invocation.limits.capped(ceiling);
        if self.exchange.is_some() { limits } else { limits.whole() }
    }

    /// Returns the guest, as its host calls show it.
    #[must_use]
    pub fn guest(&self) -> Guest<'_> {
        let Invocation { tenant, function, grants, .. } = &self.invocation;
        let attempt = self.task.map(|task| AttemptId { task, attempt: self.attempt });
        Guest { tenant, function, grants, attempt }
    }
}

/// Result of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Outcome of the run.
    pub outcome: Outcome,
    /// Traces of a run that failed.
    pub traces: Traces,
    /// Resources used, as far as the sandbox knows them: fuel, times of the run itself, and memory.
    pub receipt: Receipt,
    /// Retained log as lines of text; ends with a note if it was truncated.
    pub log: Bytes,
}
