//! Who may be sent attempts, and how many. Local, push and pull differ here only: credit of local comes back with each
//! finished attempt, credit of push lasts until it is spent, credit of pull is one request, which expires.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use crate::{
    id::{Attempt, TaskId, WorkerId},
    limits::WORKER_SILENCE_MS_MAX,
    time::Millis,
};

/// Some credit with its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) expires_at: Millis,
    pub(super) slots: u32,
}

#[derive(Clone, Debug)]
struct Worker {
    /// Unspent credit, the first to expire first.
    grants: BTreeMap<Millis, u32>,
    free: u32,
    /// Attempts sent and not reported on, and whether their credit comes back.
    outstanding: BTreeMap<(TaskId, Attempt), Millis>,
    seen_at: Millis,
    /// A lease request for it is on its way. One at a time: credit gathers meanwhile, so requests batch by themselves.
    asked: bool,
    draining: bool,
}

/// The workers that are alive.
#[derive(Clone, Debug, Default)]
pub(super) struct Workers {
    workers: BTreeMap<WorkerId, Worker>,
    /// Workers that can be leased for, by free credit: the most free is the least loaded.
    by_free: BTreeSet<(u32, WorkerId)>,
    by_expiry: BTreeSet<(Millis, WorkerId)>,
    by_seen: BTreeSet<(Millis, WorkerId)>,
}

impl Workers {
    pub(super) fn accepts(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_some_and(|worker| !worker.draining)
    }

    /// Adds credit; the first grant makes the worker known.
    pub(super) fn grant(&mut self, id: WorkerId, grant: Grant, now: Millis) {
        self.workers.entry(id).or_insert_with(|| Worker {
            grants: BTreeMap::new(),
            free: 0,
            outstanding: BTreeMap::new(),
            seen_at: now,
            asked: false,
            draining: false,
        });
        self.saw(id, now);
        if grant.slots > 0 {
            self.put(id, grant);
        }
    }

    /// A sign of life.
    pub(super) fn saw(&mut self, id: WorkerId, now: Millis) {
        if let Some(worker) = self.workers.get_mut(&id) {
            self.by_seen.remove(&(worker.seen_at, id));
            worker.seen_at = now;
            self.by_seen.insert((now, id));
        }
    }

    /// The worker to lease for next, with its free credit: the one with the most.
    pub(super) fn most_free(&self) -> Option<(WorkerId, u32)> {
        self.by_free.last().map(|(free, id)| (*id, *free))
    }

    /// How many workers can be leased for.
    pub(super) fn free_workers(&self) -> usize {
        self.by_free.len()
    }

    /// Takes credit for a lease request, the first to expire first.
    pub(super) fn take(&mut self, id: WorkerId, mut count: u32) -> Vec<Grant> {
        let mut taken = Vec::new();
        self.change(id, |worker| {
            worker.asked = true;
            while count > 0
                && let Some(mut entry) = worker.grants.first_entry()
            {
                let slots = count.min(*entry.get());
                taken.push(Grant { expires_at: *entry.key(), slots });
                *entry.get_mut() -= slots;
                if *entry.get() == 0 {
                    entry.remove();
                }
                worker.free -= slots;
                count -= slots;
            }
        });
        taken
    }

    /// The lease request is answered; `unused` credit comes back.
    pub(super) fn answered(&mut self, id: WorkerId, unused: impl IntoIterator<Item = Grant>) {
        self.change(id, |worker| worker.asked = false);
        for grant in unused {
            self.put(id, grant);
        }
    }

    /// An attempt is sent on credit of this expiry.
    pub(super) fn send(&mut self, id: WorkerId, task: TaskId, attempt: Attempt, expires_at: Millis) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.outstanding.insert((task, attempt), expires_at);
        }
    }

    /// A worker reports on an attempt. Whether it was sent one and had not reported yet; lasting credit comes back.
    pub(super) fn report(&mut self, id: WorkerId, task: TaskId, attempt: Attempt) -> bool {
        let Some(expires_at) = self.workers.get_mut(&id).and_then(|worker| worker.outstanding.remove(&(task, attempt)))
        else {
            return false;
        };
        if expires_at == Millis::NEVER {
            self.put(id, Grant { expires_at, slots: 1 });
        }
        true
    }

    /// The worker is to be sent nothing more.
    pub(super) fn drain(&mut self, id: WorkerId) {
        self.change(id, |worker| worker.draining = true);
    }

    /// The worker cannot be reached: its credit is void.
    pub(super) fn void_credit(&mut self, id: WorkerId) {
        self.change(id, |worker| {
            worker.grants.clear();
            worker.free = 0;
        });
    }

    /// The worker is gone, and its credit with it. Whether it was known.
    pub(super) fn lose(&mut self, id: WorkerId) -> bool {
        self.unindex(id);
        let Some(worker) = self.workers.remove(&id) else { return false };
        self.by_seen.remove(&(worker.seen_at, id));
        true
    }

    /// Workers silent for too long at `now`.
    pub(super) fn silent(&self, now: Millis) -> Vec<WorkerId> {
        let silent = self.by_seen.iter().take_while(|(seen_at, _)| seen_at.plus(WORKER_SILENCE_MS_MAX) <= now);
        silent.map(|(_, id)| *id).collect()
    }

    /// Voids credit that expired at `now`; gives the workers whose credit it was, and how much.
    pub(super) fn expire(&mut self, now: Millis) -> Vec<(WorkerId, u32)> {
        let mut expired = Vec::new();
        while let Some(&(expires_at, id)) = self.by_expiry.first()
            && expires_at <= now
        {
            let mut slots = 0;
            self.change(id, |worker| {
                slots = worker.grants.remove(&expires_at).unwrap_or_default();
                worker.free -= slots;
            });
            expired.push((id, slots));
        }
        expired
    }

    /// When the next credit expires or the next worker has been silent for too long.
    pub(super) fn wake_at(&self) -> Millis {
        let expiry = self.by_expiry.first().map_or(Millis::NEVER, |(at, _)| *at);
        let silence = self.by_seen.first().map_or(Millis::NEVER, |(seen_at, _)| seen_at.plus(WORKER_SILENCE_MS_MAX));
        expiry.min(silence)
    }

    fn put(&mut self, id: WorkerId, grant: Grant) {
        self.change(id, |worker| {
            *worker.grants.entry(grant.expires_at).or_default() += grant.slots;
            worker.free += grant.slots;
        });
    }

    /// Changes a worker and keeps its index entries true.
    fn change(&mut self, id: WorkerId, change: impl FnOnce(&mut Worker)) {
        self.unindex(id);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        change(worker);
        if worker.free > 0 && !worker.asked && !worker.draining {
            self.by_free.insert((worker.free, id));
        }
        if let Some((&expires_at, _)) = worker.grants.first_key_value()
            && expires_at != Millis::NEVER
        {
            self.by_expiry.insert((expires_at, id));
        }
    }

    fn unindex(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get(&id) {
            self.by_free.remove(&(worker.free, id));
            if let Some((&expires_at, _)) = worker.grants.first_key_value() {
                self.by_expiry.remove(&(expires_at, id));
            }
        }
    }
}
