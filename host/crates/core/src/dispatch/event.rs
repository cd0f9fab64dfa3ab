//! Events and effects of the dispatcher.
//!
//! The driver performs effects in order. Results of an effect return later as events:
//!
//! | effect | answered by |
//! |---|---|
//! | [`Effect::Lease`] | [`Event::Leased`] or [`Event::LeaseFailed`], once each |
//! | [`Effect::Assign`] | [`Event::Finished`], or the worker is lost |
//! | [`Effect::Save`] | [`Event::Saved`] or [`Event::SaveFailed`], once each |
//! | [`Effect::Draw`] | [`Event::Drawn`], once |
//! | [`Effect::Renew`] | [`Event::LeaseLost`] for each lease that is lost |
//! | [`Effect::WakeAt`] | [`Event::Tick`] at that time or later |
//! | the others | nothing |

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    id::{Attempt, TaskId, WorkerId},
    name::TenantId,
    outcome::StopReason,
    time::Millis,
};

/// Id of a pending lease step, unique within a dispatcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Way in which a worker receives attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Slots in the dispatcher's own process.
    Local,
    /// The dispatcher sends attempts as the worker grants credit.
    Push,
    /// The worker requests attempts.
    Pull,
}

impl Mode {
    /// Returns the word used on every surface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }
}

/// Expiry of credit that lasts until it is spent and is never returned.
pub const UNTIL_SPENT: Millis = Millis(Millis::NEVER.0 - 1);

/// Capacity of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Number of concurrent runs.
    pub slots: u32,
    /// Number of attempts that it can hold, waiting and running; limits its credit, whatever it grants later. Capped at
    /// [`crate::limits::WORKER_CAPACITY_MAX`].
    pub capacity: u32,
    /// True if the worker has an extra slot, which serves only tenants of which it holds nothing else. One attempt for
    /// it is sent beyond the worker's credit.
    pub has_extra: bool,
}

/// Fuel reserved by the runs of a lease step, according to their limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    /// Sum over all runs.
    pub fuel: u64,
    /// Largest reservation of a single run.
    pub most: u64,
}

/// Cost of a run, charged to its tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Time for which the run held its slot, in microseconds; 0 if the run did not end.
    pub slot_us: u64,
    /// Unused part of the reserved fuel if the run ended normally; 0 otherwise, since the consumption of a trapped run
    /// is unknown.
    pub fuel_left: u64,
}

/// Input of the dispatcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Number of a tenant's tasks ready in the store. Replaces the known number, so events must arrive in the order in
    /// which the number was read.
    Backlog {
        /// The tenant.
        tenant: TenantId,
        /// Number of ready tasks.
        ready: u64,
    },
    /// More tasks of a tenant have become ready. May include tasks that another dispatcher leases.
    MoreReady {
        /// The tenant.
        tenant: TenantId,
        /// Number of additional tasks.
        more: u64,
    },
    /// Changes a tenant's quota of concurrent attempts at this dispatcher. Without this event there is no bound.
    Quota {
        /// The tenant.
        tenant: TenantId,
        /// Maximum number of leased attempts.
        running_max: u64,
        /// Fuel per minute that its runs may reserve; [`crate::quota::UNLIMITED`] requires no draws.
        fuel_per_minute: u64,
    },
    /// Answers [`Effect::Draw`].
    Drawn {
        /// The tenant.
        tenant: TenantId,
        /// Fuel drawn; 0 if the store has none or did not respond.
        fuel: u64,
    },
    /// A worker has connected or reconnected. The dispatcher detects its silence from now on.
    WorkerJoined {
        /// The worker.
        worker: WorkerId,
        /// Its capacity.
        room: Room,
    },
    /// Grants a worker credit for more attempts, up to its capacity. The first grant makes the worker known.
    CreditGranted {
        /// The worker.
        worker: WorkerId,
        /// Number of attempts.
        slots: u32,
        /// Expiry, at which unused credit is void: the time by which a pull request must be answered. [`UNTIL_SPENT`]
        /// in other modes, whose workers grant more as they have room.
        expires_at: Millis,
    },
    /// A sign of life from a worker.
    Heartbeat {
        /// The worker.
        worker: WorkerId,
    },
    /// The leases of a request are saved. Fewer than requested means that no more tasks are ready.
    Leased {
        /// The lease step.
        request: RequestId,
        /// Leased attempts.
        attempts: Vec<(TaskId, Attempt)>,
        /// Fuel reserved by their runs.
        reserved: Reserved,
    },
    /// The store did not respond to a lease request.
    LeaseFailed {
        /// The lease step.
        request: RequestId,
    },
    /// A worker reports an attempt. Late, repeated and forged reports are harmless.
    Finished {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// Result of the attempt.
        report: Report,
        /// Cost charged to the tenant.
        cost: Cost,
    },
    /// The store has answered a verdict. Whether it was recorded, now or earlier, or is stale makes no difference here.
    Saved {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// The store did not respond to a save.
    SaveFailed {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// A lease is lost according to the store.
    LeaseLost {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// A task was cancelled; the store has already recorded it.
    CancelRequested {
        /// The task.
        task: TaskId,
    },
    /// A worker is unreachable. Its credit is void; its attempts continue, and it may reconnect within
    /// [`crate::limits::WORKER_SILENCE_MS_MAX`] and grant credit again.
    WorkerAway {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker is lost.
    WorkerLost {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker has said goodbye or may no longer work here; its attempts are released without being consumed.
    WorkerLeft {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker accepts no more attempts.
    WorkerDrains {
        /// The worker.
        worker: WorkerId,
    },
    /// Starts a drain: nothing more is leased, and [`Effect::Drained`] follows once no lease is left.
    Drain,
    /// The time of an [`Effect::WakeAt`] has passed.
    Tick,
}

/// Result of an attempt as seen by its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The run ended. The driver holds the data to record: that of the first report by the attempt's own worker.
    Ended,
    /// The run was stopped on purpose or did not start; the attempt is not consumed.
    Interrupted,
    /// The run was lost to an infrastructure fault; the attempt is consumed.
    Lost,
}

/// Verdict to record for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveVerdict {
    /// Records the end, whose data the driver holds.
    End,
    /// Records the loss of the attempt: the next one is queued if any is left.
    Retry {
        /// Delay before the next attempt, in milliseconds.
        delay_ms: u64,
    },
    /// Releases the attempt without consuming it.
    Release,
}

/// Output of the dispatcher: an action of the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Leases up to `count` attempts of `tenant` to `worker` in the store.
    Lease {
        /// Id to be repeated in the answer.
        request: RequestId,
        /// Tenant whose tasks are leased.
        tenant: TenantId,
        /// Worker that will run them.
        worker: WorkerId,
        /// Maximum number of attempts.
        count: u32,
        /// True for a single attempt for the worker's extra slot.
        extra: bool,
    },
    /// Sends an attempt to its worker; its lease is saved.
    Assign {
        /// Worker to run it.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// True if the attempt is for the worker's extra slot and consumes no credit.
        extra: bool,
    },
    /// Records a verdict in the store.
    Save {
        /// Worker that ran the attempt.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// Verdict to record.
        verdict: SaveVerdict,
    },
    /// Renews leases in the store.
    Renew {
        /// The attempts.
        attempts: Vec<(TaskId, Attempt)>,
    },
    /// Stops a run on its worker.
    Stop {
        /// Worker that runs it.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// Reason to report.
        reason: StopReason,
    },
    /// Draws fuel of a tenant from the store.
    Draw {
        /// The tenant.
        tenant: TenantId,
        /// Amount.
        fuel: u64,
    },
    /// Returns fuel of a tenant to the store.
    GiveBack {
        /// The tenant.
        tenant: TenantId,
        /// Amount.
        fuel: u64,
    },
    /// Notifies the worker that an attempt is recorded or no longer leased by this dispatcher, and discards the attempt's
    /// data.
    Acknowledge {
        /// Worker that ran it.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// Answers a pull worker's request with nothing, since its credit expired unused.
    NothingYet {
        /// The worker.
        worker: WorkerId,
        /// Number of expired credits.
        slots: u32,
    },
    /// Disconnects a worker that was silent for too long; it must join again.
    GaveUp {
        /// The worker.
        worker: WorkerId,
    },
    /// Requests [`Event::Tick`] at the given time or later.
    WakeAt {
        /// The time.
        at: Millis,
    },
    /// The drain that [`Event::Drain`] started is complete: nothing is leased and no answer is pending.
    Drained,
}
