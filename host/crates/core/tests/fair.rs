//! Fairness of the whole dispatcher, in simulated time: what one tenant has waiting leaves another one's wait bounded. The
//! store is a list, workers take as long as they are told, and nothing fails: faults are the simulation's (`sim`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, VecDeque};

use fusebox_core::{
    dispatch::{Answer, Cost, Dispatcher, Effect, Event, Report, Reserved},
    id::{Attempt, TaskId, WorkerId},
    name::TenantId,
    quota::UNLIMITED,
    time::Millis,
};

const WORKER: WorkerId = WorkerId::from_bytes([1; 16]);
const SLOTS: u32 = 4;

/// A task: when it became ready, and how long it runs, in milliseconds.
#[derive(Clone, Copy)]
struct Job {
    ready_at: u64,
    run_ms: u64,
}

/// Everything that is outside the dispatcher.
struct World {
    core: Dispatcher,
    now: u64,
    queues: BTreeMap<TenantId, VecDeque<Job>>,
    running: BTreeMap<(u64, TaskId), (TenantId, Job)>,
    leased: BTreeMap<TaskId, (TenantId, Job)>,
    tasks: u64,
    /// Of every task that began: whose, and how long it waited.
    waits: Vec<(TenantId, u64)>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            core: Dispatcher::new(7),
            now: 0,
            queues: BTreeMap::new(),
            running: BTreeMap::new(),
            leased: BTreeMap::new(),
            tasks: 0,
            waits: Vec::new(),
        };
        world.event(Event::CreditGranted { worker: WORKER, slots: SLOTS, expires_at: Millis::NEVER });
        world
    }

    fn submit(&mut self, tenant: &TenantId, count: u64, run_ms: u64) {
        let job = Job { ready_at: self.now, run_ms };
        self.queues.entry(tenant.clone()).or_default().extend((0..count).map(|_| job));
        self.event(Event::MoreReady { tenant: tenant.clone(), more: count });
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
            Effect::Assign { task, .. } => {
                let (tenant, job) = self.leased.remove(&task).unwrap();
                self.waits.push((tenant.clone(), self.now - job.ready_at));
                self.running.insert((self.now + job.run_ms, task), (tenant, job));
                None
            }
            Effect::Save { task, attempt, .. } => Some(Event::Saved { task, attempt, answer: Answer::Ended }),
            _ => None,
        }
    }

    fn lease(&mut self, tenant: &TenantId, job: Job) -> TaskId {
        self.tasks += 1;
        let task = TaskId::from_bytes(u128::from(self.tasks).to_be_bytes());
        self.leased.insert(task, (tenant.clone(), job));
        task
    }

    /// Lets time pass until `until`.
    fn run(&mut self, until: u64) {
        while let Some((&(at, task), _)) = self.running.first_key_value() {
            if at > until {
                break;
            }
            let (_, job) = self.running.remove(&(at, task)).unwrap();
            self.now = at;
            let cost = Cost { cpu_us: job.run_ms * 1_000, fuel_left: 0 };
            self.event(Event::Finished { worker: WORKER, task, attempt: 1, report: Report::Ended, cost });
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

/// How long a run of the steady tenant takes.
const STEADY_MS: u64 = 10;

/// The 99th percentile of what a steady tenant waits: a burst of 40 tasks every 400 ms, a quarter of what the slots can do.
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
    // Runs so long that a slot once taken is gone for the whole test.
    world.submit(&flooding, 100_000, 60_000);
    for round in 0..100 {
        world.run(round * 10);
        world.submit(&steady, 2, 10);
    }
    world.run(2_000);
    assert_eq!(world.p99_wait(&steady), 0, "two slots are always free for it");
    assert_eq!(world.waits.iter().filter(|(whose, _)| *whose == flooding).count(), 2);
}
