//! The dispatcher: one state machine for local, push and pull. Events and time go in, effects come out; it does no I/O,
//! reads no clock, and holds leased attempts only, since the store owns the queue.
//!
//! | module | holds |
//! |---|---|
//! | [`event`] | the whole vocabulary |
//! | `fair` | whose tasks next |
//! | `allow` | how much more a tenant may have under way |
//! | `credit` | who may be sent attempts, and how many |
//! | `free` | who has most room |
//! | `lease` | which attempts are leased, and how far each has come |
//! | `retry` | when to try again |
//!
//! Rules: nothing is assigned before its lease is saved, nothing is told before its end is saved, no worker is sent
//! more than its credit, no tenant has more under way than its quota, and a report that is not of the current attempt
//! changes nothing.

mod allow;
mod credit;
pub mod event;
mod fair;
mod free;
mod lease;
mod retry;

use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

pub use event::{Answer, Cost, Effect, Event, Mode, Report, RequestId, Reserved, SaveVerdict, UNTIL_SPENT};

use self::{
    credit::{Grant, Workers},
    fair::Shares,
    lease::{Leases, Stage},
    retry::Jitter,
};
use crate::{
    id::{Attempt, TaskId, WorkerId},
    limits::{LEASE_BATCH_MAX, STORE_RETRY_MS},
    name::TenantId,
    outcome::StopReason,
    time::Millis,
};

/// A lease step on its way.
#[derive(Clone, Debug)]
struct Request {
    tenant: TenantId,
    worker: WorkerId,
    count: u32,
    /// Empty once the worker is lost.
    grants: Vec<Grant>,
    /// The tenant's backlogs and hints before it. One that comes meanwhile may be of after the lease step, so a short answer
    /// says nothing newer.
    told: u64,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    shares: Shares,
    workers: Workers,
    leases: Leases,
    requests: HashMap<RequestId, Request, FixedState>,
    jitter: Jitter,
    next_request: u64,
    /// The store did not answer: lease nothing before this time.
    paused_until: Millis,
    /// The time of the last [`Effect::WakeAt`] that has not come yet.
    wake_at: Millis,
    draining: bool,
    drained: bool,
}

impl Dispatcher {
    /// A dispatcher that knows nothing yet. `seed` draws its retry delays and how ids are hashed, so that nobody can choose
    /// ids that meet in one place.
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

    /// Takes in what happened, and says what to do.
    pub fn handle(&mut self, event: Event, now: Millis, effects: &mut Vec<Effect>) {
        match event {
            Event::Backlog { tenant, ready } => self.shares.tell(&tenant, ready),
            Event::MoreReady { tenant, more } => {
                self.shares.tell(&tenant, self.shares.ready(&tenant).saturating_add(more));
            }
            Event::Quota { tenant, running_max, fuel_per_minute } => {
                self.shares.set_quota(&tenant, running_max, fuel_per_minute);
            }
            Event::Drawn { tenant, fuel } => self.shares.drawn(&tenant, fuel, now),
            Event::WorkerJoined { worker, capacity } => self.workers.join(worker, capacity, now),
            Event::CreditGranted { worker, slots, expires_at } => {
                self.workers.grant(worker, Grant { expires_at, slots }, now);
            }
            Event::Heartbeat { worker } => self.workers.saw(worker, now),
            Event::Leased { request, attempts, reserved } => self.leased(request, attempts, reserved, now, effects),
            Event::LeaseFailed { request } => self.lease_failed(request, now),
            Event::Finished { worker, task, attempt, report, cost } => {
                self.workers.saw(worker, now);
                self.finished(worker, task, attempt, report, cost, effects);
            }
            Event::Saved { task, attempt, answer: _ } => self.saved(task, attempt, effects),
            Event::SaveFailed { task, attempt } => self.save_failed(task, attempt, now),
            Event::LeaseLost { task, attempt } => self.stop(task, attempt, StopReason::Interrupted, effects),
            Event::CancelRequested { task } => {
                if let Some(attempt) = self.leases.current(task).map(|lease| lease.attempt) {
                    self.stop(task, attempt, StopReason::Cancelled, effects);
                }
            }
            Event::WorkerAway { worker } => self.void_credit(worker),
            Event::WorkerLost { worker } => self.lose(worker, false, effects),
            Event::WorkerLeft { worker } => self.lose(worker, true, effects),
            Event::WorkerDrains { worker } => self.workers.drain(worker),
            Event::Drain => self.draining = true,
            Event::Tick => self.tick(now, effects),
        }
        // Before anything is leased on it.
        let expired = self.workers.expire(now).into_iter();
        effects.extend(expired.map(|(worker, slots)| Effect::NothingYet { worker, slots }));
        self.lease_more(now, effects);
        self.settle(now, effects);
    }

    /// Whether anything is known of a tenant. What is not known is forgotten, its quota too.
    #[must_use]
    pub fn knows(&self, tenant: &TenantId) -> bool {
        self.shares.knows(tenant)
    }

    /// Whether every lease is held by a worker that `is_live`, or its verdict is on its way. For checks.
    pub fn leases_are_live(&self, is_live: impl Fn(WorkerId) -> bool) -> bool {
        self.leases.all_live(is_live)
    }

    /// Leases for free credit while tasks are ready. Where several tenants wait, each is given its part of the credit,
    /// so that none takes all of it at once; where several workers are free, each is given its part of the tasks, so
    /// that none holds what another could begin with.
    fn lease_more(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        while self.shares.someone_waits() && !self.draining && self.paused_until <= now {
            let Some((worker, free)) = self.workers.most_free() else { break };
            let Some((tenant, ready, tenants)) = self.shares.next() else { break };
            let part = free.div_ceil(u32::try_from(tenants).unwrap_or(u32::MAX));
            let share = ready.div_ceil(self.workers.free_workers().max(1) as u64);
            let count = part.min(LEASE_BATCH_MAX).min(u32::try_from(share).unwrap_or(u32::MAX));
            self.shares.take(&tenant, count);
            let grants = self.workers.take(worker, count);
            let request = RequestId(self.next_request);
            self.next_request += 1;
            let asked = Request { tenant: tenant.clone(), worker, count, grants, told: self.shares.told(&tenant) };
            self.requests.insert(request, asked);
            effects.push(Effect::Lease { request, tenant, worker, count });
        }
        self.shares.close_wave();
        while !self.draining
            && let Some((tenant, fuel)) = self.shares.ask_fuel(now)
        {
            effects.push(Effect::Draw { tenant, fuel });
        }
    }

    fn leased(
        &mut self,
        request: RequestId,
        attempts: Vec<(TaskId, Attempt)>,
        reserved: Reserved,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Request { tenant, worker, count, grants, told }) = self.requests.remove(&request) else {
            return;
        };
        self.shares.answered(&tenant);
        self.shares.reserve(&tenant, reserved.fuel, reserved.most);
        let mut slots = one_by_one(grants);
        let accepts = !self.draining && self.workers.accepts(worker);
        let missing = count.saturating_sub(u32::try_from(attempts.len()).unwrap_or(u32::MAX));
        for (task, attempt) in attempts {
            if self.leases.current(task).is_some_and(|newer| newer.attempt > attempt) {
                // This answer took so long that its lease was over before it came.
                self.shares.over(&tenant);
                effects.push(Effect::Told { worker, task, attempt });
                continue;
            }
            let slot = if accepts { slots.next() } else { None };
            let stage = if slot.is_some() { Stage::Assigned } else { Stage::Saving(SaveVerdict::Release) };
            let older = self.leases.add(task, attempt, worker, tenant.clone(), stage, now);
            if let Some(older) = &older {
                self.shares.over(&older.tenant);
            }
            if let Some(older) = older.filter(|older| older.stage == Stage::Assigned) {
                let (worker, attempt) = (older.worker, older.attempt);
                self.workers.stopped(worker, task, attempt);
                effects.push(Effect::Stop { worker, task, attempt, reason: StopReason::Interrupted });
            }
            match slot {
                Some(slot) => {
                    self.workers.send(worker, task, attempt, slot.expires_at);
                    effects.push(Effect::Assign { worker, task, attempt });
                }
                None => effects.push(Effect::Save { worker, task, attempt, verdict: SaveVerdict::Release }),
            }
        }
        if missing > 0 {
            self.shares.give_back(&tenant, missing);
            if told == self.shares.told(&tenant) {
                self.shares.set_ready(&tenant, 0);
            }
        }
        self.workers.answered(worker, slots);
    }

    fn lease_failed(&mut self, request: RequestId, now: Millis) {
        let Some(Request { tenant, worker, count, grants, .. }) = self.requests.remove(&request) else { return };
        self.shares.answered(&tenant);
        self.shares.give_back(&tenant, count);
        let ready = self.shares.ready(&tenant).saturating_add(count.into());
        self.shares.set_ready(&tenant, ready);
        self.workers.answered(worker, grants);
        self.paused_until = now.plus(STORE_RETRY_MS);
    }

    fn finished(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        report: Report,
        cost: Cost,
        effects: &mut Vec<Effect>,
    ) {
        let first = self.workers.report(worker, task, attempt);
        let Some(lease) = self.leases.get(task, attempt) else {
            // Not the current attempt: the worker may forget it.
            return effects.push(Effect::Told { worker, task, attempt });
        };
        if lease.worker != worker || lease.stage != Stage::Assigned || !first {
            return; // Forged, or reported before; it is told once the verdict is saved.
        }
        let tenant = lease.tenant.clone();
        self.shares.correct(&tenant, cost.cpu_us);
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

    /// Whatever the store answered, this attempt is over for this dispatcher.
    fn saved(&mut self, task: TaskId, attempt: Attempt, effects: &mut Vec<Effect>) {
        let saving = self.leases.get(task, attempt).filter(|lease| matches!(lease.stage, Stage::Saving(_)));
        if let Some(worker) = saving.map(|lease| lease.worker) {
            self.end_lease(task);
            effects.push(Effect::Told { worker, task, attempt });
        }
    }

    fn end_lease(&mut self, task: TaskId) {
        if let Some(lease) = self.leases.remove(task) {
            self.shares.over(&lease.tenant);
        }
    }

    /// The verdict is kept and sent again, for as long as it takes.
    fn save_failed(&mut self, task: TaskId, attempt: Attempt, now: Millis) {
        if let Some(Stage::Saving(verdict)) = self.leases.get(task, attempt).map(|lease| lease.stage) {
            self.leases.set_stage(task, Stage::SaveAt(now.plus(STORE_RETRY_MS), verdict));
        }
    }

    /// The lease is no longer ours: its worker should end the run. What it then reports is stale.
    fn stop(&mut self, task: TaskId, attempt: Attempt, reason: StopReason, effects: &mut Vec<Effect>) {
        let assigned = self.leases.get(task, attempt).filter(|lease| lease.stage == Stage::Assigned);
        if let Some(worker) = assigned.map(|lease| lease.worker) {
            self.end_lease(task);
            self.workers.stopped(worker, task, attempt);
            effects.push(Effect::Stop { worker, task, attempt, reason });
        }
    }

    /// Its credit is void, what a lease step on its way was asked for included.
    fn void_credit(&mut self, worker: WorkerId) {
        self.workers.void_credit(worker);
        let requests = self.requests.values_mut().filter(|request| request.worker == worker);
        requests.for_each(|request| request.grants.clear());
    }

    /// Forgets a worker. Its attempts are unspent where it has left in order, and lost otherwise.
    fn lose(&mut self, worker: WorkerId, has_left: bool, effects: &mut Vec<Effect>) {
        let Some(sent) = self.workers.lose(worker) else { return };
        self.void_credit(worker);
        for (task, attempt) in sent {
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
        let attempts = self.leases.due_beats(now);
        if !attempts.is_empty() {
            effects.push(Effect::Beat { attempts });
        }
    }

    /// Asks to be woken in time, and says when a drain is over.
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

/// Grants as single slots, in their order.
fn one_by_one(grants: Vec<Grant>) -> impl Iterator<Item = Grant> {
    grants.into_iter().flat_map(|grant| (0..grant.slots).map(move |_| Grant { slots: 1, ..grant }))
}
