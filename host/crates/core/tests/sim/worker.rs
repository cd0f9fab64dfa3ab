//! Test doubles of workers in the three modes. A worker runs its attempts and reports them until it is notified. Remote
//! workers crash, freeze, retire and lose messages; a restarted worker has a new id.

use std::collections::{BTreeMap, BTreeSet};

use fusebox_core::{
    dispatch::{Cost, Event, Report, Room, UNTIL_SPENT},
    id::{Attempt, TaskId, WorkerId},
    limits::{FUEL_DEFAULT, HEARTBEAT_MS},
    outcome::StopReason,
    time::Millis,
};

use crate::{
    faults::Mode,
    workload,
    world::{Step, World},
};

/// Attempts that a worker can hold for each slot. Attempts whose reports were lost count until the dispatcher learns of
/// their end.
const CAPACITY_PER_SLOT: u32 = 8;
/// Time for which a pull worker waits for an answer beyond the expiry of its request.
const PATIENCE_MS: u64 = 3_000;

pub(crate) struct Worker {
    pub(crate) host: usize,
    slots: u32,
    running: BTreeMap<(TaskId, Attempt), Option<StopReason>>,
    /// Those of them that are beyond its credit.
    extras: BTreeSet<(TaskId, Attempt)>,
    /// Reports that have not been acknowledged.
    untold: BTreeMap<(TaskId, Attempt), Report>,
    /// Time before which it does nothing.
    frozen_until: Millis,
    /// Time until which a pull worker waits for an answer.
    asks_until: Millis,
    retires: bool,
}

pub(crate) enum WorkerStep {
    Assigned { task: TaskId, attempt: Attempt, extra: bool },
    Stop { task: TaskId, attempt: Attempt, reason: StopReason },
    Told { task: TaskId, attempt: Attempt },
    NothingYet,
    RunEnds { task: TaskId, attempt: Attempt },
    Beat,
    Ask,
}

impl Worker {
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.untold.is_empty()
    }

    /// Returns the number of slots not held by attempts on credit.
    fn free(&self) -> u32 {
        self.slots.saturating_sub((self.running.len() - self.extras.len()).try_into().unwrap())
    }
}

impl World {
    pub(crate) fn workers_of(&self, host: usize) -> impl Iterator<Item = WorkerId> {
        self.workers.iter().filter(move |(_, worker)| worker.host == host).map(|(id, _)| *id)
    }

    pub(crate) fn runs_of(&self, host: usize) -> Vec<(WorkerId, TaskId, Attempt)> {
        let workers = self.workers.iter().filter(|(_, worker)| worker.host == host);
        let runs = workers.flat_map(|(id, worker)| worker.running.keys().map(|(task, attempt)| (*id, *task, *attempt)));
        runs.collect()
    }

    pub(crate) fn join(&mut self, host: usize, life: u32) {
        if !self.hosts[host].is_up || self.hosts[host].life != life {
            return;
        }
        self.workers_ever += 1;
        let id = WorkerId::from_bytes(workload::id_bytes(self.workers_ever));
        let slots = self.dice.between(1, 4).try_into().unwrap();
        let (running, extras, untold) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        let (frozen_until, asks_until) = (Millis(0), Millis(0));
        let worker = Worker { host, slots, running, extras, untold, frozen_until, asks_until, retires: false };
        self.workers.insert(id, worker);
        self.present(id);
        let grant = |expires_at| Event::CreditGranted { worker: id, slots, expires_at };
        match self.mode {
            Mode::Pull => self.worker_step(id, WorkerStep::Ask),
            Mode::Push | Mode::Local => self.event(host, Some(life), grant(UNTIL_SPENT)),
        }
        if self.mode != Mode::Local {
            let ms = self.dice.between(1, HEARTBEAT_MS);
            self.after(ms, Step::Worker(id, WorkerStep::Beat));
        }
    }

    /// Announces its capacity.
    fn present(&mut self, id: WorkerId) {
        let Worker { host, slots, .. } = self.workers[&id];
        let room = Room { slots, capacity: slots * CAPACITY_PER_SLOT, has_extra: true };
        self.event(host, None, Event::WorkerJoined { worker: id, room });
    }

    pub(crate) fn worker_step(&mut self, id: WorkerId, step: WorkerStep) {
        let now = self.now;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if now < worker.frozen_until {
            let thaw = worker.frozen_until;
            return self.at(thaw, Step::Worker(id, step));
        }
        match step {
            WorkerStep::Assigned { task, attempt, extra } => {
                if extra {
                    worker.extras.insert((task, attempt));
                }
                worker.running.insert((task, attempt), None);
                let ms = workload::run_ms(&mut self.dice);
                self.after(ms, Step::Worker(id, WorkerStep::RunEnds { task, attempt }));
            }
            WorkerStep::Stop { task, attempt, reason } => {
                if let Some(stop) = worker.running.get_mut(&(task, attempt)) {
                    *stop = Some(reason);
                    let ms = self.dice.between(1, 20);
                    self.after(ms, Step::Worker(id, WorkerStep::RunEnds { task, attempt }));
                }
            }
            WorkerStep::Told { task, attempt } => {
                worker.untold.remove(&(task, attempt));
            }
            WorkerStep::RunEnds { task, attempt } => self.run_ends(id, task, attempt),
            WorkerStep::Beat => self.renew(id),
            WorkerStep::NothingYet => {
                worker.asks_until = now;
                self.ask(id);
            }
            WorkerStep::Ask => self.ask(id),
        }
    }

    fn run_ends(&mut self, id: WorkerId, task: TaskId, attempt: Attempt) {
        let is_lost = self.dice.percent(self.faults.run_lost) && self.faulty();
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let report = match worker.running.remove(&(task, attempt)) {
            None => return, // It was stopped earlier.
            Some(Some(StopReason::Interrupted)) => Report::Interrupted,
            Some(None) if is_lost => Report::Lost,
            Some(None | Some(StopReason::Cancelled)) => Report::Ended,
        };
        let was_extra = worker.extras.remove(&(task, attempt));
        worker.untold.insert((task, attempt), report);
        let (host, life) = (worker.host, self.hosts[worker.host].life);
        self.report(id, task, attempt, report);
        if self.mode != Mode::Pull && !was_extra {
            // A link loses no messages while it is open.
            let event = Event::CreditGranted { worker: id, slots: 1, expires_at: UNTIL_SPENT };
            let ms = self.message_ms();
            self.after(ms, Step::Event { host, life: Some(life), event });
        }
        self.ask(id);
    }

    fn report(&mut self, id: WorkerId, task: TaskId, attempt: Attempt, report: Report) {
        let host = self.workers[&id].host;
        // The consumption of a run that was lost or interrupted is unknown.
        let fuel_left = if report == Report::Ended { self.dice.between(0, FUEL_DEFAULT) } else { 0 };
        let cost = Cost { slot_us: self.dice.between(0, 100_000), fuel_left };
        let copies = 1 + u64::from(self.faulty() && self.dice.percent(self.faults.report_twice));
        for _ in 0..copies {
            if !self.is_lost() {
                let ms = self.message_ms();
                let event = Event::Finished { worker: id, task, attempt, report, cost };
                self.after(ms, Step::Event { host, life: None, event });
            }
        }
    }

    fn renew(&mut self, id: WorkerId) {
        let Worker { host, retires, ref running, ref untold, .. } = self.workers[&id];
        if self.mode == Mode::Push && self.checker.has_lost(host, id) {
            // It was given up while silent. Its last reports arrive late, and it restarts with a new id.
            let last_words: Vec<_> = running.keys().copied().collect();
            for (task, attempt) in last_words {
                self.report(id, task, attempt, Report::Ended);
            }
            return self.leave(id, None);
        }
        if retires && running.is_empty() && untold.is_empty() {
            return self.leave(id, Some(Event::WorkerLeft { worker: id }));
        }
        let untold: Vec<_> = untold.iter().map(|(attempt, report)| (*attempt, *report)).collect();
        for ((task, attempt), report) in untold {
            self.report(id, task, attempt, report);
        }
        if !self.is_lost() {
            let ms = self.message_ms();
            self.after(ms, Step::Event { host, life: None, event: Event::Heartbeat { worker: id } });
        }
        self.ask(id);
        self.after(HEARTBEAT_MS, Step::Worker(id, WorkerStep::Beat));
    }

    /// Requests as many attempts as a pull worker has slots, unless a request is pending.
    fn ask(&mut self, id: WorkerId) {
        let wait_ms = self.dice.between(200, 4_000);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let slots = worker.free();
        if self.mode != Mode::Pull || worker.retires || slots == 0 || self.now < worker.asks_until {
            return;
        }
        let (host, expires_at) = (worker.host, self.now.plus(wait_ms));
        worker.asks_until = expires_at.plus(PATIENCE_MS);
        if !self.is_lost() {
            let ms = self.message_ms();
            let event = Event::CreditGranted { worker: id, slots, expires_at };
            self.after(ms, Step::Event { host, life: None, event });
        }
    }

    /// Removes a worker; its host is notified by the given event, or not at all.
    fn leave(&mut self, id: WorkerId, notice: Option<Event>) {
        let Some(Worker { host, .. }) = self.workers.remove(&id) else { return };
        let life = self.hosts[host].life;
        if let Some(event) = notice {
            let ms = self.message_ms();
            self.after(ms, Step::Event { host, life: Some(life), event });
        }
        let ms = self.dice.between(50, 2_000);
        self.after(ms, Step::Join { host, life });
    }

    fn one(&mut self) -> Option<WorkerId> {
        let ids: Vec<WorkerId> = self.workers.keys().copied().collect();
        self.dice.pick(&ids)
    }

    pub(crate) fn crash_one(&mut self) {
        let (is_noticed, says_goodbye) = (self.dice.percent(50), self.dice.percent(50));
        if let Some(worker) = self.one() {
            let notice = if says_goodbye { Event::WorkerLeft { worker } } else { Event::WorkerLost { worker } };
            self.leave(worker, is_noticed.then_some(notice));
        }
    }

    pub(crate) fn freeze_one(&mut self) {
        let thaw = self.now.plus(self.dice.between(500, 15_000));
        if let Some(worker) = self.one().and_then(|id| self.workers.get_mut(&id)) {
            worker.frozen_until = thaw;
        }
    }

    pub(crate) fn retire_one(&mut self) {
        let Some(id) = self.one() else { return };
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.retires = true;
            let host = worker.host;
            self.event(host, None, Event::WorkerDrains { worker: id });
        }
    }

    /// Breaks the link of a worker, which soon reconnects and announces its capacity again.
    pub(crate) fn part_one(&mut self) {
        let Some(id) = self.one() else { return };
        let host = self.workers[&id].host;
        self.event(host, None, Event::WorkerAway { worker: id });
        let ms = self.dice.between(10, 3_000);
        self.after(ms, Step::Return(id));
    }

    pub(crate) fn come_back(&mut self, id: WorkerId) {
        let now = self.now;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.asks_until = now;
        let (host, slots) = (worker.host, worker.free());
        if !self.checker.has_lost(host, id) {
            self.present(id);
        }
        if self.mode == Mode::Pull {
            return self.ask(id);
        }
        // A worker given up meanwhile returns with a new id; see `beat`.
        if self.mode == Mode::Push && self.hosts[host].is_up && !self.checker.has_lost(host, id) {
            self.event(host, None, Event::CreditGranted { worker: id, slots, expires_at: UNTIL_SPENT });
        }
    }

    /// Sends a forged report: of another worker's attempt, of an old one, or of one that never existed. Or forged
    /// credit.
    pub(crate) fn forge(&mut self) {
        if self.mode != Mode::Local && self.dice.percent(20) {
            return self.forge_credit();
        }
        let tasks: Vec<TaskId> = self.store.unended().map(|task| task.id).collect();
        let (Some(worker), Some(task)) = (self.one(), self.dice.pick(&tasks)) else { return };
        let attempt = Attempt::try_from(self.dice.between(0, 4)).unwrap();
        let host = self.workers[&worker].host;
        // Messages can overtake each other here, unlike on a link: the answer to a forgery would make the worker forget
        // the end of an attempt that it is given later.
        let may_be_given = self.store.may_be_given(task, attempt, worker);
        if !may_be_given && !self.checker.is_assigned(host, worker, task, attempt) {
            let event = Event::Finished {
                worker,
                task,
                attempt,
                report: Report::Ended,
                cost: Cost { slot_us: 1, fuel_left: 1 },
            };
            self.event(host, None, event);
        }
    }

    fn forge_credit(&mut self) {
        let Some(worker) = self.one() else { return };
        let host = self.workers[&worker].host;
        if !self.checker.has_lost(host, worker) {
            let expires_at = if self.mode == Mode::Pull { self.now.plus(1_000) } else { UNTIL_SPENT };
            self.event(host, None, Event::CreditGranted { worker, slots: u32::MAX, expires_at });
        }
    }

    /// Sends a message to a worker; a lost message is sent again on the worker's next report.
    pub(crate) fn send(&mut self, worker: WorkerId, step: WorkerStep) {
        if !self.is_lost() {
            let ms = self.message_ms();
            self.after(ms, Step::Worker(worker, step));
        }
    }

    fn is_lost(&mut self) -> bool {
        self.faulty() && self.dice.percent(self.faults.message_lost)
    }

    pub(crate) fn message_ms(&mut self) -> u64 {
        if self.faulty() && self.dice.percent(self.faults.message_late) {
            return self.dice.between(100, 6_000);
        }
        self.dice.between(0, 5)
    }
}
