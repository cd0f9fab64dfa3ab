//! Slots with runs that wait for each other: a job that waits while a slot sleeps would wait forever.

use std::{
    sync::mpsc::{self, Receiver, Sender},
    time::{Duration, Instant},
};

use fusebox_core::{
    capability::{Grants, HostAnswer, HostCall, Refusal},
    function::RunLimits,
    id::ModuleDigest,
};
use fusebox_sandbox::{Guest, WaitLimit};

use super::*;

const SLOTS: u32 = 4;
const DEADLINE: Duration = Duration::from_secs(20);

/// Ends runs once as many are in progress as there are slots.
#[derive(Default)]
struct Together {
    running: Mutex<u32>,
    more: Condvar,
}

impl Runner for Together {
    fn run(&self, _: Call) -> Result<Run, NotRun<Call>> {
        let mut running = self.running.lock().unwrap();
        *running += 1;
        self.more.notify_all();
        let end = Instant::now() + DEADLINE;
        while *running < SLOTS {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(NotRun::Broken("it ran alone".to_owned()));
            }
            running = self.more.wait_timeout(running, left).unwrap().0;
        }
        Err(NotRun::Lost("it ran with all others".to_owned()))
    }
}

struct Nothing;

impl HostCalls for Nothing {
    fn call(&self, _: Guest<'_>, _: HostCall, _: &WaitLimit) -> Result<HostAnswer, Refusal> {
        Err(Refusal::Unavailable)
    }
}

/// Job of a synchronous invocation.
pub(in crate::worker) fn job() -> Job {
    let invocation = Invocation::plain(
        TenantId::default_tenant(),
        "f".parse().unwrap(),
        ModuleDigest([0; 32]),
        RunLimits::default(),
        Grants::default(),
        Bytes::new(),
    );
    Job::invoke(invocation, StopFlag::default(), None)
}

fn slots(count: u32, runner: Arc<dyn Runner>) -> Slots {
    let (clock, worker) = (Clock::System, WorkerId::from_bytes([0; 16]));
    Slots::start(count, runner, Arc::new(Nothing), worker, &clock, &Arc::new(Metrics::new(count))).unwrap()
}

#[test]
fn a_burst_wakes_every_slot() {
    let runner = Arc::new(Together::default());
    let slots = slots(SLOTS, runner.clone());
    for _ in 0..50 {
        let (ended, ends) = mpsc::channel();
        for _ in 0..SLOTS {
            let ended = ended.clone();
            let done = Box::new(move |done| ended.send(matches!(done, Err(NotRun::Lost(_)))).unwrap());
            slots.submit(Lane::Attempts, job(), done).unwrap();
        }
        for _ in 0..SLOTS {
            assert!(ends.recv_timeout(2 * DEADLINE).unwrap(), "a slot slept while jobs waited");
        }
        *runner.running.lock().unwrap() = 0;
    }
}

/// Reports the tenant of each run that begins, and ends the run on request.
struct Held {
    begun: Sender<(TenantId, Sender<()>)>,
}

impl Runner for Held {
    fn run(&self, call: Call) -> Result<Run, NotRun<Call>> {
        let (end, ends) = mpsc::channel();
        self.begun.send((call.invocation.tenant, end)).unwrap();
        let _ = ends.recv_timeout(DEADLINE);
        Err(NotRun::Lost("it was told to end".to_owned()))
    }
}

struct Stage {
    slots: Slots,
    begun: Receiver<(TenantId, Sender<()>)>,
}

impl Stage {
    fn new(count: u32) -> Self {
        let (sender, begun) = mpsc::channel();
        Self { slots: slots(count, Arc::new(Held { begun: sender })), begun }
    }

    fn submit(&self, lane: Lane, tenant: &str, jobs: usize) {
        for _ in 0..jobs {
            let mut job = job();
            job.invocation.tenant = tenant.parse().unwrap();
            self.slots.submit(lane, job, Box::new(drop)).unwrap();
        }
    }

    /// Returns the next run that begins: its tenant, and the sender that ends it.
    fn next(&self) -> (String, Sender<()>) {
        let (tenant, end) = self.begun.recv_timeout(DEADLINE).expect("a run begins");
        (tenant.to_string(), end)
    }
}

fn long_runs_leave_a_slot_for_another_tenant(lane: Lane) {
    let stage = Stage::new(2);
    stage.submit(lane, "sleeper", 50);
    let held = [stage.next(), stage.next()];
    assert!(held.iter().all(|(tenant, _)| tenant == "sleeper"));
    stage.submit(lane, "other", 3);
    for _ in 0..3 {
        let (tenant, end) = stage.next();
        assert_eq!(tenant, "other", "it is served one after the other while no slot is free");
        end.send(()).unwrap();
    }
    // The sleeper has 48 jobs waiting and the extra slot is free: with a right to it, one would have begun before the
    // others.
    let [(_, end), _still_held] = held;
    stage.submit(lane, "third", 1);
    let (tenant, _third) = stage.next();
    assert_eq!(tenant, "third");
    end.send(()).unwrap();
    let (tenant, _end) = stage.next();
    assert_eq!(tenant, "sleeper", "a slot that is free serves who waits");
    assert!(stage.begun.try_recv().is_err(), "no tenant has more than the slots while another has the extra one");
}

#[test]
fn long_attempts_leave_a_slot_for_another_tenant() {
    long_runs_leave_a_slot_for_another_tenant(Lane::Attempts);
}

#[test]
fn long_invokes_leave_a_slot_for_another_tenant() {
    long_runs_leave_a_slot_for_another_tenant(Lane::Invokes);
}
