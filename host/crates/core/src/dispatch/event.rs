//! The dispatcher's whole vocabulary: what it may be told, and what it may ask for.
//!
//! The driver performs effects in their order. What comes of an effect comes back as an event, in its own time:
//!
//! | effect | answered by |
//! |---|---|
//! | [`Effect::Lease`] | [`Event::Leased`] or [`Event::LeaseFailed`], once each |
//! | [`Effect::Assign`] | [`Event::Finished`], or the worker is lost |
//! | [`Effect::Save`] | [`Event::Saved`] or [`Event::SaveFailed`], once each |
//! | [`Effect::Draw`] | [`Event::Drawn`], once |
//! | [`Effect::Beat`] | [`Event::LeaseLost`] for each lease that is lost |
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

/// Names one lease step on its way to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// How workers get their attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Slots in the dispatcher's process.
    Local,
    /// Workers are sent attempts as they have room for them.
    Push,
    /// Workers ask for attempts.
    Pull,
}

impl Mode {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }
}

/// The expiry of credit that lasts until it is spent, and does not come back.
pub const UNTIL_SPENT: Millis = Millis(Millis::NEVER.0 - 1);

/// The room of a worker: its slots, its capacity, and its extra slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Runs that go on at a time.
    pub slots: u32,
    /// Attempts that it can hold, waiting and running; it is granted no more, whatever it says later. Above
    /// [`crate::limits::WORKER_CAPACITY_MAX`] it counts as that.
    pub capacity: u32,
    /// It has one slot more, which serves only tenants that it holds nothing of: one attempt for it is sent beyond what it
    /// has granted.
    pub has_extra: bool,
}

/// Fuel that the runs of a lease step reserve: their limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    /// All of them together.
    pub fuel: u64,
    /// The one that reserves the most.
    pub most: u64,
}

/// What a run cost its tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Time that its slot was held in microseconds, as far as is known: a run that did not end tells 0.
    pub slot_us: u64,
    /// What it left of the fuel that it had reserved, where it ended normally. What a trap has burnt is not known.
    pub fuel_left: u64,
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// So many tasks of a tenant are ready in the store. Replaces what was known, so it must come in the order in which
    /// it was read.
    Backlog {
        /// Whose.
        tenant: TenantId,
        /// How many.
        ready: u64,
    },
    /// So many more tasks of a tenant have become ready. May be said of tasks that someone else leases.
    MoreReady {
        /// Whose.
        tenant: TenantId,
        /// How many.
        more: u64,
    },
    /// What a tenant may have under way here from now on. Without it there is no bound.
    Quota {
        /// Whose.
        tenant: TenantId,
        /// Leased attempts.
        running_max: u64,
        /// Fuel that its runs may reserve; [`crate::quota::UNLIMITED`] needs no draws.
        fuel_per_minute: u64,
    },
    /// Fuel that the store gave; 0 where it has none, or did not answer.
    Drawn {
        /// Whose.
        tenant: TenantId,
        /// How much.
        fuel: u64,
    },
    /// A worker is there, or is there again. Its silence is noticed from now on.
    WorkerJoined {
        /// The worker.
        worker: WorkerId,
        /// Its room.
        room: Room,
    },
    /// A worker may be sent this many attempts more, as far as its capacity goes. The first one makes the worker known.
    CreditGranted {
        /// The worker.
        worker: WorkerId,
        /// How many.
        slots: u32,
        /// Credit unused by then is void: a pull request's answer is due. [`UNTIL_SPENT`] for the others, who grant more
        /// as they have room.
        expires_at: Millis,
    },
    /// A worker is alive.
    Heartbeat {
        /// The worker.
        worker: WorkerId,
    },
    /// The leases of a request are saved. Fewer than asked for means that no more are ready.
    Leased {
        /// Which request.
        request: RequestId,
        /// The attempts.
        attempts: Vec<(TaskId, Attempt)>,
        /// The fuel that their runs reserve.
        reserved: Reserved,
    },
    /// The store did not answer a request.
    LeaseFailed {
        /// Which request.
        request: RequestId,
    },
    /// A worker reports on an attempt. Late, repeated and forged reports are harmless.
    Finished {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// How it is over.
        report: Report,
        /// What its tenant is charged.
        cost: Cost,
    },
    /// The store has recorded a verdict.
    Saved {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// What the store says.
        answer: Answer,
    },
    /// The store did not answer a save.
    SaveFailed {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// The store says that a lease is lost.
    LeaseLost {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// Someone cancelled the task; the store has recorded that already.
    CancelRequested {
        /// The task.
        task: TaskId,
    },
    /// A worker cannot be reached. Its credit is void; its attempts go on, and it may come back within
    /// [`crate::limits::WORKER_SILENCE_MS_MAX`] and be granted credit again.
    WorkerAway {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker is gone.
    WorkerLost {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker has said goodbye, or may work here no longer: what it holds is given back unspent.
    WorkerLeft {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker wants no more attempts.
    WorkerDrains {
        /// The worker.
        worker: WorkerId,
    },
    /// Lease nothing more; end when nothing is left.
    Drain,
    /// The time of a [`Effect::WakeAt`] has come.
    Tick,
}

/// How an attempt is over for its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The run ended; the driver holds what to record: of several reports, the first of the attempt's own worker.
    Ended,
    /// The run was stopped on purpose before it ended, or did not start: the attempt is unspent.
    Interrupted,
    /// The run was lost to a fault of the machinery: the attempt is spent.
    Lost,
}

/// What a store answers to a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The end is recorded, now or by an earlier save.
    Ended,
    /// The task waits for another attempt.
    Requeued,
    /// The attempt is not the current one; nothing changed.
    Stale,
}

/// What to record of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveVerdict {
    /// Its end, which the driver holds.
    End,
    /// It was lost: try again after this delay, if an attempt is left.
    Retry {
        /// The delay in milliseconds.
        delay_ms: u64,
    },
    /// It is given back unspent.
    Release,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Lease up to `count` attempts of `tenant` to `worker`, in the store.
    Lease {
        /// Names the request in the answer.
        request: RequestId,
        /// Whose tasks.
        tenant: TenantId,
        /// Who will run them.
        worker: WorkerId,
        /// How many.
        count: u32,
        /// It is one attempt for the worker's extra slot.
        extra: bool,
    },
    /// Send an attempt to its worker. Its lease is saved.
    Assign {
        /// Who runs it.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// It is for the worker's extra slot, and spends no credit.
        extra: bool,
    },
    /// Record a verdict in the store.
    Save {
        /// Who ran it.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// What to record.
        verdict: SaveVerdict,
    },
    /// Renew these leases in the store.
    Beat {
        /// The attempts.
        attempts: Vec<(TaskId, Attempt)>,
    },
    /// Tell a worker to end a run.
    Stop {
        /// Who runs it.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// Why.
        reason: StopReason,
    },
    /// Ask the store for fuel of a tenant.
    Draw {
        /// Whose.
        tenant: TenantId,
        /// How much.
        fuel: u64,
    },
    /// Give fuel of a tenant back to the store.
    GiveBack {
        /// Whose.
        tenant: TenantId,
        /// How much.
        fuel: u64,
    },
    /// The attempt is over and recorded, or is no longer ours: tell the worker, forget its bytes.
    Told {
        /// Who ran it.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// Credit of a pull worker expired unused: answer its request with nothing.
    NothingYet {
        /// The worker.
        worker: WorkerId,
        /// How much.
        slots: u32,
    },
    /// A worker was silent for too long: nothing more is expected of it, and it must join again.
    GaveUp {
        /// The worker.
        worker: WorkerId,
    },
    /// Send [`Event::Tick`] at this time.
    WakeAt {
        /// When.
        at: Millis,
    },
    /// After [`Event::Drain`]: nothing is leased any more, and nothing is on its way.
    Drained,
}
