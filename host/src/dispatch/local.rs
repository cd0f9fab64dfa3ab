//! Slots of this process as a worker: their credit, and the conversion of attempts to jobs and of results to reports.

use std::{sync::Arc, time::Instant};

use fusebox_core::{
    dispatch::Room,
    id::WorkerId,
    invocation::Invocation,
    time::Millis,
    wire::{AttemptId, AttemptReport, End, HeldAttempt},
};
use fusebox_sandbox::StopFlag;
use tokio::sync::mpsc::UnboundedSender;

use super::missing::MissingModules;
use crate::worker::{
    prefetch::Prefetch,
    runner::NotRun,
    slots::{Done, Job, Lane, Slots},
};

/// Credit of the slots of this process. Kept small, since attempts that wait here wait behind each other, whatever
/// their tenant.
pub(super) struct LocalCredit {
    prefetch: Prefetch,
    slots: u32,
    /// Granted and not spent.
    asked: u32,
    /// Assigned on credit and not reported on.
    open: u32,
    /// The same for the extra slot: one, or a few if it was abandoned.
    extras: Vec<AttemptId>,
}

impl LocalCredit {
    /// Starts without granted credit.
    pub(super) fn new(slots: &Slots, now: Instant) -> Self {
        let slots = slots.count();
        Self { prefetch: Prefetch::local(slots, now), slots, asked: 0, open: 0, extras: Vec::new() }
    }

    /// Returns the room of the slots.
    pub(super) fn room(&self) -> Room {
        Room { slots: self.slots, capacity: self.prefetch.most(), has_extra: true }
    }

    /// Records an assignment.
    pub(super) fn assigned(&mut self, id: AttemptId, extra: bool) {
        if extra {
            return self.extras.push(id);
        }
        self.asked = self.asked.saturating_sub(1);
        self.open += 1;
    }

    /// Records a report.
    pub(super) fn reported(&mut self, id: AttemptId) {
        match self.extras.iter().position(|extra| *extra == id) {
            Some(at) => drop(self.extras.swap_remove(at)),
            None => self.open = self.open.saturating_sub(1),
        }
    }

    /// Records that the slots have been holding attempts until now.
    pub(super) fn look(&mut self, now: Instant) {
        if self.open > 0 {
            self.prefetch.holds(now);
        }
    }

    /// Records ended attempts, and returns the credit to grant now.
    pub(super) fn more(&mut self, ended: usize, now: Instant) -> u32 {
        self.prefetch.ended(ended, now);
        let more = self.prefetch.more(self.open, self.asked);
        self.asked = self.asked.saturating_add(more);
        more
    }
}

/// State of the slots of this process.
pub(super) struct Local {
    pub(super) worker: LocalWorker,
    pub(super) credit: LocalCredit,
    /// Number of attempts that they have ended.
    pub(super) ended: u64,
    pub(super) joined_at: Millis,
}

impl Local {
    /// Starts with nothing granted and nothing ended.
    pub(super) fn new(worker: LocalWorker, joined_at: Millis) -> Self {
        let credit = LocalCredit::new(&worker.slots, Instant::now());
        Self { worker, credit, ended: 0, joined_at }
    }
}

/// Slots of this process, as the driver uses them.
#[derive(Clone)]
pub(super) struct LocalWorker {
    pub(super) slots: Arc<Slots>,
    pub(super) missing: MissingModules,
    /// Unbounded in type, but bounded by the credit: each attempt sends one report.
    pub(super) reports: UnboundedSender<AttemptReport>,
}

impl LocalWorker {
    pub(super) fn id(&self) -> WorkerId {
        self.slots.worker()
    }

    /// Returns attempts that wait for a slot; a drain lets only running ones end.
    pub(super) fn give_back_waiting(&self) {
        self.slots.interrupt_waiting_attempts();
    }

    /// Starts an attempt; its report follows.
    pub(super) fn assign(&self, held: HeldAttempt, invocation: Invocation, stop: StopFlag) {
        self.submit(Job::attempt(held.id, invocation, stop), held, true);
    }

    fn submit(&self, job: Job, held: HeldAttempt, may_prepare: bool) {
        let worker = self.clone();
        let runtime = tokio::runtime::Handle::current();
        let done = Box::new(move |done: Done| match done {
            Ok(ended) => worker.report(held, ended.receipt.cpu_us, ended.into()),
            Err(NotRun::ModuleMissing(job)) if may_prepare => {
                runtime.spawn(async move { worker.prepare_and_submit(*job, held).await });
            }
            Err(NotRun::ModuleMissing(_)) => {
                worker.broken(held, "its compiled module or its files are missing".to_owned())
            }
            Err(NotRun::Lost(reason) | NotRun::Broken(reason)) => worker.broken(held, reason),
        });
        // The credit already bounds this lane.
        let _ = self.slots.submit(Lane::Attempts, job, done);
    }

    async fn prepare_and_submit(&self, job: Job, held: HeldAttempt) {
        match self.missing.provide(&job.invocation).await {
            Ok(()) => self.submit(job, held, false),
            Err(reason) => self.broken(held, reason),
        }
    }

    fn broken(&self, held: HeldAttempt, reason: String) {
        self.report(held, 0, End::Broken { reason });
    }

    fn report(&self, held: HeldAttempt, cpu_us: u64, end: End) {
        // The driver is gone only when the process ends; the lease then lapses.
        let _ = self.reports.send(AttemptReport { held, cpu_us, end });
    }
}
