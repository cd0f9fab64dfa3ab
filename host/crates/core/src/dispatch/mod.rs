//! Dispatcher state machine, the same for local, push and pull workers. Events and the current time go in, effects come
//! out. It performs no I/O, reads no clock, and holds only leased attempts, since the store owns the queue.
//!
//! | module | holds |
//! |---|---|
//! | [`event`] | events, effects and their data |
//! | `fair` | order of tenants by fair share |
//! | `allow` | remaining quota of concurrent attempts and fuel |
//! | `credit` | workers and their credit |
//! | `free` | index of workers by free credit |
//! | `extra` | index of workers with a free extra slot |
//! | `hold` | attempts sent to a worker, and the slots they occupy |
//! | `time` | slot time charged to a tenant |
//! | `lease` | leased attempts and their progress |
//! | `leasing` | lease steps and their answers |
//! | `retry` | delays before retries |
//!
//! Rules: an attempt is assigned only after its lease is saved; its worker is notified of the end only after the end is
//! saved; no worker is sent more than its credit; no tenant has more concurrent attempts than its quota; and a report
//! of an attempt that is not the current one changes nothing.

mod allow;
mod credit;
pub mod event;
mod extra;
mod fair;
mod free;
mod hold;
mod lease;
mod leasing;
mod retry;
mod time;

use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

pub use event::{Cost, Effect, Event, Mode, Report, RequestId, Reserved, Room, SaveVerdict, UNTIL_SPENT};

use self::{
    credit::{Grant, Workers},
    fair::Shares,
    lease::{Leases, Stage},
    retry::Jitter,
};
use crate::{
    id::{Attempt, TaskId, WorkerId},
    limits::STORE_RETRY_MS,
    name::TenantId,
    outcome::StopReason,
    time::Millis,
};

/// A lease step whose answer is pending.
#[derive(Clone, Debug)]
struct Request {
    tenant: TenantId,
    worker: WorkerId,
    count: u32,
    /// Credit taken for the step; empty once the worker is lost.
    grants: Vec<Grant>,
    /// True if the step is for the worker's extra slot.
    extra: bool,
    /// Value of the tenant's report counter before the step. If the counter has advanced by the time of the answer, a
    /// short answer does not prove that the queue is empty.
    told: u64,
}

/// Dispatcher state machine. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    shares: Shares,
    workers: Workers,
    leases: Leases,
    requests: HashMap<RequestId, Request, FixedState>,
    jitter: Jitter,
    next_request: u64,
    /// Time before which nothing is leased, since the store did not respond.
    paused_until: Millis,
    /// Time of the last [`Effect::WakeAt`] that has not passed yet.
    wake_at: Millis,
    draining: bool,
    drained: bool,
}

impl Dispatcher {
    /// Returns a dispatcher without workers and tasks. `seed` determines retry delays and the hashing of ids, so that
    /// clients cannot choose ids that collide.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let hashes = FixedState::with_seed(seed);
        Self {
            shares: Shares::default(),
            workers: Workers::new(hashes.clone()),
            leases: Leases::new(hashes.clone()),
            requests: HashMap::with_hasher(hashes),
            jitter: Jitter::new(seed),
            next_request: 0,
            paused_until: Millis(0),
            wake_at: Millis::NEVER,
            draining: false,
            drained: false,
        }
    }

    /// Processes an event and appends the resulting effects.
    pub fn handle(&mut self, event: Event, now: Millis, effects: &mut Vec<Effect>) {
        self.shares.set_now(now);
        match event {
            Event::Backlog { tenant, ready } => self.shares.tell(&tenant, ready),
            Event::MoreReady { tenant, more } => {
                self.shares.tell(&tenant, self.shares.ready(&tenant).saturating_add(more));
            }
            Event::Quota { tenant, running_max, fuel_per_minute } => {
                self.shares.set_quota(&tenant, running_max, fuel_per_minute);
            }
            Event::Drawn { tenant, fuel } => self.shares.drawn(&tenant, fuel, now),
            Event::WorkerJoined { worker, room } => self.workers.join(worker, room, now),
            Event::CreditGranted { worker, slots, expires_at } => {
                self.workers.grant(worker, Grant { expires_at, slots }, now);
            }
            Event::Heartbeat { worker } => self.workers.saw(worker, now),
            Event::Leased { request, attempts, reserved } => self.leased(request, attempts, reserved, now, effects),
            Event::LeaseFailed { request } => self.lease_failed(request, now),
            Event::Finished { worker, task, attempt, report, cost } => {
                self.workers.saw(worker, now);
                self.finished(worker, task, attempt, (report, cost), now, effects);
            }
            Event::Saved { task, attempt } => self.saved(task, attempt, effects),
            Event::SaveFailed { task, attempt } => self.save_failed(task, attempt, now),
            Event::LeaseLost { task, attempt } => self.stop(task, attempt, StopReason::Interrupted, now, effects),
            Event::CancelRequested { task } => {
                if let Some(attempt) = self.leases.current(task).map(|lease| lease.attempt) {
                    self.stop(task, attempt, StopReason::Cancelled, now, effects);
                }
            }
            Event::WorkerAway { worker } => self.void_credit(worker),
            Event::WorkerLost { worker } => self.lose(worker, false, effects),
            Event::WorkerLeft { worker } => self.lose(worker, true, effects),
            Event::WorkerDrains { worker } => self.workers.drain(worker),
            Event::Drain => self.draining = true,
            Event::Tick => self.tick(now, effects),
        }
        // Credit expires before anything is leased on it.
        let expired = self.workers.expire(now).into_iter();
        effects.extend(expired.map(|(worker, slots)| Effect::NothingYet { worker, slots }));
        self.lease_more(now, effects);
        self.settle(now, effects);
    }

    /// Returns whether the tenant is known. Idle tenants are forgotten together with their quotas.
    #[must_use]
    pub fn knows(&self, tenant: &TenantId) -> bool {
        self.shares.knows(tenant)
    }

    /// Returns whether every lease is held by a worker for which `is_live` holds, or is being ended. For consistency
    /// checks.
    pub fn leases_are_live(&self, is_live: impl Fn(WorkerId) -> bool) -> bool {
        self.leases.all_live(is_live)
    }

    fn finished(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        (report, cost): (Report, Cost),
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        // A run that did not end is charged for the time since it got its slot.
        let slot_us = Some(cost.slot_us).filter(|_| report == Report::Ended);
        let first = self.leaves(worker, task, attempt, slot_us, now);
        let Some(lease) = self.leases.get(task, attempt) else {
            // The attempt is not the current one, so the worker may forget it.
            return effects.push(Effect::Acknowledge { worker, task, attempt });
        };
        if lease.worker != worker || lease.stage != Stage::Assigned || !first {
            return; // Forged or repeated; the worker is notified once the verdict is saved.
        }
        let tenant = lease.tenant.clone();
        let fuel = self.shares.refund(&tenant, cost.fuel_left);
        if fuel > 0 {
            effects.push(Effect::GiveBack { tenant, fuel });
        }
        let verdict = match report {
            Report::Ended => SaveVerdict::End,
            Report::Interrupted => SaveVerdict::Release,
            Report::Lost => SaveVerdict::Retry { delay_ms: self.jitter.delay_ms(attempt) },
        };
        self.save(worker, task, attempt, verdict, effects);
    }

    /// Removes an attempt from its worker; returns whether the worker held it.
    fn leaves(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt, slot_us: Option<u64>, now: Millis) -> bool {
        let over = self.workers.over(worker, task, attempt, now);
        over.inspect(|over| self.shares.leaves(over, slot_us)).is_some()
    }

    fn save(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        verdict: SaveVerdict,
        effects: &mut Vec<Effect>,
    ) {
        self.leases.set_stage(task, Stage::Saving(verdict));
        effects.push(Effect::Save { worker, task, attempt, verdict });
    }

    /// Ends the lease, whatever the store answered: this dispatcher has nothing more to do for the attempt.
    fn saved(&mut self, task: TaskId, attempt: Attempt, effects: &mut Vec<Effect>) {
        let saving = self.leases.get(task, attempt).filter(|lease| matches!(lease.stage, Stage::Saving(_)));
        if let Some(worker) = saving.map(|lease| lease.worker) {
            self.end_lease(task);
            effects.push(Effect::Acknowledge { worker, task, attempt });
        }
    }

    fn end_lease(&mut self, task: TaskId) {
        if let Some(lease) = self.leases.remove(task) {
            self.shares.over(&lease.tenant);
        }
    }

    /// Schedules the verdict to be saved again, without a limit on repetitions.
    fn save_failed(&mut self, task: TaskId, attempt: Attempt, now: Millis) {
        if let Some(Stage::Saving(verdict)) = self.leases.get(task, attempt).map(|lease| lease.stage) {
            self.leases.set_stage(task, Stage::SaveAt(now.plus(STORE_RETRY_MS), verdict));
        }
    }

    /// Gives up a lease that this dispatcher has lost and stops its run. A later report of the attempt is stale.
    fn stop(&mut self, task: TaskId, attempt: Attempt, reason: StopReason, now: Millis, effects: &mut Vec<Effect>) {
        let assigned = self.leases.get(task, attempt).filter(|lease| lease.stage == Stage::Assigned);
        if let Some(worker) = assigned.map(|lease| lease.worker) {
            self.end_lease(task);
            self.leaves(worker, task, attempt, None, now);
            effects.push(Effect::Stop { worker, task, attempt, reason });
        }
    }

    /// Voids a worker's credit, including that taken by pending lease steps.
    fn void_credit(&mut self, worker: WorkerId) {
        self.workers.void_credit(worker);
        let requests = self.requests.values_mut().filter(|request| request.worker == worker);
        requests.for_each(|request| request.grants.clear());
    }

    /// Removes a worker. Its attempts are released if it left in order, and retried otherwise.
    fn lose(&mut self, worker: WorkerId, has_left: bool, effects: &mut Vec<Effect>) {
        let Some(sent) = self.workers.lose(worker) else { return };
        self.void_credit(worker);
        for ((task, attempt), over) in sent {
            self.shares.leaves(&over, None);
            if let Some(lease) = self.leases.get(task, attempt)
                && lease.stage == Stage::Assigned
            {
                let verdict = match has_left {
                    true => SaveVerdict::Release,
                    false => SaveVerdict::Retry { delay_ms: self.jitter.delay_ms(attempt) },
                };
                self.save(worker, task, attempt, verdict, effects);
            }
        }
    }

    fn tick(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        if self.wake_at <= now {
            self.wake_at = Millis::NEVER;
        }
        for worker in self.workers.silent(now) {
            self.lose(worker, false, effects);
            effects.push(Effect::GaveUp { worker });
        }
        for task in self.leases.due_saves(now) {
            if let Some(lease) = self.leases.current(task)
                && let Stage::SaveAt(_, verdict) = lease.stage
            {
                let (worker, attempt) = (lease.worker, lease.attempt);
                self.save(worker, task, attempt, verdict, effects);
            }
        }
        let attempts = self.leases.due_renewals(now);
        if !attempts.is_empty() {
            effects.push(Effect::Renew { attempts });
        }
    }

    /// Requests a wake-up if one is needed earlier than the last one requested, and reports the end of a drain.
    fn settle(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let paused = if self.paused_until > now { self.paused_until } else { Millis::NEVER };
        let dry = if self.draining { Millis::NEVER } else { self.shares.wake_at() };
        let wake_at = self.leases.wake_at().min(self.workers.wake_at()).min(paused).min(dry);
        if wake_at < self.wake_at {
            self.wake_at = wake_at;
            effects.push(Effect::WakeAt { at: wake_at });
        }
        if self.draining && !self.drained && self.leases.is_empty() && self.requests.is_empty() {
            self.drained = true;
            effects.push(Effect::Drained);
        }
    }
}
