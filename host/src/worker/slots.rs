//! Slots: threads that run one guest call at a time. Guests run on threads of their own and not on the async ones,
//! because one bulk operation over a large memory cannot be interrupted for tens of milliseconds.
//!
//! Two queues feed the slots, attempts and sync invokes, and a slot takes from them in turn: neither can starve the
//! other. Knows neither the store nor the dispatcher.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use fusebox_core::{
    function::{Grants, RunLimits},
    id::{Attempt, ModuleDigest, TaskId, WorkerId},
    limits::SLOT_STACK_BYTES,
    name::{FunctionName, TenantId},
    outcome::{Outcome, Receipt, StopReason},
    time::Millis,
    wire::End,
};
use fusebox_sandbox::{Call, CallContext, Outside, Run, StopFlag};

use super::runner::{Attempted, Runner};
use crate::{clock::Clock, telemetry::metrics::Metrics};

/// One call to run.
pub struct Job {
    /// The module to run.
    pub module: ModuleDigest,
    /// The task; `None` for a sync invoke.
    pub task: Option<TaskId>,
    /// Which attempt this is.
    pub attempt: Attempt,
    /// Whose function runs.
    pub tenant: TenantId,
    /// The function's name.
    pub function: FunctionName,
    /// What the run may use.
    pub limits: RunLimits,
    /// What it may ask the host for.
    pub grants: Grants,
    /// The input.
    pub input: Bytes,
    /// Ends the run from outside; where it is raised before the start, nothing runs.
    pub stop: StopFlag,
    /// When the task was accepted or the invoke arrived: the receipt's queue wait counts from there.
    pub accepted_at: Millis,
}

/// Takes a job's end, on the slot's thread: it must not block.
pub type OnDone = Box<dyn FnOnce(Done) + Send>;

/// The end of a job.
pub enum Done {
    /// The run is over.
    Ran(Ran),
    /// There is no compiled artifact of the module: prepare it and submit the job again.
    ModuleMissing(Job),
    /// The process that ran it is gone; another attempt may do better.
    Lost(String),
    /// The sandbox cannot do its work.
    Broken(String),
}

/// A run that is over, with its receipt.
pub struct Ran {
    /// How it ended.
    pub outcome: Outcome,
    /// What it used.
    pub receipt: Receipt,
    /// The log kept.
    pub log: Bytes,
}

/// Where a job waits for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Attempts of tasks; bounded by the credit that the dispatcher holds.
    Attempts,
    /// Sync invokes; bounded by [`fusebox_core::limits::INVOKE_WAITERS_MAX`].
    Invokes,
}

/// Threads that run jobs. Dropping it ends each after the job it runs, and waits for none: where a host must end at once,
/// a guest's wall time is too long.
pub struct Slots {
    shared: Arc<Shared>,
    count: u32,
}

struct Shared {
    runner: Arc<dyn Runner>,
    outside: Arc<dyn Outside>,
    worker: WorkerId,
    clock: Clock,
    metrics: Arc<Metrics>,
    queues: Mutex<Queues>,
    wake: Condvar,
}

struct Waiting {
    job: Job,
    done: OnDone,
}

#[derive(Default)]
struct Queues {
    attempts: VecDeque<Waiting>,
    invokes: VecDeque<Waiting>,
    /// Which queue goes first next time, so that they take turns.
    invokes_next: bool,
    /// Slots asleep that nobody has called yet: spares a system call where there is none. One too many after a wake-up that
    /// nobody called for, which costs a call in vain.
    idle: usize,
    /// A slot was called and none has looked since. It calls the next one where more waits than it takes: a burst costs
    /// its sender one system call and not one a job.
    called: bool,
    closed: bool,
}

impl Ran {
    /// What is reported of the run.
    #[must_use]
    pub fn into_end(self) -> End {
        match self.outcome {
            Outcome::Stopped(StopReason::Interrupted) => End::Interrupted,
            outcome => {
                let (failure, output) = outcome.into_parts();
                End::Ended { failure, output, log: self.log, receipt: self.receipt }
            }
        }
    }
}

impl Slots {
    /// Starts `count` slots, whose runs ask `outside`.
    ///
    /// # Errors
    /// Where the system has no room for the threads.
    pub fn start(
        count: u32,
        runner: Arc<dyn Runner>,
        outside: Arc<dyn Outside>,
        worker: WorkerId,
        clock: &Clock,
        metrics: &Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            runner,
            outside,
            worker,
            clock: clock.clone(),
            metrics: metrics.clone(),
            queues: Mutex::default(),
            wake: Condvar::new(),
        });
        for number in 0..count {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name(format!("slot-{number}"))
                .stack_size(SLOT_STACK_BYTES)
                .spawn(move || shared.run_slot())?;
        }
        Ok(Self { shared, count })
    }

    /// Queues a job unless `lane` holds `waiting_max` jobs already. Whether it was queued.
    #[must_use]
    pub fn submit(&self, lane: Lane, waiting_max: usize, job: Job, done: OnDone) -> bool {
        let mut queues = self.shared.lock();
        let queue = queues.lane(lane);
        if queue.len() >= waiting_max {
            return false;
        }
        queue.push_back(Waiting { job, done });
        self.shared.call(queues);
        true
    }

    /// Takes the attempts that wait out of their lane and ends them as interrupted, so that a drain can give them back.
    pub fn interrupt_waiting_attempts(&self) {
        let waiting = std::mem::take(&mut self.shared.lock().attempts);
        for Waiting { job, done } in waiting {
            job.stop.raise(StopReason::Interrupted);
            done(self.shared.run(job));
        }
    }

    /// Runs that may go on at once.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Who these slots are.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        self.shared.worker
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

impl Queues {
    fn lane(&mut self, lane: Lane) -> &mut VecDeque<Waiting> {
        match lane {
            Lane::Attempts => &mut self.attempts,
            Lane::Invokes => &mut self.invokes,
        }
    }

    fn next(&mut self) -> Option<Waiting> {
        let (first, second) = match self.invokes_next {
            true => (&mut self.invokes, &mut self.attempts),
            false => (&mut self.attempts, &mut self.invokes),
        };
        self.invokes_next = !self.invokes_next;
        first.pop_front().or_else(|| second.pop_front())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        // The queues are sound at every moment a holder could panic, so a poisoned lock is still a good one.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_slot(&self) {
        while let Some(Waiting { job, done }) = self.take() {
            self.metrics.slot_busy();
            done(self.run(job));
            self.metrics.slot_free();
        }
    }

    /// The next job; `None` when the slots are closed and nothing waits.
    fn take(&self) -> Option<Waiting> {
        let mut queues = self.lock();
        loop {
            queues.called = false;
            if let Some(job) = queues.next() {
                self.call(queues);
                return Some(job);
            }
            if queues.closed {
                return None;
            }
            queues.idle += 1;
            queues = self.wake.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Wakes a slot where jobs wait and one sleeps, unless one that was called is on its way.
    fn call(&self, mut queues: MutexGuard<'_, Queues>) {
        let waiting = queues.attempts.len() + queues.invokes.len();
        if waiting > 0 && queues.idle > 0 && !queues.called {
            queues.called = true;
            queues.idle -= 1;
            drop(queues);
            self.wake.notify_one();
        }
    }

    fn run(&self, job: Job) -> Done {
        let started_at = self.clock.now();
        let queue_us = started_at.since(job.accepted_at).saturating_mul(1_000);
        if let Some(reason) = job.stop.reason() {
            let receipt = Receipt { queue_us, attempt: job.attempt, ..Receipt::default() };
            return Done::Ran(Ran { outcome: Outcome::Stopped(reason), receipt, log: Bytes::new() });
        }
        let call = Call {
            input: job.input.clone(),
            limits: job.limits,
            context: CallContext {
                task: job.task,
                attempt: job.attempt,
                tenant: job.tenant.clone(),
                function: job.function.clone(),
                deadline: started_at.plus(job.limits.wall_ms.into()),
                grants: job.grants.clone(),
            },
            stop: job.stop.clone(),
            outside: Some(self.outside.clone()),
        };
        let (Run { outcome, usage, log }, load_us) = match self.runner.run(&job.module, call) {
            Attempted::Ran { run, load_us } => (run, load_us),
            Attempted::Missing => return Done::ModuleMissing(job),
            Attempted::Lost(reason) => return Done::Lost(reason),
            Attempted::Broken(reason) => return Done::Broken(reason),
        };
        let output_bytes = match &outcome {
            Outcome::Returned(output) | Outcome::GuestError { error: output, .. } => output.len() as u64,
            _ => 0,
        };
        let receipt = Receipt {
            fuel: usage.fuel,
            wall_us: usage.wall_us,
            cpu_us: usage.cpu_us,
            queue_us,
            load_us,
            instantiate_us: usage.instantiate_us,
            memory_bytes: usage.memory_bytes,
            output_bytes,
            log_bytes: log.len() as u64,
            attempt: job.attempt,
            worker: job.task.map(|_| self.worker),
        };
        Done::Ran(Ran { outcome, receipt, log })
    }
}

#[cfg(test)]
pub(super) mod tests;
