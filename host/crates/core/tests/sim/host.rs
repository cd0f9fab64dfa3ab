//! Test double of a host: a dispatcher, and a driver that performs effects and returns their results as the real one
//! does. A host ends by a drain or at once, and restarts with an empty dispatcher.

use std::collections::BTreeMap;

use fusebox_core::{
    dispatch::{Effect, Event, Report},
    id::{Attempt, TaskId, WorkerId},
    outcome::{Receipt, StopReason},
    time::Millis,
};

use crate::{
    calls::Call,
    checker::LATE_MS_MAX,
    faults::Mode,
    plants::Planted,
    worker::WorkerStep,
    workload,
    world::{Step, World},
};

pub(crate) struct Host {
    core: Planted,
    /// Number of starts, so that messages for an earlier dispatcher do not reach a later one.
    pub(crate) life: u32,
    pub(crate) is_up: bool,
    wake_at: Millis,
    held: BTreeMap<(TaskId, Attempt), Held>,
    pub(crate) asks_backlog: bool,
    /// Backlogs arrive in the order in which they were read.
    pub(crate) backlog_at: Millis,
}

/// Data that a driver holds for an attempt.
#[derive(Default)]
struct Held {
    /// Worker whose report counts.
    worker: Option<WorkerId>,
    /// Receipt of the run, once its end is reported. The first report counts.
    receipt: Option<Receipt>,
}

impl Host {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            core: Planted::new(seed, None),
            life: 0,
            is_up: false,
            wake_at: Millis::NEVER,
            held: BTreeMap::new(),
            asks_backlog: false,
            backlog_at: Millis(0),
        }
    }
}

impl World {
    pub(crate) fn start(&mut self, host: usize) {
        let life = self.hosts[host].life + 1;
        let core = Planted::new(self.seed, self.plant);
        self.hosts[host] = Host { core, life, is_up: true, ..Host::new(self.seed) };
        self.checker.started(host);
        for quota in self.quotas.clone() {
            self.event(host, Some(life), workload::told(&quota));
        }
        let workers = if self.mode == Mode::Local { 1 } else { self.dice.between(2, 4) };
        for _ in 0..workers {
            let ms = self.dice.between(0, 50);
            self.after(ms, Step::Join { host, life });
        }
        self.ask_backlog(host);
    }

    pub(crate) fn drain(&mut self, host: usize) {
        if !self.hosts[host].is_up {
            return;
        }
        self.event(host, None, Event::Drain);
        if self.mode == Mode::Local {
            // Attempts that wait for a slot are released at once; running ones may end.
            for (worker, task, attempt) in self.runs_of(host) {
                if self.dice.percent(50) {
                    let reason = StopReason::Interrupted;
                    self.after(1, Step::Worker(worker, WorkerStep::Stop { task, attempt, reason }));
                }
            }
        }
    }

    /// Ends the process; its workers must join another one, under new ids.
    pub(crate) fn abort(&mut self, host: usize) {
        if !self.hosts[host].is_up {
            return;
        }
        self.hosts[host].is_up = false;
        self.checker.over(host);
        self.workers.retain(|_, worker| worker.host != host);
        let ms = self.dice.between(100, 3_000);
        self.after(ms, Step::Start(host));
    }

    pub(crate) fn wake(&mut self, host: usize, life: u32) {
        let due = &self.hosts[host];
        if due.life != life || due.wake_at > self.now {
            return;
        }
        self.hosts[host].wake_at = Millis::NEVER;
        if self.mode == Mode::Local {
            // Slots in this process live as long as the process.
            let workers: Vec<WorkerId> = self.workers_of(host).collect();
            workers.into_iter().for_each(|worker| self.event(host, Some(life), Event::Heartbeat { worker }));
        }
        self.event(host, Some(life), Event::Tick);
    }

    pub(crate) fn event(&mut self, host: usize, life: Option<u32>, event: Event) {
        let time = self.host_time();
        let Host { core, held, is_up, life: current, .. } = &mut self.hosts[host];
        if !*is_up || life.is_some_and(|life| life != *current) {
            return;
        }
        match event {
            Event::Leased { ref attempts, .. } => {
                held.extend(attempts.iter().map(|attempt| (*attempt, Held::default())));
            }
            Event::Finished { worker, task, attempt, report: Report::Ended, cost } => {
                let held = held.get_mut(&(task, attempt)).filter(|held| held.worker == Some(worker));
                let receipt = Receipt { attempt, worker: Some(worker), cpu_us: cost.slot_us, ..Receipt::default() };
                held.map(|held| held.receipt.get_or_insert(receipt));
            }
            _ => {}
        }
        let mut effects = Vec::new();
        core.handle(event.clone(), time, &mut effects);
        self.checker.handled(host, (&event, &effects), core, &self.store, self.now);
        self.note(host, &event, &effects);
        for effect in effects {
            self.perform(host, effect);
        }
    }

    fn perform(&mut self, host: usize, effect: Effect) {
        match effect {
            Effect::Lease { request, tenant, worker, count, .. } => {
                self.send_call(host, Call::Lease { request, tenant, worker, count, again: 0 });
            }
            Effect::Assign { worker, task, attempt, extra } => {
                if let Some(held) = self.hosts[host].held.get_mut(&(task, attempt)) {
                    held.worker = Some(worker);
                }
                let ms = self.message_ms();
                self.after(ms, Step::Worker(worker, WorkerStep::Assigned { task, attempt, extra }));
            }
            Effect::Save { task, attempt, verdict, .. } => {
                // As in the real driver, an attempt whose data was discarded cannot be saved.
                if let Some(held) = self.hosts[host].held.get(&(task, attempt)) {
                    let receipt = held.receipt.clone();
                    self.send_call(host, Call::Save { task, attempt, verdict, receipt });
                }
            }
            Effect::Draw { tenant, fuel } => self.send_call(host, Call::Draw { tenant, fuel }),
            Effect::GiveBack { tenant, fuel } => self.send_call(host, Call::GiveBack { tenant, fuel }),
            Effect::Renew { attempts } => self.send_call(host, Call::Renew { attempts }),
            Effect::Stop { worker, task, attempt, reason } => {
                self.send(worker, WorkerStep::Stop { task, attempt, reason });
            }
            Effect::Acknowledge { worker, task, attempt } => {
                self.hosts[host].held.remove(&(task, attempt));
                self.send(worker, WorkerStep::Told { task, attempt });
            }
            // A remote worker learns of it from its link; a local one cannot be silent.
            Effect::GaveUp { .. } => {}
            Effect::NothingYet { worker, .. } => self.send(worker, WorkerStep::NothingYet),
            Effect::WakeAt { at } => {
                let Host { life, ref mut wake_at, .. } = self.hosts[host];
                *wake_at = at.min(*wake_at);
                let late_ms = if self.dice.percent(5) { self.dice.between(0, LATE_MS_MAX) } else { 0 };
                self.at(at.max(self.now).plus(late_ms), Step::Wake { host, life });
            }
            Effect::Drained => self.abort(host),
        }
    }
}
