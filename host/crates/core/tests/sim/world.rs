//! A simulated world: time, a store, dispatchers, workers, and all messages between them. It uses one thread and one
//! seed, so a run can be repeated exactly.

use std::collections::BTreeMap;

use fusebox_core::{
    dispatch::{Effect, Event},
    id::{TaskId, WorkerId},
    name::TenantId,
    quota::FuelTank,
    task::Task,
    time::Millis,
};

use crate::{
    calls::Call,
    checker::{Checker, Property, Violation},
    faults::{Dice, Faults, Mode},
    figures::Figures,
    host::Host,
    plants::Plant,
    store::Store,
    worker::{Worker, WorkerStep},
    workload::{self, Quota},
};

/// Interval at which the store performs due transitions.
const STORE_TICK_MS: u64 = 200;
/// Limit of simulated time, far beyond the longest sequence of retry delays; a run that exceeds it is stuck.
const TIME_MAX: Millis = Millis(900_000);
/// Limit of steps, about 20 times the number a run needs; a run that exceeds it is in a loop.
const STEPS_MAX: u64 = 60_000;

/// A future step.
pub(crate) enum Step {
    Accept(Box<Task>),
    Cancel(TaskId),
    StoreTick,
    /// A call reaches the store.
    Call {
        host: usize,
        life: u32,
        call: Call,
    },
    Hint {
        host: usize,
        life: u32,
        tenant: TenantId,
        more: u64,
    },
    ReadBacklog {
        host: usize,
        life: u32,
    },
    /// An event reaches a dispatcher: that of a given life, or the current one.
    Event {
        host: usize,
        life: Option<u32>,
        event: Event,
    },
    Wake {
        host: usize,
        life: u32,
    },
    Start(usize),
    Drain(usize),
    Abort(usize),
    SetClocks,
    Join {
        host: usize,
        life: u32,
    },
    Worker(WorkerId, WorkerStep),
    Crash,
    Freeze,
    Retire,
    Part,
    Return(WorkerId),
    Forge,
}

pub(crate) struct World {
    pub(crate) mode: Mode,
    pub(crate) seed: u64,
    pub(crate) plant: Option<Plant>,
    pub(crate) dice: Dice,
    pub(crate) faults: Faults,
    pub(crate) now: Millis,
    /// Offset of the machines' wall clocks.
    pub(crate) wall_ms: i64,
    pub(crate) store: Store,
    pub(crate) hosts: Vec<Host>,
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    pub(crate) workers_ever: u64,
    pub(crate) quotas: Vec<(TenantId, Quota)>,
    /// Fuel tanks of these tenants, as kept by the store.
    pub(crate) tanks: BTreeMap<TenantId, FuelTank>,
    pub(crate) checker: Checker,
    pub(crate) figures: Figures,
    /// Log of the steps, if the run is to be printed.
    pub(crate) lines: Option<Vec<String>>,
    agenda: BTreeMap<(Millis, u64), Step>,
    steps: u64,
    /// Number of tasks still to be accepted.
    coming: usize,
}

impl World {
    pub(crate) fn new(mode: Mode, seed: u64, plant: Option<Plant>) -> Self {
        let mut dice = Dice::new(seed);
        let faults = Faults::draw(mode, &mut dice);
        let hosts = if dice.percent(30) { 2 } else { 1 };
        let tasks = workload::tasks(&mut dice);
        let cancels = workload::cancels(&tasks, &faults, &mut dice);
        let quotas = workload::quotas(&mut dice);
        let full =
            |(tenant, quota): &(TenantId, Quota)| (tenant.clone(), FuelTank::full(quota.fuel_per_minute, Millis(0)));
        let mut world = Self {
            mode,
            seed,
            plant,
            dice,
            faults,
            now: Millis(0),
            wall_ms: 0,
            store: Store::default(),
            hosts: (0..hosts).map(|_| Host::new(seed)).collect(),
            workers: BTreeMap::new(),
            workers_ever: 0,
            tanks: quotas.iter().map(full).collect(),
            quotas,
            checker: Checker::default(),
            figures: Figures::new(tasks.len()),
            lines: None,
            agenda: BTreeMap::new(),
            steps: 0,
            coming: tasks.len(),
        };
        for task in tasks {
            world.at(task.created_at, Step::Accept(Box::new(task)));
        }
        for (at, task) in cancels {
            world.at(at, Step::Cancel(task));
        }
        for host in 0..hosts {
            world.at(Millis(0), Step::Start(host));
        }
        world.at(Millis(0), Step::StoreTick);
        world.plan_faults();
        world
    }

    fn plan_faults(&mut self) {
        let Faults { crashes, freezes, retirements, partings, forgeries, drains, aborts, .. } = self.faults;
        for _ in 0..crashes {
            self.once(|_| Step::Crash);
        }
        for _ in 0..freezes {
            self.once(|_| Step::Freeze);
        }
        for _ in 0..retirements {
            self.once(|_| Step::Retire);
        }
        for _ in 0..partings {
            self.once(|_| Step::Part);
        }
        for _ in 0..forgeries {
            self.once(|_| Step::Forge);
        }
        for _ in 0..drains {
            self.once(Step::Drain);
        }
        for _ in 0..aborts {
            self.once(Step::Abort);
        }
        self.plan_clock_steps();
    }

    /// Schedules a fault at a random time on a random host.
    pub(crate) fn once(&mut self, fault: impl Fn(usize) -> Step) {
        let at = Millis(self.dice.between(1, self.faults.until.0));
        let host = usize::from(self.dice.percent(50)) % self.hosts.len();
        self.at(at, fault(host));
    }

    pub(crate) fn at(&mut self, at: Millis, step: Step) {
        self.steps += 1;
        self.agenda.insert((at.max(self.now), self.steps), step);
    }

    pub(crate) fn after(&mut self, ms: u64, step: Step) {
        self.at(self.now.plus(ms), step);
    }

    /// Runs until no steps are left or a property is violated.
    pub(crate) fn run(&mut self) -> Result<(), Violation> {
        while let Some(((at, _), step)) = self.agenda.pop_first() {
            self.now = at;
            self.step(step);
            if let Some(violation) = self.checker.take_violation() {
                return Err(violation);
            }
            if self.steps > STEPS_MAX {
                let what = format!("{STEPS_MAX} steps are not enough");
                return Err(Violation { property: Property::NothingLost, at, what });
            }
            if self.now > TIME_MAX || self.is_over() {
                break;
            }
        }
        self.checker.finished(&self.store, self.now);
        self.checker.take_violation().map_or(Ok(()), Err)
    }

    fn is_over(&self) -> bool {
        self.now > self.faults.until
            && self.coming == 0
            && self.checker.is_idle()
            && self.workers.values().all(Worker::is_idle)
            && self.store.unended().next().is_none()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Accept(task) => {
                self.coming -= 1;
                self.store.accept(*task, self.now);
                self.store_changed();
            }
            Step::Cancel(task) => self.cancel(task),
            Step::StoreTick => {
                self.store.tick(self.store_time());
                self.store_ticked();
                self.after(STORE_TICK_MS, Step::StoreTick);
            }
            Step::Call { host, life, call } => self.call(host, life, call),
            Step::ReadBacklog { host, life } => self.read_backlog(host, life),
            Step::Hint { host, life, tenant, more } => self.hint(host, life, tenant, more),
            Step::Event { host, life, event } => self.event(host, life, event),
            Step::Wake { host, life } => self.wake(host, life),
            Step::Start(host) => self.start(host),
            Step::Drain(host) => self.drain(host),
            Step::Abort(host) => self.abort(host),
            Step::SetClocks => self.set_clocks(),
            Step::Join { host, life } => self.join(host, life),
            Step::Worker(worker, step) => self.worker_step(worker, step),
            Step::Crash => self.crash_one(),
            Step::Freeze => self.freeze_one(),
            Step::Retire => self.retire_one(),
            Step::Part => self.part_one(),
            Step::Return(worker) => self.come_back(worker),
            Step::Forge => self.forge(),
        }
    }

    pub(crate) fn faulty(&self) -> bool {
        self.now < self.faults.until
    }

    pub(crate) fn note(&mut self, host: usize, event: &Event, effects: &[Effect]) {
        self.figures.handled(event, effects);
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>7} host {host}: {event:?}", self.now.0));
            lines.extend(effects.iter().map(|effect| format!("{:>15} {effect:?}", "->")));
        }
    }
}
