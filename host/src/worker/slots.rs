//! Slots: threads that run one guest call at a time. Guests have threads of their own rather than the runtime's, since
//! one bulk operation over a large memory cannot be interrupted for tens of milliseconds.
//!
//! Two lanes feed the slots: attempts and synchronous invocations. A slot alternates between lanes, and between tenants
//! within a lane, so that none can starve another. An extra slot beyond the configured number runs only jobs of tenants
//! that have none running, and only while all others are busy: long runs of one tenant cannot block the next one, and a
//! lone tenant gets no more than the configured slots. Knows neither the store nor the dispatcher.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use fusebox_core::{
    id::{Attempt, TaskId, WorkerId},
    invocation::Invocation,
    limits::SLOT_STACK_BYTES,
    name::TenantId,
    outcome::{Ended, Outcome, Receipt, StopReason, Traces},
    wire::AttemptId,
};
use fusebox_sandbox::{Call, Exchange, HostCalls, Run, StopFlag};

use super::{
    queues::{Full, Queues},
    runner::{NotRun, Runner},
};
use crate::telemetry::metrics::Metrics;
use fusebox_system::clock::Clock;

/// Invocation that waits for a slot.
#[derive(Debug)]
pub struct Job {
    /// The run.
    pub invocation: Invocation,
    /// Task; `None` for a synchronous invocation.
    pub task: Option<TaskId>,
    /// Number of the attempt.
    pub attempt: Attempt,
    /// Stops the run; if raised before the start, nothing runs.
    pub stop: StopFlag,
    /// Time of its arrival, from which the rest of the receipt's queue time is measured.
    pub came_at: Instant,
    /// Exchange with the client that waits for the response of an HTTP request.
    pub exchange: Option<Exchange>,
}

impl Job {
    /// Returns a job that arrives now, of an attempt of a task.
    #[must_use]
    pub fn attempt(AttemptId { task, attempt }: AttemptId, invocation: Invocation, stop: StopFlag) -> Self {
        Self { invocation, task: Some(task), attempt, stop, came_at: Instant::now(), exchange: None }
    }

    /// Returns a job that arrives now, of a synchronous invocation.
    #[must_use]
    pub fn invoke(invocation: Invocation, stop: StopFlag, exchange: Option<Exchange>) -> Self {
        Self { invocation, task: None, attempt: 1, stop, came_at: Instant::now(), exchange }
    }
}

/// Result of a job.
pub type Done = Result<Ended, NotRun<Job>>;
/// Called with a job's result on the slot's thread; must not block.
pub type OnDone = Box<dyn FnOnce(Done) + Send>;

/// Lane in which a job waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Attempts of tasks; bounded by the dispatcher's credit.
    Attempts,
    /// Synchronous invocations; bounded by [`fusebox_core::limits::INVOKE_WAITERS_MAX`] in all and
    /// [`fusebox_core::limits::INVOKE_WAITERS_PER_TENANT_MAX`] per tenant.
    Invokes,
}

/// Slots in addition to `-w`, reserved for tenants with nothing running. Threads and memory are sized for these too.
pub const EXTRA_SLOTS: u32 = 1;

/// Threads that run jobs. Dropping it ends each thread after its current job, but waits for none: when a host must end
/// at once, a guest's wall time is too long.
pub struct Slots {
    shared: Arc<Shared>,
}

struct Shared {
    runner: Arc<dyn Runner>,
    host_calls: Arc<dyn HostCalls>,
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
    /// Number of busy slots, without the extra one.
    busy: u32,
    /// Number of sleeping slots that have not been notified; avoids a system call when there is none. One too high
    /// after a spurious wake-up, which costs a needless notification.
    idle: u32,
    /// True while a notified slot has not looked yet. It notifies the next one if more jobs wait than it takes, so that
    /// a burst costs its sender one system call rather than one per job.
    called: bool,
    /// True if the extra slot sleeps and has not been notified.
    extra_idle: bool,
    closed: bool,
}

/// Kind of slot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seat {
    Ordinary,
    Extra,
}

impl Slots {
    /// Starts `count` slots and the extra one; host calls of their runs go to `host_calls`.
    ///
    /// # Errors
    /// Fails if the system cannot start the threads.
    pub fn start(
        count: u32,
        runner: Arc<dyn Runner>,
        host_calls: Arc<dyn HostCalls>,
        worker: WorkerId,
        clock: &Clock,
        metrics: &Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            runner,
            host_calls,
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

    /// Adds a job to the end of its tenant's queue in `lane`.
    ///
    /// # Errors
    /// [`Full`] if the lane takes no more jobs of this tenant; the job is dropped.
    pub fn submit(&self, lane: Lane, job: Job, done: OnDone) -> Result<(), Full> {
        // Clones a reference count, since the job itself is moved into the queue.
        let tenant = job.invocation.tenant.clone();
        let mut state = self.shared.lock();
        state.queues.push(lane, &tenant, Waiting { job, done })?;
        self.shared.call(state);
        Ok(())
    }

    /// Removes waiting attempts from their lane and ends them as interrupted, so that a drain can return them.
    pub fn interrupt_waiting_attempts(&self) {
        let waiting = self.shared.lock().queues.take_all(Lane::Attempts);
        for Waiting { job, done } in waiting {
            job.stop.raise(StopReason::Interrupted);
            done(self.shared.run(job));
        }
    }

    /// Returns the number of slots, without the extra one.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.shared.count
    }

    /// Returns the worker's id.
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
    /// Removes the next job for a slot, with its tenant. The extra slot gets one only while all others are busy.
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
        // The state is consistent wherever a holder could panic, so poisoning can be ignored.
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

    /// Returns the next job, after recording the end of one of tenant `before`; `None` once the slots are closed and
    /// nothing waits for this one.
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

    /// Notifies a sleeping slot if jobs wait, unless a notified one is on its way; the extra slot if all others are
    /// busy and it may take one of the jobs.
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
        let Job { invocation, task, attempt, stop, came_at, exchange } = job;
        let waited_here = u64::try_from(came_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        let queue_us = invocation.waited_ms.saturating_mul(1_000).saturating_add(waited_here);
        if let Some(reason) = stop.reason() {
            let receipt = Receipt { queue_us, attempt, ..Receipt::default() };
            return Ok(Ended::new(Outcome::Stopped(reason), Traces::default(), Bytes::new(), receipt));
        }
        let deadline = self.clock.now().plus(invocation.limits.wall_ms.into());
        let host_calls = Some(self.host_calls.clone());
        let call = Call { invocation, task, attempt, deadline, stop, host_calls, exchange };
        let Run { outcome, traces, receipt, log } = self.runner.run(call).map_err(|error| match error {
            NotRun::ModuleMissing(call) => {
                let Call { invocation, task, attempt, stop, exchange, .. } = *call;
                NotRun::ModuleMissing(Box::new(Job { invocation, task, attempt, stop, came_at, exchange }))
            }
            NotRun::Lost(reason) => NotRun::Lost(reason),
            NotRun::Broken(reason) => NotRun::Broken(reason),
        })?;
        let output_bytes = match &outcome {
            Outcome::Returned(output) | Outcome::GuestError { error: output, .. } => output.len() as u64,
            _ => 0,
        };
        // Of a response in pieces, the run knows the size.
        let output_bytes = output_bytes.max(receipt.output_bytes);
        let (log_bytes, worker) = (log.len() as u64, task.map(|_| self.worker));
        let receipt = Receipt { queue_us, output_bytes, log_bytes, attempt, worker, ..receipt };
        Ok(Ended::new(outcome, traces, log, receipt))
    }
}

#[cfg(test)]
pub(super) mod tests;
