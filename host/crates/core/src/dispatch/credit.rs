//! Credit: the workers that may be sent attempts, and how many. Modes differ here only: credit lasts until it is spent, and
//! that of pull is one request, which expires.
//!
//! A worker is believed no further than the capacity that it announced: its free credit, what lease steps on their way
//! have taken of it, and the attempts that it was sent and has not reported on are never more than that together.

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

/// Some credit with its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) expires_at: Millis,
    pub(super) slots: u32,
}

#[derive(Clone, Debug)]
struct Worker {
    /// Unspent credit, the first to expire first.
    grants: VecDeque<Grant>,
    free: u32,
    /// Attempts that it can hold.
    capacity: u32,
    /// Credit that the lease step on its way has taken.
    leasing: u32,
    hold: Hold,
    extra: Extra,
    /// It can be reached.
    present: bool,
    /// Attempts of each tenant that it holds or is leased.
    tenants: HashMap<TenantId, u32, FixedState>,
    seen_at: Millis,
    /// A lease request for it is on its way. One at a time: credit gathers meanwhile, so requests batch by themselves.
    asked: bool,
    draining: bool,
    place: Place,
}

/// The attempt beyond its credit that a worker may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extra {
    /// It has no extra slot.
    None,
    Free,
    /// On its way to it, or with it.
    Taken,
}

/// The workers that are alive.
#[derive(Clone, Debug)]
pub(super) struct Workers {
    hashes: FixedState,
    workers: HashMap<WorkerId, Worker, FixedState>,
    /// Workers that can be leased for.
    free: Free,
    /// Workers with credit that expires, by the first to do so.
    by_expiry: BTreeSet<(Millis, WorkerId)>,
    /// Workers whose extra attempt is free.
    extras: Extras,
    /// Nobody has been silent for too long before this.
    silence_at: Millis,
}

impl Workers {
    /// Nobody yet.
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

    /// A worker is there, or is there again, with this much room.
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

    /// Adds credit, as far as the worker's capacity goes; the first grant makes the worker known.
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

    /// A sign of life.
    pub(super) fn saw(&mut self, id: WorkerId, now: Millis) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.seen_at = now;
            self.silence_at = self.silence_at.min(now.plus(WORKER_SILENCE_MS_MAX));
        }
    }

    /// The worker to lease for next, with its free credit: one of those with the most.
    pub(super) fn most_free(&self) -> Option<(WorkerId, u32)> {
        let id = self.free.most()?;
        self.workers.get(&id).map(|worker| (id, worker.free))
    }

    /// How many workers can be leased for.
    pub(super) const fn free_workers(&self) -> usize {
        self.free.count()
    }

    /// Takes credit for a lease request, the first to expire first.
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

    /// The lease request is answered; `unused` credit comes back.
    pub(super) fn answered(&mut self, id: WorkerId, unused: impl IntoIterator<Item = Grant>) {
        self.change(id, |worker| {
            worker.asked = false;
            worker.leasing = 0;
            unused.into_iter().for_each(|grant| worker.put(grant));
        });
    }

    /// Counts attempts of a tenant that are leased for a worker, from the lease request on.
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

    /// So many of them are over, or were not leased.
    pub(super) fn discount(&mut self, id: WorkerId, tenant: &TenantId, count: u32) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Some(known) = worker.tenants.get_mut(tenant) else { return };
        *known = known.saturating_sub(count);
        if *known == 0 {
            worker.tenants.remove(tenant);
            self.extras.parted(id, tenant);
        }
    }

    /// A worker whose extra attempt is free, and that has nothing of this tenant.
    pub(super) fn with_extra_for(&self, tenant: &TenantId) -> Option<WorkerId> {
        let has_nothing = |id| self.workers.get(&id).is_some_and(|worker| !worker.tenants.contains_key(tenant));
        self.extras.for_stranger(tenant, has_nothing)
    }

    /// Whether any worker's extra attempt is free.
    pub(super) fn has_extras(&self) -> bool {
        !self.extras.is_empty()
    }

    /// Takes the extra attempt of a worker for a lease request.
    pub(super) fn take_extra(&mut self, id: WorkerId) {
        self.change(id, |worker| worker.extra = Extra::Taken);
    }

    /// The request for its extra attempt gave none.
    pub(super) fn extra_unused(&mut self, id: WorkerId) {
        self.change(id, Worker::free_extra);
    }

    /// An attempt is sent. Whether it has a slot at once.
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

    /// A worker holds an attempt no longer: it reports on it, or must stop it. `None` where it was not sent one, or
    /// had reported before.
    pub(super) fn over(&mut self, id: WorkerId, task: TaskId, attempt: Attempt, now: Millis) -> Option<Over> {
        let over = self.workers.get_mut(&id)?.hold.over((task, attempt), now)?;
        self.discount(id, &over.tenant, 1);
        if over.is_extra {
            self.change(id, Worker::free_extra);
        }
        Some(over)
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
            worker.present = false;
        });
    }

    /// The worker is gone, and its credit with it: gives what it was sent and has not reported on. `None` where it was not
    /// known.
    pub(super) fn lose(&mut self, id: WorkerId) -> Option<Vec<((TaskId, Attempt), Over)>> {
        self.void_credit(id);
        self.workers.remove(&id).map(|worker| worker.hold.into_all())
    }

    /// Workers silent for too long at `now`, who are then to be lost.
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

    /// Voids credit that expired at `now`; gives the workers whose credit it was, and how much.
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

    /// When the next credit expires or the next worker may have been silent for too long.
    pub(super) fn wake_at(&self) -> Millis {
        self.by_expiry.first().map_or(Millis::NEVER, |(at, _)| *at).min(self.silence_at)
    }

    /// Changes a worker and keeps its index entries true. Whether it is known.
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

    /// How much more it may be granted.
    fn room(&self) -> u32 {
        self.capacity.saturating_sub(self.free).saturating_sub(self.leasing).saturating_sub(self.hold.ordinary())
    }

    /// Whether it may be leased an attempt for its extra slot.
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
        // Most credit expires after what was granted before it.
        let at = self.grants.iter().rposition(|known| known.expires_at <= grant.expires_at);
        match at.and_then(|at| self.grants.get_mut(at)).filter(|known| known.expires_at == grant.expires_at) {
            Some(same) => same.slots = same.slots.saturating_add(grant.slots),
            None => self.grants.insert(at.map_or(0, |at| at + 1), grant),
        }
    }

    /// Its rank among those that can be leased for.
    fn rank(&self) -> usize {
        if self.asked || self.draining { 0 } else { Free::rank(self.free) }
    }

    /// When its first credit expires, where it does.
    fn expires_at(&self) -> Option<Millis> {
        self.grants.front().map(|grant| grant.expires_at).filter(|at| *at < UNTIL_SPENT)
    }
}
