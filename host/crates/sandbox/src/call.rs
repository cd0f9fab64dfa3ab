//! A call of a function: its input, limits and context, the flag that stops its run, and the run that results.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use bytes::Bytes;
use fusebox_core::{
    capability::Grants,
    function::RunLimits,
    id::{Attempt, TaskId},
    name::{FunctionName, TenantId},
    outcome::{Outcome, StopReason},
    time::Millis,
};

use crate::HostCalls;

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

/// Properties of a call. All but the grants are visible to the guest.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// Task of the call; `None` for a sync invoke, which is not stored.
    pub task: Option<TaskId>,
    /// Number of the attempt.
    pub attempt: Attempt,
    /// Tenant of the function.
    pub tenant: TenantId,
    /// Name of the function.
    pub function: FunctionName,
    /// Time at which the run is ended.
    pub deadline: Millis,
    /// Capabilities granted to the function.
    pub grants: Grants,
}

/// One call of a function.
#[derive(Clone)]
pub struct Call {
    /// Input of the call.
    pub input: Bytes,
    /// Limits of the run; reduced to the sandbox's ceiling.
    pub limits: RunLimits,
    /// Properties of the call.
    pub context: CallContext,
    /// Stops the run from outside.
    pub stop: StopFlag,
    /// Answers the calls that require grants; without it they are refused as
    /// [`fusebox_core::capability::Refusal::Unavailable`].
    pub host_calls: Option<Arc<dyn HostCalls>>,
}

/// Result of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Outcome of the run.
    pub outcome: Outcome,
    /// Resources used.
    pub usage: Usage,
    /// Retained log as lines of text; ends with a note if it was truncated.
    pub log: Bytes,
}

/// Resources used by a run. Times are in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel units used; `None` if the engine lost the count.
    pub fuel: Option<u64>,
    /// Wall time.
    pub wall_us: u64,
    /// CPU time of the thread since its previous run, at most the wall time. For most runs below 50 us it equals the
    /// wall time.
    pub cpu_us: u64,
    /// Time to instantiate the module, including its start function.
    pub instantiate_us: u64,
    /// Largest linear memory in bytes.
    pub memory_bytes: u64,
}
