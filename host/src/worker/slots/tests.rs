//! Slots with runs that wait for each other: a job that waits while a slot sleeps would wait for ever.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use fusebox_core::capability::{Answer, Call as Question, Refusal};
use fusebox_sandbox::Patience;

use super::*;

const SLOTS: u32 = 4;
const DEADLINE: Duration = Duration::from_secs(20);

/// Runs end when as many go on as there are slots.
#[derive(Default)]
struct Together {
    running: Mutex<u32>,
    more: Condvar,
}

impl Runner for Together {
    fn run(&self, _: &ModuleDigest, _: Call) -> Attempted {
        let mut running = self.running.lock().unwrap();
        *running += 1;
        self.more.notify_all();
        let end = Instant::now() + DEADLINE;
        while *running < SLOTS {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Attempted::Broken("it ran alone".to_owned());
            }
            running = self.more.wait_timeout(running, left).unwrap().0;
        }
        Attempted::Lost("it ran with all others".to_owned())
    }
}

struct Nothing;

impl Outside for Nothing {
    fn call(&self, _: &CallContext, _: Question, _: &Patience) -> Result<Answer, Refusal> {
        Err(Refusal::Unavailable)
    }
}

/// An invoke of nobody's function.
pub(in crate::worker) fn job() -> Job {
    Job {
        module: ModuleDigest([0; 32]),
        task: None,
        attempt: 1,
        tenant: TenantId::default_tenant(),
        function: "f".parse().unwrap(),
        limits: RunLimits::default(),
        grants: Grants::default(),
        input: Bytes::new(),
        stop: StopFlag::default(),
        accepted_at: Millis(0),
    }
}

#[test]
fn a_burst_wakes_every_slot() {
    let (runner, clock) = (Arc::new(Together::default()), Clock::manual(Millis(0)));
    let worker = WorkerId::from_bytes([0; 16]);
    let metrics = Arc::new(Metrics::new(SLOTS));
    let slots = Slots::start(SLOTS, runner.clone(), Arc::new(Nothing), worker, &clock, &metrics).unwrap();
    for _ in 0..50 {
        let (ended, ends) = mpsc::channel();
        for _ in 0..SLOTS {
            let ended = ended.clone();
            let done = Box::new(move |done| ended.send(matches!(done, Done::Lost(_))).unwrap());
            assert!(slots.submit(Lane::Invokes, usize::MAX, job(), done));
        }
        for _ in 0..SLOTS {
            assert!(ends.recv_timeout(2 * DEADLINE).unwrap(), "a slot slept while jobs waited");
        }
        *runner.running.lock().unwrap() = 0;
    }
}
