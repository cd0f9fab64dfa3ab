//! Slots in this process as a worker: its credit, how an attempt becomes a job, how a job's end becomes a report.

use std::{sync::Arc, time::Instant};

use fusebox_core::{
    dispatch::Room,
    id::WorkerId,
    task::{Lease, TaskState},
    wire::{AttemptId, AttemptReport, End, HeldAttempt},
};
use fusebox_sandbox::StopFlag;
use tokio::sync::mpsc::UnboundedSender;

use super::missing::MissingModules;
use crate::{
    store::LeasedTask,
    worker::{
        appetite::Appetite,
        slots::{Done, Job, Lane, Slots},
    },
};

/// How many attempts the slots of this process may hold: what waits here waits behind each other, whoever's it is.
pub(super) struct LocalCredit {
    appetite: Appetite,
    slots: u32,
    /// Granted and not spent.
    asked: u32,
    /// Assigned and not reported on, on credit.
    open: u32,
    /// The same for the extra slot: one, or a few where one of them was given up.
    extras: Vec<AttemptId>,
}

impl LocalCredit {
    /// Nothing is granted yet.
    pub(super) fn new(slots: &Slots, now: Instant) -> Self {
        let slots = slots.count();
        Self { appetite: Appetite::local(slots, now), slots, asked: 0, open: 0, extras: Vec::new() }
    }

    /// The room of the slots.
    pub(super) fn room(&self) -> Room {
        Room { slots: self.slots, capacity: self.appetite.most(), has_extra: true }
    }

    /// An attempt is assigned.
    pub(super) fn assigned(&mut self, id: AttemptId, extra: bool) {
        if extra {
            return self.extras.push(id);
        }
        self.asked = self.asked.saturating_sub(1);
        self.open += 1;
    }

    /// An attempt is reported on.
    pub(super) fn reported(&mut self, id: AttemptId) {
        match self.extras.iter().position(|extra| *extra == id) {
            Some(at) => drop(self.extras.swap_remove(at)),
            None => self.open = self.open.saturating_sub(1),
        }
    }

    /// Time has passed.
    pub(super) fn look(&mut self, now: Instant) {
        if self.open > 0 {
            self.appetite.holds(now);
        }
    }

    /// So many have ended; gives what is to be granted now.
    pub(super) fn more(&mut self, ended: usize, now: Instant) -> u32 {
        self.appetite.ended(ended, now);
        let more = self.appetite.more(self.open, self.asked);
        self.asked = self.asked.saturating_add(more);
        more
    }
}

/// The slots of this process, as the driver sees them.
#[derive(Clone)]
pub(super) struct LocalWorker {
    pub(super) slots: Arc<Slots>,
    pub(super) missing: MissingModules,
    /// Unbounded in type, bounded by the credit: each attempt sends one report.
    pub(super) reports: UnboundedSender<AttemptReport>,
}

impl LocalWorker {
    pub(super) fn id(&self) -> WorkerId {
        self.slots.worker()
    }

    /// Gives back what waits for a slot: in a drain only what runs may end.
    pub(super) fn give_back_waiting(&self) {
        self.slots.interrupt_waiting_attempts();
    }

    /// Starts an attempt; its report comes later.
    pub(super) fn assign(&self, leased: LeasedTask, stop: StopFlag) {
        let TaskState::Running(Lease { token, .. }) = leased.task.state else { return };
        let (task, attempt, waited_ms) = (leased.task.id, leased.task.attempt, leased.task.waited_ms());
        let job = Job {
            module: leased.module,
            task: Some(task),
            attempt,
            tenant: leased.task.tenant,
            function: leased.function_name,
            limits: leased.task.limits,
            grants: leased.grants,
            input: leased.input,
            stop,
            waited_ms,
            came_at: Instant::now(),
        };
        self.submit(job, HeldAttempt { id: AttemptId { task, attempt }, token }, true);
    }

    fn submit(&self, job: Job, held: HeldAttempt, may_prepare: bool) {
        let worker = self.clone();
        let runtime = tokio::runtime::Handle::current();
        let done = Box::new(move |done: Done| match done {
            Done::Ran(ran) => worker.report(held, ran.receipt.cpu_us, ran.into_end()),
            Done::ModuleMissing(job) if may_prepare => {
                runtime.spawn(async move { worker.prepare_and_submit(job, held).await });
            }
            Done::ModuleMissing(_) => worker.broken(held, "its compiled module vanished".to_owned()),
            Done::Lost(reason) | Done::Broken(reason) => worker.broken(held, reason),
        });
        // The dispatcher never assigns more than the credit, so this lane has no other bound.
        let _ = self.slots.submit(Lane::Attempts, job, done);
    }

    async fn prepare_and_submit(&self, job: Job, held: HeldAttempt) {
        match self.missing.prepare(Some(job.tenant.clone()), &job.module).await {
            Ok(()) => self.submit(job, held, false),
            Err(reason) => self.broken(held, reason),
        }
    }

    fn broken(&self, held: HeldAttempt, reason: String) {
        self.report(held, 0, End::Broken { reason });
    }

    fn report(&self, held: HeldAttempt, cpu_us: u64, end: End) {
        // The driver is gone only when the process ends: the lease lapses then.
        let _ = self.reports.send(AttemptReport { held, cpu_us, end });
    }
}
