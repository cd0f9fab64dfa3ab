//! Fairness of the whole dispatcher in simulated time: one tenant's backlog delays another tenant by a bounded time
//! only. The store is a list, workers take exactly the given time, and nothing fails; faults are covered by the
//! simulation (`sim`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, VecDeque};

use fusebox_core::{
    dispatch::{Cost, Dispatcher, Effect, Event, Report, Reserved, Room, UNTIL_SPENT},
    id::{Attempt, TaskId, WorkerId},
    name::TenantId,
    quota::UNLIMITED,
    time::Millis,
};

const WORKER: WorkerId = WorkerId::from_bytes([1; 16]);
const SLOTS: u32 = 4;

/// A task: the time at which it becomes ready, and its duration, in milliseconds.
#[derive(Clone, Copy)]
struct Job {
    ready_at: u64,
    run_ms: u64,
}

/// An attempt at the worker.
#[derive(Clone)]
struct Run {
    task: TaskId,
    tenant: TenantId,
    job: Job,
    /// True if it consumed no credit.
    is_beyond: bool,
    /// True if it occupies the extra slot.
    has_extra: bool,
}

/// Everything outside the dispatcher.
struct World {
    core: Dispatcher,
    now: u64,
    queues: BTreeMap<TenantId, VecDeque<Job>>,
    slots: usize,
    /// Running attempts by the time of their end.
    running: BTreeMap<(u64, TaskId), Run>,
    /// Assigned attempts that wait for a slot.
    line: VecDeque<Run>,
    leased: BTreeMap<TaskId, (TenantId, Job)>,
    tasks: u64,
    /// Slot time used by each tenant's ended runs.
    held_ms: BTreeMap<TenantId, u64>,
    ended: BTreeMap<TenantId, u64>,
    /// Tenant and waiting time of every task that has started.
    waits: Vec<(TenantId, u64)>,
}

impl World {
    /// Returns a world whose worker grants credit only for what it can start at once.
    fn new() -> Self {
        Self::with(Room { slots: SLOTS, capacity: SLOTS, has_extra: false })
    }

    /// Returns a world whose worker grants its whole capacity.
    fn with(room: Room) -> Self {
        let mut world = Self {
            core: Dispatcher::new(7),
            now: 0,
            queues: BTreeMap::new(),
            slots: room.slots.try_into().unwrap(),
            running: BTreeMap::new(),
            line: VecDeque::new(),
            held_ms: BTreeMap::new(),
            ended: BTreeMap::new(),
            leased: BTreeMap::new(),
            tasks: 0,
            waits: Vec::new(),
        };
        world.event(Event::WorkerJoined { worker: WORKER, room });
        world.grant(room.capacity);
        world
    }

    fn submit(&mut self, tenant: &TenantId, count: u64, run_ms: u64) {
        let job = Job { ready_at: self.now, run_ms };
        self.queues.entry(tenant.clone()).or_default().extend((0..count).map(|_| job));
        self.event(Event::MoreReady { tenant: tenant.clone(), more: count });
    }

    fn grant(&mut self, slots: u32) {
        self.event(Event::CreditGranted { worker: WORKER, slots, expires_at: UNTIL_SPENT });
    }

    fn event(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let mut effects = Vec::new();
            self.core.handle(event, Millis(self.now), &mut effects);
            events.extend(effects.into_iter().filter_map(|effect| self.perform(effect)));
        }
    }

    fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Lease { request, tenant, count, .. } => {
                let queue = self.queues.entry(tenant.clone()).or_default();
                let taken: Vec<Job> = queue.drain(..queue.len().min(count.try_into().unwrap())).collect();
                let attempts: Vec<(TaskId, Attempt)> =
                    taken.into_iter().map(|job| (self.lease(&tenant, job), 1)).collect();
                Some(Event::Leased { request, attempts, reserved: Reserved::default() })
            }
            Effect::Assign { task, extra: is_beyond, .. } => {
                let (tenant, job) = self.leased.remove(&task).unwrap();
                self.line.push_back(Run { task, tenant, job, is_beyond, has_extra: false });
                self.begin();
                None
            }
            Effect::Save { task, attempt, .. } => Some(Event::Saved { task, attempt }),
            _ => None,
        }
    }

    fn lease(&mut self, tenant: &TenantId, job: Job) -> TaskId {
        self.tasks += 1;
        let task = TaskId::from_bytes(u128::from(self.tasks).to_be_bytes());
        self.leased.insert(task, (tenant.clone(), job));
        task
    }

    /// Starts waiting attempts in order of arrival. The extra slot takes an attempt of a tenant with no active run, if
    /// no ordinary slot is free.
    fn begin(&mut self) {
        loop {
            let is_busy = self.running.values().filter(|run| !run.has_extra).count() == self.slots;
            let runs = |tenant: &TenantId| self.running.values().any(|run| run.tenant == *tenant);
            let at = match is_busy {
                false => (!self.line.is_empty()).then_some(0),
                true if self.running.len() > self.slots => None,
                true => self.line.iter().position(|run| run.is_beyond && !runs(&run.tenant)),
            };
            let Some(mut run) = at.and_then(|at| self.line.remove(at)) else { break };
            run.has_extra = is_busy;
            self.waits.push((run.tenant.clone(), self.now - run.job.ready_at));
            self.running.insert((self.now + run.job.run_ms, run.task), run);
        }
    }

    /// Advances the time to `until`.
    fn run(&mut self, until: u64) {
        while let Some((&(at, task), _)) = self.running.first_key_value() {
            if at > until {
                break;
            }
            let Run { tenant, job, is_beyond, .. } = self.running.remove(&(at, task)).unwrap();
            self.now = at;
            *self.held_ms.entry(tenant.clone()).or_default() += job.run_ms;
            *self.ended.entry(tenant).or_default() += 1;
            self.begin();
            let cost = Cost { slot_us: job.run_ms * 1_000, fuel_left: 0 };
            self.event(Event::Finished { worker: WORKER, task, attempt: 1, report: Report::Ended, cost });
            if !is_beyond {
                self.grant(1);
            }
        }
        self.now = until;
    }

    fn p99_wait(&self, tenant: &TenantId) -> u64 {
        let mut waits: Vec<u64> =
            self.waits.iter().filter(|(whose, _)| whose == tenant).map(|(_, wait)| *wait).collect();
        waits.sort_unstable();
        waits[waits.len() * 99 / 100]
    }
}

/// Duration of a run of the steady tenant.
const STEADY_MS: u64 = 10;

/// Returns the 99th percentile of the steady tenant's waiting time: a burst of 40 tasks every 400 ms, a quarter of the
/// capacity of the slots.
fn wait_of_steady(flood: Option<(u64, u64)>) -> u64 {
    let (steady, flooding): (TenantId, TenantId) = ("steady".parse().unwrap(), "flooding".parse().unwrap());
    let mut world = World::new();
    if let Some((count, run_ms)) = flood {
        world.submit(&flooding, count, run_ms);
    }
    for round in 0..50 {
        world.run(round * 400);
        world.submit(&steady, 40, STEADY_MS);
    }
    world.run(50 * 400 + 10_000);
    world.p99_wait(&steady)
}

#[test]
fn a_hundred_thousand_waiting_tasks_leave_another_tenants_wait_no_more_than_twice_as_long() {
    let alone = wait_of_steady(None);
    assert_eq!(alone, 90, "the last of 40 begins when the slots have been filled nine times");
    for run_ms in [1, 10, 20] {
        let beside = wait_of_steady(Some((100_000, run_ms)));
        assert!(beside <= 2 * alone, "{beside} ms beside tasks of {run_ms} ms, {alone} ms alone");
    }
}

#[test]
fn a_tenant_with_a_cap_leaves_slots_free_for_others() {
    let (steady, flooding): (TenantId, TenantId) = ("steady".parse().unwrap(), "flooding".parse().unwrap());
    let mut world = World::new();
    let quota = Event::Quota { tenant: flooding.clone(), running_max: 2, fuel_per_minute: UNLIMITED };
    world.event(quota);
    // Each run is so long that it occupies its slot for the rest of the test.
    world.submit(&flooding, 100_000, 60_000);
    for round in 0..100 {
        world.run(round * 10);
        world.submit(&steady, 2, 10);
    }
    world.run(2_000);
    assert_eq!(world.p99_wait(&steady), 0, "two slots are always free for it");
    assert_eq!(world.waits.iter().filter(|(whose, _)| *whose == flooding).count(), 2);
}

const SLEEP_MS: u64 = 4_000;
/// Two slots, with one attempt prefetched for each.
const TWO_SLOTS: Room = Room { slots: 2, capacity: 4, has_extra: true };

#[test]
fn sleepers_in_every_slot_leave_another_tenants_short_runs_done_in_seconds() {
    let (sleeper, other): (TenantId, TenantId) = ("sleeper".parse().unwrap(), "other".parse().unwrap());
    let mut world = World::with(TWO_SLOTS);
    world.submit(&sleeper, 200, SLEEP_MS);
    world.run(1_000);
    world.submit(&other, 20, 50);
    world.run(1_000 + 2_000);
    assert_eq!(world.ended.get(&other), Some(&20), "one after the other, beside those that sleep");
    world.run(200 * SLEEP_MS);
    assert_eq!(world.ended[&sleeper], 200, "the sleeper had its two slots all the time but for a moment");
}

#[test]
fn without_an_extra_slot_sleepers_are_waited_for_once() {
    let (sleeper, other): (TenantId, TenantId) = ("sleeper".parse().unwrap(), "other".parse().unwrap());
    let mut world = World::with(Room { has_extra: false, ..TWO_SLOTS });
    world.submit(&sleeper, 200, SLEEP_MS);
    world.run(1_000);
    world.submit(&other, 20, 50);
    // Both the running attempts and those waiting for the same slots.
    world.run(2 * SLEEP_MS + 2_000);
    assert_eq!(world.ended.get(&other), Some(&20));
}

#[test]
fn sleepers_and_short_runs_hold_slots_for_as_long() {
    for has_extra in [false, true] {
        let (sleeper, other): (TenantId, TenantId) = ("sleeper".parse().unwrap(), "other".parse().unwrap());
        let mut world = World::with(Room { has_extra, ..TWO_SLOTS });
        world.submit(&sleeper, 10_000, SLEEP_MS);
        world.run(10_000);
        world.submit(&other, 100_000, 50);
        let before = world.held_ms[&sleeper];
        world.run(10_000 + 400_000);
        let (of_sleeper, of_other) = (world.held_ms[&sleeper] - before, world.held_ms[&other]);
        // Each may get the share of the extra slot that the other leaves.
        let least = 400_000 * 8 / 10;
        assert!(of_sleeper > least && of_other > least, "{of_sleeper} ms and {of_other} ms, extra: {has_extra}");
        assert!(of_other < of_sleeper * 3 / 2 && of_sleeper < of_other * 3 / 2, "{of_sleeper} ms and {of_other} ms");
    }
}
