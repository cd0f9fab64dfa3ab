//! Calls to the store. Requests and answers take time, and an answer can be lost whether or not the step was performed.

use fusebox_core::{
    dispatch::{Event, RequestId, SaveVerdict},
    id::{Attempt, TaskId, WorkerId},
    name::TenantId,
    outcome::Receipt,
    quota::FuelTank,
};

use crate::{
    host::Host,
    plants::Plant,
    store::Change,
    workload,
    world::{Step, World},
};

/// Number of times that a lease step without an answer is repeated.
const LEASES_AGAIN_MAX: u32 = 4;

/// Request of a dispatcher to the store.
pub(crate) enum Call {
    /// `again` counts earlier requests without an answer.
    Lease {
        request: RequestId,
        tenant: TenantId,
        worker: WorkerId,
        count: u32,
        again: u32,
    },
    Save {
        task: TaskId,
        attempt: Attempt,
        verdict: SaveVerdict,
        receipt: Option<Receipt>,
    },
    Renew {
        attempts: Vec<(TaskId, Attempt)>,
    },
    Draw {
        tenant: TenantId,
        fuel: u64,
    },
    GiveBack {
        tenant: TenantId,
        fuel: u64,
    },
}

impl World {
    pub(crate) fn send_call(&mut self, host: usize, call: Call) {
        let (ms, life) = (self.store_ms(), self.hosts[host].life);
        self.after(ms, Step::Call { host, life, call });
    }

    /// Requests the backlog from the store unless a request is pending.
    pub(crate) fn ask_backlog(&mut self, host: usize) {
        let Host { life, is_up: true, ref mut asks_backlog, .. } = self.hosts[host] else { return };
        if !std::mem::replace(asks_backlog, true) {
            let ms = self.store_ms();
            self.after(ms, Step::ReadBacklog { host, life });
        }
    }

    /// Delivers a hint. A pending backlog may have been read before the hint, so the hint is repeated after it.
    pub(crate) fn hint(&mut self, host: usize, life: u32, tenant: TenantId, more: u64) {
        let event = Event::MoreReady { tenant, more };
        let backlog_at = self.hosts[host].backlog_at;
        if self.now <= backlog_at {
            self.at(backlog_at, Step::Event { host, life: Some(life), event: event.clone() });
        }
        self.event(host, Some(life), event);
    }

    pub(crate) fn read_backlog(&mut self, host: usize, life: u32) {
        let at = self.now.plus(self.store_ms());
        let asked = &mut self.hosts[host];
        if asked.life != life {
            return;
        }
        asked.asks_backlog = false;
        asked.backlog_at = asked.backlog_at.max(at);
        let at = asked.backlog_at;
        for tenant in workload::tenants() {
            let ready = self.store.ready(&tenant).count().try_into().unwrap();
            self.at(at, Step::Event { host, life: Some(life), event: Event::Backlog { tenant, ready } });
        }
    }

    pub(crate) fn cancel(&mut self, task: TaskId) {
        if !self.store.cancel(task, self.now) {
            return;
        }
        self.store_changed();
        for host in 0..self.hosts.len() {
            // A hint that may be lost; the dispatcher then learns of the cancellation at the next renewal.
            if self.dice.percent(80) {
                let ms = self.store_ms();
                self.after(ms, Step::Event { host, life: None, event: Event::CancelRequested { task } });
            }
        }
    }

    pub(crate) fn call(&mut self, host: usize, life: u32, call: Call) {
        let rate = match call {
            Call::Lease { .. } => self.faults.store_fails.max(self.faults.leases_lost),
            _ => self.faults.store_fails,
        };
        let fails = self.faulty() && self.dice.percent(rate);
        if fails {
            self.figures.count("store failure");
        }
        let mut events = Vec::new();
        // A step without an answer may have been performed nevertheless.
        if !fails || self.dice.percent(50) {
            events = self.do_call(host, life, &call);
            self.store_changed();
        }
        if fails {
            events = match call {
                Call::Lease { request, tenant, worker, count, again } if again < LEASES_AGAIN_MAX => {
                    self.figures.count("lease again");
                    let call = Call::Lease { request, tenant, worker, count, again: again + 1 };
                    self.send_again(host, life, call);
                    return;
                }
                Call::Lease { request, .. } => vec![Event::LeaseFailed { request }],
                Call::Save { task, attempt, .. } => vec![Event::SaveFailed { task, attempt }],
                Call::Draw { tenant, .. } => vec![Event::Drawn { tenant, fuel: 0 }],
                Call::Renew { .. } | Call::GiveBack { .. } => Vec::new(),
            };
        }
        for event in events {
            let ms = self.store_ms();
            self.after(ms, Step::Event { host, life: Some(life), event });
        }
    }

    /// Repeats a call, provided that the dispatcher that made it is still running; no other one knows of it.
    fn send_again(&mut self, host: usize, life: u32, call: Call) {
        let asked = &self.hosts[host];
        if asked.is_up && asked.life == life {
            let ms = self.store_ms() + self.store_ms();
            self.after(ms, Step::Call { host, life, call });
        }
    }

    fn do_call(&mut self, host: usize, life: u32, call: &Call) -> Vec<Event> {
        let now = self.now;
        match *call {
            Call::Lease { request, ref tenant, worker, count, again } => {
                let forgets = self.plant == Some(Plant::ForgetTheTokens);
                let asked = |again| (host, life, request, if forgets { again } else { 0 });
                let before: Vec<_> = (0..=again).flat_map(|again| self.store.held(asked(again))).collect();
                let attempts = self.store.lease(asked(again), tenant, worker, count, now);
                self.checker.leased(&before, &attempts, now);
                let reserved = self.store.reserved(&attempts);
                vec![Event::Leased { request, attempts, reserved }]
            }
            Call::Draw { ref tenant, fuel } => {
                let (tank, per_minute) = self.tank(tenant);
                let fuel = tank.draw(per_minute, fuel, now);
                vec![Event::Drawn { tenant: tenant.clone(), fuel }]
            }
            Call::GiveBack { ref tenant, fuel } => {
                let (tank, per_minute) = self.tank(tenant);
                tank.give_back(per_minute, fuel, now);
                Vec::new()
            }
            Call::Save { task, attempt, verdict, ref receipt } => {
                if !self.store.save(task, attempt, verdict, receipt.clone(), now) {
                    self.figures.count("stale save");
                }
                vec![Event::Saved { task, attempt }]
            }
            Call::Renew { ref attempts } => {
                let store = &mut self.store;
                let lost = attempts.iter().filter(|(task, attempt)| !store.renew(*task, *attempt, now));
                lost.map(|&(task, attempt)| Event::LeaseLost { task, attempt }).collect()
            }
        }
    }

    fn tank(&mut self, tenant: &TenantId) -> (&mut FuelTank, u64) {
        let (_, quota) = self.quotas.iter().find(|(known, _)| known == tenant).unwrap();
        (self.tanks.get_mut(tenant).unwrap(), quota.fuel_per_minute)
    }

    /// Reports changes made by the store as time passed.
    pub(crate) fn store_ticked(&mut self) {
        let changes = self.store.take_changes();
        changes.iter().for_each(|change| self.checker.ended_by_time(change, self.now));
        self.changes(&changes);
    }

    pub(crate) fn store_changed(&mut self) {
        let changes = self.store.take_changes();
        self.changes(&changes);
    }

    fn changes(&mut self, changes: &[Change]) {
        changes.iter().for_each(|change| self.checker.changed(change, self.now));
        let hints = self.store.take_hints();
        for host in 0..self.hosts.len() {
            // If a hint may have been lost, the driver reads the backlog.
            if !hints.is_empty() && self.dice.percent(30) {
                self.ask_backlog(host);
                continue;
            }
            let Host { life, is_up, .. } = self.hosts[host];
            for (tenant, more) in hints.iter().filter(|_| is_up) {
                let (tenant, more, ms) = (tenant.clone(), *more, self.dice.between(1, 10));
                self.after(ms, Step::Hint { host, life, tenant, more });
            }
        }
    }

    /// Returns the one-way delay of a call to the store.
    pub(crate) fn store_ms(&mut self) -> u64 {
        if self.faulty() && self.dice.percent(self.faults.store_stalls) {
            return self.dice.between(8_000, 15_000);
        }
        if self.faulty() && self.dice.percent(self.faults.store_slow) {
            return self.dice.between(100, 4_000);
        }
        self.dice.between(1, 10)
    }
}
