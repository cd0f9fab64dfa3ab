//! Slots in this process as a worker: its credit, how an attempt becomes a job, how a job's end becomes a report.

use std::sync::Arc;

use bytes::Bytes;
use fusebox_core::{
    id::{Attempt, TaskId, WorkerId},
    outcome::{Failure, Outcome, StopReason},
};
use fusebox_sandbox::StopFlag;
use tokio::sync::mpsc::UnboundedSender;

use super::missing::MissingModules;
use crate::{
    store::{LeasedTask, Verdict},
    worker::slots::{Done, Job, Lane, Ran, Slots},
};

/// Attempts leased ahead for each slot, so that a slot need not wait for the store between two short runs. With a
/// durable step of a few milliseconds this feeds several thousand runs a second and slot.
const AHEAD_PER_SLOT: u32 = 32;

/// A report of a slot on an attempt.
pub(super) struct Report {
    pub(super) task: TaskId,
    pub(super) attempt: Attempt,
    /// CPU time of the run in microseconds: what the tenant is charged in fairness.
    pub(super) cpu_us: u64,
    pub(super) end: End,
}

/// How an attempt is over for the dispatcher.
pub(super) enum End {
    /// The run ended by itself or by its fuse: record this.
    Ended(Box<Verdict>),
    /// The run was stopped before it ended, or never started.
    Interrupted,
    /// The host could not run it: another attempt may do better.
    Broken,
}

/// The slots of this process, as the driver sees them.
#[derive(Clone)]
pub(super) struct LocalWorker {
    pub(super) slots: Arc<Slots>,
    pub(super) missing: MissingModules,
    /// Unbounded in type, bounded by the credit: each attempt sends one report.
    pub(super) reports: UnboundedSender<Report>,
}

impl LocalWorker {
    pub(super) fn id(&self) -> WorkerId {
        self.slots.worker()
    }

    /// How many attempts it may hold.
    pub(super) fn credit(&self) -> u32 {
        self.slots.count().saturating_mul(AHEAD_PER_SLOT)
    }

    /// Gives back what waits for a slot: in a drain only what runs may end.
    pub(super) fn give_back_waiting(&self) {
        self.slots.interrupt_waiting_attempts();
    }

    /// Starts an attempt; its report comes later.
    pub(super) fn assign(&self, leased: LeasedTask, stop: StopFlag) {
        let (task, attempt) = (leased.task.id, leased.task.attempt);
        let job = Job {
            module: leased.module,
            task: Some(task),
            attempt,
            tenant: leased.task.tenant,
            function: leased.function_name,
            limits: leased.task.limits,
            input: leased.input,
            stop,
            accepted_at: leased.task.created_at,
        };
        self.submit(job, task, attempt, true);
    }

    fn submit(&self, job: Job, task: TaskId, attempt: Attempt, may_prepare: bool) {
        let worker = self.clone();
        let runtime = tokio::runtime::Handle::current();
        let done = Box::new(move |done: Done| match done {
            Done::Ran(ran) => worker.report(task, attempt, ran),
            Done::ModuleMissing(job) if may_prepare => {
                runtime.spawn(async move { worker.prepare_and_submit(job, task, attempt).await });
            }
            Done::ModuleMissing(_) => worker.broken(task, attempt, "its compiled module vanished"),
            Done::Broken(reason) => worker.broken(task, attempt, &reason),
        });
        // The dispatcher never assigns more than the credit, so this lane has no other bound.
        let _ = self.slots.submit(Lane::Attempts, usize::MAX, job, done);
    }

    async fn prepare_and_submit(&self, job: Job, task: TaskId, attempt: Attempt) {
        match self.missing.prepare(&job.module).await {
            Ok(()) => self.submit(job, task, attempt, false),
            Err(reason) => self.broken(task, attempt, &reason),
        }
    }

    fn broken(&self, task: TaskId, attempt: Attempt, reason: &str) {
        tracing::error!(%task, attempt, reason, "an attempt could not be run");
        self.send(Report { task, attempt, cpu_us: 0, end: End::Broken });
    }

    fn report(&self, task: TaskId, attempt: Attempt, ran: Ran) {
        let Ran { outcome, receipt, log } = ran;
        let cpu_us = receipt.cpu_us;
        let end = match outcome {
            Outcome::Stopped(StopReason::Interrupted) => End::Interrupted,
            outcome => {
                let (failure, output): (Option<Failure>, Bytes) = outcome.into_parts();
                End::Ended(Box::new(Verdict::End { failure, output, log, receipt }))
            }
        };
        self.send(Report { task, attempt, cpu_us, end });
    }

    fn send(&self, report: Report) {
        // The driver is gone only when the process ends: the lease lapses then.
        let _ = self.reports.send(report);
    }
}
