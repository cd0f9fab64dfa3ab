//! Workers and their credit. Modes differ only here: credit lasts until it is spent, except in pull mode, where it is a
//! request that expires.
//!
//! A worker's announced capacity limits it: the sum of its free credit, the credit taken by pending lease steps, and
//! the attempts sent but not reported never exceeds it.

use alloc::{
    collections::{BTreeSet, VecDeque},
    vec::Vec,
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::{
    event::{Room, UNTIL_SPENT},
    extra::Extras,
    free::{Free, Place},
    hold::{Hold, Over},
};
use crate::{
    id::{Attempt, TaskId, WorkerId},
    limits::{WORKER_CAPACITY_MAX, WORKER_SILENCE_MS_MAX},
    name::TenantId,
    time::Millis,
};

/// Credit with its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) expires_at: Millis,
    pub(super) slots: u32,
}

#[derive(Clone, Debug)]
struct Worker {
    /// Unspent credit, in order of expiry.
    grants: VecDeque<Grant>,
    free: u32,
    /// Number of attempts that it can hold.
    capacity: u32,
    /// Credit taken by the pending lease step.
    leasing: u32,
    hold: Hold,
    extra: Extra,
    /// True while the worker is reachable.
    present: bool,
    /// Number of attempts that it holds or is being leased, by tenant.
    tenants: HashMap<TenantId, u32, FixedState>,
    seen_at: Millis,
    /// True while a lease request for it is pending. Only one is allowed at a time: credit accumulates meanwhile, which
    /// forms batches.
    asked: bool,
    draining: bool,
    place: Place,
}

/// State of a worker's extra slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extra {
    /// The worker has no extra slot.
    None,
    Free,
    /// An attempt for it is being leased or has been sent.
    Taken,
}

/// Known workers.
#[derive(Clone, Debug)]
pub(super) struct Workers {
    hashes: FixedState,
    workers: HashMap<WorkerId, Worker, FixedState>,
    /// Index of workers that can be leased for.
    free: Free,
    /// Workers with expiring credit, by first expiry.
    by_expiry: BTreeSet<(Millis, WorkerId)>,
    /// Index of workers whose extra slot is free.
    extras: Extras,
    /// Time before which no worker can have been silent for too long.
    silence_at: Millis,
}

impl Workers {
    /// Returns an empty set.
    pub(super) fn new(hashes: FixedState) -> Self {
        Self {
            workers: HashMap::with_hasher(hashes.clone()),
            extras: Extras::new(hashes.clone()),
            hashes,
            free: Free::default(),
            by_expiry: BTreeSet::new(),
            silence_at: Millis::NEVER,
        }
    }

    pub(super) fn accepts(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_some_and(|worker| !worker.draining)
    }

    /// Adds a worker, or updates the capacity of one that reconnects.
    pub(super) fn join(&mut self, id: WorkerId, room: Room, now: Millis) {
        self.know(id, now, |worker| {
            worker.capacity = room.capacity.min(WORKER_CAPACITY_MAX);
            worker.hold.set_slots(room.slots.min(WORKER_CAPACITY_MAX));
            worker.present = true;
            worker.extra = match (room.has_extra, worker.extra) {
                (true, Extra::None) => Extra::Free,
                (true, extra) => extra,
                (false, _) => Extra::None,
            };
        });
    }

    /// Adds credit up to the worker's capacity; the first grant makes the worker known.
    pub(super) fn grant(&mut self, id: WorkerId, grant: Grant, now: Millis) {
        self.know(id, now, |worker| worker.put(Grant { slots: grant.slots.min(worker.room()), ..grant }));
    }

    fn know(&mut self, id: WorkerId, now: Millis, change: impl Fn(&mut Worker)) {
        let seen = |worker: &mut Worker| {
            worker.seen_at = now;
            change(worker);
        };
        if !self.change(id, seen) {
            self.workers.insert(id, Worker::new(self.hashes.clone()));
            self.change(id, seen);
        }
        self.silence_at = self.silence_at.min(now.plus(WORKER_SILENCE_MS_MAX));
    }

    /// Records a sign of life.
    pub(super) fn saw(&mut self, id: WorkerId, now: Millis) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.seen_at = now;
            self.silence_at = self.silence_at.min(now.plus(WORKER_SILENCE_MS_MAX));
        }
    }

    /// Returns a worker with the most free credit and the amount of that credit.
    pub(super) fn most_free(&self) -> Option<(WorkerId, u32)> {
        let id = self.free.most()?;
        self.workers.get(&id).map(|worker| (id, worker.free))
    }

    /// Returns the number of workers that can be leased for.
    pub(super) const fn free_workers(&self) -> usize {
        self.free.count()
    }

    /// Takes credit for a lease request, in order of expiry.
    pub(super) fn take(&mut self, id: WorkerId, mut count: u32) -> Vec<Grant> {
        let mut taken = Vec::new();
        self.change(id, |worker| {
            worker.asked = true;
            while count > 0
                && let Some(first) = worker.grants.front_mut()
            {
                let slots = count.min(first.slots);
                taken.push(Grant { expires_at: first.expires_at, slots });
                first.slots -= slots;
                if first.slots == 0 {
                    worker.grants.pop_front();
                }
                worker.free = worker.free.saturating_sub(slots);
                worker.leasing = worker.leasing.saturating_add(slots);
                count -= slots;
            }
        });
        taken
    }

    /// Ends the pending lease request and returns `unused` credit to the worker.
    pub(super) fn answered(&mut self, id: WorkerId, unused: impl IntoIterator<Item = Grant>) {
        self.change(id, |worker| {
            worker.asked = false;
            worker.leasing = 0;
            unused.into_iter().for_each(|grant| worker.put(grant));
        });
    }

    /// Adds attempts of a tenant to a worker's count, starting with the lease request.
    pub(super) fn count(&mut self, id: WorkerId, tenant: &TenantId, count: u32) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        match worker.tenants.get_mut(tenant) {
            Some(known) => *known = known.saturating_add(count),
            None => {
                worker.tenants.insert(tenant.clone(), count);
                self.extras.met(id, tenant);
            }
        }
    }

    /// Subtracts attempts that ended or were not leased.
    pub(super) fn discount(&mut self, id: WorkerId, tenant: &TenantId, count: u32) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Some(known) = worker.tenants.get_mut(tenant) else { return };
        *known = known.saturating_sub(count);
        if *known == 0 {
            worker.tenants.remove(tenant);
            self.extras.parted(id, tenant);
        }
    }

    /// Returns a worker whose extra slot is free and that holds nothing of the tenant.
    pub(super) fn with_extra_for(&self, tenant: &TenantId) -> Option<WorkerId> {
        let has_nothing = |id| self.workers.get(&id).is_some_and(|worker| !worker.tenants.contains_key(tenant));
        self.extras.for_stranger(tenant, has_nothing)
    }

    /// Returns whether any worker's extra slot is free.
    pub(super) fn has_extras(&self) -> bool {
        !self.extras.is_empty()
    }

    /// Takes the extra slot of a worker for a lease request.
    pub(super) fn take_extra(&mut self, id: WorkerId) {
        self.change(id, |worker| worker.extra = Extra::Taken);
    }

    /// Frees an extra slot whose lease request returned no attempt.
    pub(super) fn extra_unused(&mut self, id: WorkerId) {
        self.change(id, Worker::free_extra);
    }

    /// Records a sent attempt; returns whether it gets a slot at once.
    pub(super) fn send(
        &mut self,
        id: WorkerId,
        attempt: (TaskId, Attempt),
        tenant: TenantId,
        is_extra: bool,
        now: Millis,
    ) -> bool {
        self.workers.get_mut(&id).is_some_and(|worker| worker.hold.send(attempt, tenant, is_extra, now))
    }

    /// Removes an attempt that its worker reported or must stop; `None` if it was not sent, or was removed before.
    pub(super) fn over(&mut self, id: WorkerId, task: TaskId, attempt: Attempt, now: Millis) -> Option<Over> {
        let over = self.workers.get_mut(&id)?.hold.over((task, attempt), now)?;
        self.discount(id, &over.tenant, 1);
        if over.is_extra {
            self.change(id, Worker::free_extra);
        }
        Some(over)
    }

    /// Excludes a worker from further attempts.
    pub(super) fn drain(&mut self, id: WorkerId) {
        self.change(id, |worker| worker.draining = true);
    }

    /// Voids the credit of an unreachable worker.
    pub(super) fn void_credit(&mut self, id: WorkerId) {
        self.change(id, |worker| {
            worker.grants.clear();
            worker.free = 0;
            worker.present = false;
        });
    }

    /// Removes a worker with its credit, and returns the attempts that it was sent and has not reported; `None` if it
    /// was not known.
    pub(super) fn lose(&mut self, id: WorkerId) -> Option<Vec<((TaskId, Attempt), Over)>> {
        self.void_credit(id);
        self.workers.remove(&id).map(|worker| worker.hold.into_all())
    }

    /// Returns the workers that have been silent for too long at `now`, for the caller to remove.
    pub(super) fn silent(&mut self, now: Millis) -> Vec<WorkerId> {
        let mut silent = Vec::new();
        if now < self.silence_at {
            return silent;
        }
        self.silence_at = Millis::NEVER;
        for (id, worker) in &self.workers {
            let at = worker.seen_at.plus(WORKER_SILENCE_MS_MAX);
            if at <= now {
                silent.push(*id);
            } else {
                self.silence_at = self.silence_at.min(at);
            }
        }
        silent
    }

    /// Voids credit expired at `now`, and returns the affected workers with the amounts.
    pub(super) fn expire(&mut self, now: Millis) -> Vec<(WorkerId, u32)> {
        let mut expired = Vec::new();
        while let Some(&(expires_at, id)) = self.by_expiry.first()
            && expires_at <= now
        {
            let mut slots = 0;
            self.change(id, |worker| {
                slots = worker.grants.pop_front().map_or(0, |grant| grant.slots);
                worker.free = worker.free.saturating_sub(slots);
            });
            expired.push((id, slots));
        }
        expired
    }

    /// Returns the earlier of the next expiry of credit and the next time at which a worker may have been silent for
    /// too long.
    pub(super) fn wake_at(&self) -> Millis {
        self.by_expiry.first().map_or(Millis::NEVER, |(at, _)| *at).min(self.silence_at)
    }

    /// Changes a worker and updates its index entries; returns whether the worker is known.
    fn change(&mut self, id: WorkerId, change: impl FnOnce(&mut Worker)) -> bool {
        let Some(worker) = self.workers.get_mut(&id) else { return false };
        let before = worker.expires_at();
        change(worker);
        let after = worker.expires_at();
        if before != after {
            before.map(|at| self.by_expiry.remove(&(at, id)));
            after.map(|at| self.by_expiry.insert((at, id)));
        }
        self.extras.set(id, worker.has_extra(), worker.tenants.keys());
        let (place, rank) = (worker.place, worker.rank());
        if place.rank != rank {
            let moved = self.free.remove(place);
            worker.place = self.free.insert(id, rank);
            if let Some(moved) = moved.and_then(|moved| self.workers.get_mut(&moved)) {
                moved.place = place;
            }
        }
        true
    }
}

impl Worker {
    fn new(hashes: FixedState) -> Self {
        Self {
            grants: VecDeque::new(),
            free: 0,
            capacity: WORKER_CAPACITY_MAX,
            leasing: 0,
            hold: Hold::new(WORKER_CAPACITY_MAX, hashes.clone()),
            extra: Extra::None,
            present: true,
            tenants: HashMap::with_hasher(hashes),
            seen_at: Millis(0),
            asked: false,
            draining: false,
            place: Place::default(),
        }
    }

    /// Returns the amount of credit that can still be granted.
    fn room(&self) -> u32 {
        self.capacity.saturating_sub(self.free).saturating_sub(self.leasing).saturating_sub(self.hold.ordinary())
    }

    /// Returns whether an attempt may be leased for its extra slot.
    fn has_extra(&self) -> bool {
        self.extra == Extra::Free && self.present && !self.draining
    }

    fn free_extra(&mut self) {
        if self.extra == Extra::Taken {
            self.extra = Extra::Free;
        }
    }

    fn put(&mut self, grant: Grant) {
        if grant.slots == 0 {
            return;
        }
        self.free = self.free.saturating_add(grant.slots);
        // Most credit expires after that granted before it.
        let at = self.grants.iter().rposition(|known| known.expires_at <= grant.expires_at);
        match at.and_then(|at| self.grants.get_mut(at)).filter(|known| known.expires_at == grant.expires_at) {
            Some(same) => same.slots = same.slots.saturating_add(grant.slots),
            None => self.grants.insert(at.map_or(0, |at| at + 1), grant),
        }
    }

    /// Returns its rank among workers that can be leased for.
    fn rank(&self) -> usize {
        if self.asked || self.draining { 0 } else { Free::rank(self.free) }
    }

    /// Returns the expiry of its first credit, if that expires.
    fn expires_at(&self) -> Option<Millis> {
        self.grants.front().map(|grant| grant.expires_at).filter(|at| *at < UNTIL_SPENT)
    }
}
