//! Slots: threads that run one guest call at a time. Guests run on threads of their own and not on the async ones,
//! because one bulk operation over a large memory cannot be interrupted for tens of milliseconds.
//!
//! Two lanes feed the slots, attempts and sync invokes, and a slot takes from them in turn, and in each from tenants in
//! turn: none can starve another. One slot more than was asked for, the extra slot, runs jobs of tenants that have none
//! running, and only while all others are busy: long runs of one tenant cannot keep the next one waiting, and a tenant that
//! is alone has no more than its slots. Knows neither the store nor the dispatcher.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use fusebox_core::{
    function::{Grants, RunLimits},
    id::{Attempt, ModuleDigest, TaskId, WorkerId},
    limits::SLOT_STACK_BYTES,
    name::{FunctionName, TenantId},
    outcome::{Outcome, Receipt, StopReason},
    wire::End,
};
use fusebox_sandbox::{Call, CallContext, HostCalls, Run, StopFlag};

use super::{
    queues::{Full, Queues},
    runner::{Attempted, Runner},
};
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
    /// How long it had waited before it came here, in milliseconds, by the clock of who says so.
    pub waited_ms: u64,
    /// When it came here: the rest of the receipt's queue wait.
    pub came_at: Instant,
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
    /// Sync invokes; bounded by [`fusebox_core::limits::INVOKE_WAITERS_MAX`], and by
    /// [`fusebox_core::limits::INVOKE_WAITERS_PER_TENANT_MAX`] for each tenant.
    Invokes,
}

/// Slots beyond `-w`, which only tenants with nothing running may take. Threads and memory are reserved for these too.
pub const EXTRA_SLOTS: u32 = 1;

/// Threads that run jobs. Dropping it ends each after the job it runs, and waits for none: where a host must end at once,
/// a guest's wall time is too long.
pub struct Slots {
    shared: Arc<Shared>,
}

struct Shared {
    runner: Arc<dyn Runner>,
    outside: Arc<dyn HostCalls>,
    worker: WorkerId,
    clock: Clock,
    metrics: Arc<Metrics>,
    count: u32,
    state: Mutex<State>,
    wake: Condvar,
    wake_extra: Condvar,
}

struct Waiting {
    job: Job,
    done: OnDone,
}

#[derive(Default)]
struct State {
    queues: Queues<Waiting>,
    /// Slots that run a job, the extra one apart.
    busy: u32,
    /// Slots asleep that nobody has called yet: spares a system call where there is none. One too many after a wake-up that
    /// nobody called for, which costs a call in vain.
    idle: u32,
    /// A slot was called and none has looked since. It calls the next one where more waits than it takes: a burst costs
    /// its sender one system call and not one a job.
    called: bool,
    /// The extra slot sleeps, and nobody has called it.
    extra_idle: bool,
    closed: bool,
}

/// One of the slots, or the one beyond them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seat {
    Ordinary,
    Extra,
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
    /// Starts `count` slots and the extra one, whose runs ask `outside`.
    ///
    /// # Errors
    /// Where the system has no room for the threads.
    pub fn start(
        count: u32,
        runner: Arc<dyn Runner>,
        outside: Arc<dyn HostCalls>,
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
            count,
            state: Mutex::default(),
            wake: Condvar::new(),
            wake_extra: Condvar::new(),
        });
        for number in 0..count + EXTRA_SLOTS {
            let shared = shared.clone();
            let seat = if number < count { Seat::Ordinary } else { Seat::Extra };
            std::thread::Builder::new()
                .name(format!("slot-{number}"))
                .stack_size(SLOT_STACK_BYTES)
                .spawn(move || shared.run_slot(seat))?;
        }
        Ok(Self { shared })
    }

    /// Queues a job at the end of its tenant's line in `lane`.
    ///
    /// # Errors
    /// [`Full`] where the lane takes no more of this tenant; the job is dropped.
    pub fn submit(&self, lane: Lane, job: Job, done: OnDone) -> Result<(), Full> {
        // A reference count, so that the line is found without a borrow of what is put into it.
        let tenant = job.tenant.clone();
        let mut state = self.shared.lock();
        state.queues.push(lane, &tenant, Waiting { job, done })?;
        self.shared.call(state);
        Ok(())
    }

    /// Takes the attempts that wait out of their lane and ends them as interrupted, so that a drain can give them back.
    pub fn interrupt_waiting_attempts(&self) {
        let waiting = self.shared.lock().queues.take_all(Lane::Attempts);
        for Waiting { job, done } in waiting {
            job.stop.raise(StopReason::Interrupted);
            done(self.shared.run(job));
        }
    }

    /// Runs of one tenant that may go on at once.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.shared.count
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
        self.shared.wake_extra.notify_all();
    }
}

impl State {
    /// The next job for a seat, with its tenant. The extra one is for when all others are busy.
    fn next(&mut self, seat: Seat, count: u32) -> Option<(TenantId, Waiting)> {
        let job = match seat {
            Seat::Ordinary => self.queues.next(),
            Seat::Extra if self.busy == count => self.queues.next_of_stranger(),
            Seat::Extra => None,
        };
        self.busy += u32::from(job.is_some() && seat == Seat::Ordinary);
        job
    }

    fn ended(&mut self, seat: Seat, tenant: &TenantId) {
        self.busy -= u32::from(seat == Seat::Ordinary);
        self.queues.ended(tenant);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is sound at every moment a holder could panic, so a poisoned lock is still a good one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_slot(&self, seat: Seat) {
        let mut before = None;
        while let Some((tenant, Waiting { job, done })) = self.take(seat, before.take()) {
            self.metrics.slot_busy();
            done(self.run(job));
            self.metrics.slot_free();
            before = Some(tenant);
        }
    }

    /// The next job, after the end of one of tenant `before`; `None` when the slots are closed and nothing waits for this
    /// one.
    fn take(&self, seat: Seat, before: Option<TenantId>) -> Option<(TenantId, Waiting)> {
        let mut state = self.lock();
        if let Some(tenant) = before {
            state.ended(seat, &tenant);
        }
        loop {
            match seat {
                Seat::Ordinary => state.called = false,
                Seat::Extra => state.extra_idle = false,
            }
            if let Some(job) = state.next(seat, self.count) {
                self.call(state);
                return Some(job);
            }
            if state.closed {
                return None;
            }
            let wake = match seat {
                Seat::Ordinary => {
                    state.idle += 1;
                    &self.wake
                }
                Seat::Extra => {
                    state.extra_idle = true;
                    &self.wake_extra
                }
            };
            state = wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Wakes a slot where jobs wait and one sleeps, unless one that was called is on its way; the extra one where all others
    /// are busy and it may take one of the jobs.
    fn call(&self, mut state: MutexGuard<'_, State>) {
        if state.queues.is_empty() {
            return;
        }
        if state.idle > 0 && !state.called {
            state.called = true;
            state.idle -= 1;
            drop(state);
            self.wake.notify_one();
        } else if state.extra_idle && state.busy == self.count && state.queues.has_stranger() {
            state.extra_idle = false;
            drop(state);
            self.wake_extra.notify_one();
        }
    }

    fn run(&self, job: Job) -> Done {
        let waited_here = u64::try_from(job.came_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        let queue_us = job.waited_ms.saturating_mul(1_000).saturating_add(waited_here);
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
                deadline: self.clock.now().plus(job.limits.wall_ms.into()),
                grants: job.grants.clone(),
            },
            stop: job.stop.clone(),
            host_calls: Some(self.outside.clone()),
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
