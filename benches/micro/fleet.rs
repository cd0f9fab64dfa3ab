//! A simulated fleet around the dispatcher core: workers, links and a store with delays and negligible cost, so that
//! only the core is measured. Every attempt is leased, assigned, reported and saved, and counted.

use std::collections::VecDeque;

use fusebox_core::{
    dispatch::{Cost, Dispatcher, Effect, Event, Report, RequestId, Reserved, UNTIL_SPENT},
    id::{Attempt, TaskId, WorkerId},
    limits::HEARTBEAT_MS,
    name::TenantId,
    time::Millis,
};

/// Number of tasks in a hint.
const HINT: u64 = 64;
/// Average duration of a run, in rounds of the store.
const RUN_ROUNDS: usize = 4;
/// Slot time of a run in microseconds.
const SLOT_US: u64 = 100;

/// Dispatcher core with simulated surroundings. See the module's documentation.
pub(crate) struct Fleet {
    core: Dispatcher,
    now: Millis,
    tenant: TenantId,
    workers: Vec<WorkerId>,
    effects: Vec<Effect>,
    leases: VecDeque<(RequestId, u32)>,
    running: Vec<(WorkerId, TaskId, Attempt)>,
    saves: Vec<(WorkerId, TaskId, Attempt)>,
    credit: Vec<WorkerId>,
    random: u64,
    /// Number of tasks made ready; `leased` counts those of them that were leased.
    ready: u64,
    leased: u64,
    /// Number of attempts that are over, with their workers notified.
    decided: u64,
    renew_at: Millis,
}

impl Fleet {
    /// Returns a fleet of push workers with `slots` slots each.
    pub(crate) fn new(workers: usize, slots: u32) -> Self {
        let mut fleet = Self {
            core: Dispatcher::new(7),
            now: Millis(1_000_000),
            tenant: TenantId::default_tenant(),
            workers: Vec::new(),
            effects: Vec::new(),
            leases: VecDeque::new(),
            running: Vec::new(),
            saves: Vec::new(),
            credit: Vec::new(),
            random: 7,
            ready: 0,
            leased: 0,
            decided: 0,
            renew_at: Millis(0),
        };
        for _ in 0..workers {
            let worker = WorkerId::from_bytes(fleet.id());
            fleet.workers.push(worker);
            fleet.handle(Event::CreditGranted { worker, slots, expires_at: UNTIL_SPENT });
        }
        fleet
    }

    /// Takes tasks from ready to recorded.
    pub(crate) fn run(&mut self, tasks: u64) {
        let (wanted, made) = (self.decided + tasks, self.ready + tasks);
        while self.decided < wanted {
            self.round(made);
        }
    }

    /// Simulates one round of the store.
    fn round(&mut self, made: u64) {
        self.now = self.now.plus(1);
        // Clients keep slightly more tasks ready than there is room for.
        let room = self.workers.len() as u64 * 16;
        while self.ready < made && self.ready - self.leased < room {
            let more = HINT.min(made - self.ready);
            self.ready += more;
            self.handle(Event::MoreReady { tenant: self.tenant.clone(), more });
        }
        for _ in 0..self.leases.len() {
            let Some((request, count)) = self.leases.pop_front() else { break };
            let count = u64::from(count).min(self.ready - self.leased);
            self.leased += count;
            let attempts = (0..count).map(|_| (TaskId::from_bytes(self.id()), 1)).collect();
            self.handle(Event::Leased { request, attempts, reserved: Reserved::default() });
        }
        for _ in 0..self.running.len().div_ceil(RUN_ROUNDS) {
            let at = usize::try_from(self.next() % self.running.len() as u64).unwrap_or_default();
            let (worker, task, attempt) = self.running.swap_remove(at);
            let cost = Cost { slot_us: SLOT_US, fuel_left: 0 };
            self.handle(Event::Finished { worker, task, attempt, report: Report::Ended, cost });
        }
        for (_, task, attempt) in std::mem::take(&mut self.saves) {
            self.handle(Event::Saved { task, attempt });
        }
        for worker in std::mem::take(&mut self.credit) {
            self.handle(Event::CreditGranted { worker, slots: 1, expires_at: UNTIL_SPENT });
        }
        if self.renew_at <= self.now {
            self.renew_at = self.now.plus(HEARTBEAT_MS);
            for at in 0..self.workers.len() {
                let worker = self.workers[at];
                self.handle(Event::Heartbeat { worker });
            }
        }
    }

    fn handle(&mut self, event: Event) {
        self.core.handle(event, self.now, &mut self.effects);
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Lease { request, count, .. } => self.leases.push_back((request, count)),
                Effect::Assign { worker, task, attempt, .. } => self.running.push((worker, task, attempt)),
                Effect::Save { worker, task, attempt, .. } => self.saves.push((worker, task, attempt)),
                Effect::Acknowledge { worker, .. } => {
                    self.decided += 1;
                    self.credit.push(worker);
                }
                _ => {}
            }
        }
    }

    /// Returns an id that sorts like a UUIDv7: by time, and arbitrarily within the same time.
    fn id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        let (head, tail) = id.split_at_mut(8);
        head.copy_from_slice(&(self.now.0 << 16 | self.next() >> 48).to_be_bytes());
        tail.copy_from_slice(&self.next().to_be_bytes());
        id
    }

    /// Returns a random number by Xorshift (Marsaglia, 2003).
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}
