//! The checker's record of credit: the slots granted by each worker and the use of each. A slot is free, taken by a
//! lease request, or spent on an attempt. An extra slot adds one attempt beyond the credit.

use std::collections::{BTreeMap, BTreeSet};

use fusebox_core::{
    dispatch::Room,
    id::{Attempt, TaskId, WorkerId},
    limits::{WORKER_CAPACITY_MAX, WORKER_SILENCE_MS_MAX},
    time::Millis,
};

use super::LATE_MS_MAX;

/// Slots, each represented by its expiry.
pub(super) type Slots = Vec<Millis>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Extra {
    None,
    Free,
    Taken,
    Spent(TaskId, Attempt),
}

struct Account {
    /// Announced capacity; of a worker that has not joined, the maximum for any worker.
    capacity: usize,
    extra: Extra,
    /// True while the worker is reachable.
    present: bool,
    /// Slots taken by pending lease requests.
    taken: usize,
    /// Sorted by expiry.
    free: Slots,
    /// Leased, to be assigned next.
    leased: Slots,
    spent: BTreeSet<(TaskId, Attempt)>,
    seen_at: Millis,
    draining: bool,
    /// Time since which free slots have been void and unanswered.
    void_since: Option<Millis>,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            capacity: WORKER_CAPACITY_MAX.try_into().unwrap(),
            extra: Extra::None,
            present: true,
            taken: 0,
            free: Slots::new(),
            leased: Slots::new(),
            spent: BTreeSet::new(),
            seen_at: Millis(0),
            draining: false,
            void_since: None,
        }
    }
}

/// Accounts of live workers.
#[derive(Default)]
pub(super) struct Ledger {
    accounts: BTreeMap<WorkerId, Account>,
    lost: BTreeSet<WorkerId>,
}

impl Ledger {
    pub(super) fn join(&mut self, worker: WorkerId, room: Room, now: Millis) {
        let account = self.accounts.entry(worker).or_default();
        account.seen_at = now;
        account.capacity = room.capacity.try_into().unwrap();
        account.present = true;
        account.extra = if account.extra == Extra::None && room.has_extra { Extra::Free } else { account.extra };
        self.lost.remove(&worker);
    }

    /// Adds granted credit; credit beyond the capacity is void.
    pub(super) fn grant(&mut self, worker: WorkerId, slots: u32, expires_at: Millis, now: Millis) {
        let account = self.accounts.entry(worker).or_default();
        account.seen_at = now;
        let room = account.capacity.saturating_sub(account.free.len() + account.taken + account.spent.len());
        account.free.extend((0..room.min(slots.try_into().unwrap())).map(|_| expires_at));
        account.free.sort();
        self.lost.remove(&worker);
    }

    pub(super) fn saw(&mut self, worker: WorkerId, now: Millis) {
        if let Some(account) = self.accounts.get_mut(&worker) {
            account.seen_at = now;
        }
    }

    pub(super) fn drain(&mut self, worker: WorkerId) {
        if let Some(account) = self.accounts.get_mut(&worker) {
            account.draining = true;
        }
    }

    pub(super) fn lose(&mut self, worker: WorkerId) {
        if self.accounts.remove(&worker).is_some() {
            self.lost.insert(worker);
        }
    }

    /// Voids free slots.
    pub(super) fn void(&mut self, worker: WorkerId) {
        if let Some(account) = self.accounts.get_mut(&worker) {
            account.free.clear();
            account.void_since = None;
            account.present = false;
        }
    }

    /// Returns the workers that a wake-up at `now` must find dead.
    pub(super) fn silent(&self, now: Millis) -> Vec<WorkerId> {
        let is_silent = |account: &Account| account.seen_at.plus(WORKER_SILENCE_MS_MAX) <= now;
        self.accounts.iter().filter(|(_, account)| is_silent(account)).map(|(worker, _)| *worker).collect()
    }

    pub(super) fn has_lost(&self, worker: WorkerId) -> bool {
        self.lost.contains(&worker)
    }

    pub(super) fn is_live(&self, worker: WorkerId, now: Millis) -> bool {
        let account = self.accounts.get(&worker);
        account.is_some_and(|account| now <= account.seen_at.plus(WORKER_SILENCE_MS_MAX + LATE_MS_MAX))
    }

    /// Returns the workers that could be leased for.
    pub(super) fn with_credit(&self, now: Millis) -> impl Iterator<Item = WorkerId> {
        let has_credit = move |account: &Account| account.free.last().is_some_and(|last| *last > now);
        let able = self.accounts.iter().filter(move |(_, account)| has_credit(account) && !account.draining);
        able.map(|(worker, _)| *worker)
    }

    /// Takes slots for a lease request; returns the number available if they do not suffice.
    pub(super) fn take(&mut self, worker: WorkerId, count: u32, now: Millis) -> Result<Slots, usize> {
        let count = usize::try_from(count).unwrap();
        let Some(account) = self.accounts.get_mut(&worker).filter(|account| !account.draining) else { return Err(0) };
        let void = account.free.iter().filter(|expires_at| **expires_at <= now).count();
        let usable = account.free.len() - void;
        if usable < count {
            return Err(usable);
        }
        account.taken += count;
        Ok(account.free.drain(void..void + count).collect())
    }

    /// Returns the workers with an extra slot that could be leased for.
    pub(super) fn with_extra(&self) -> impl Iterator<Item = WorkerId> {
        let is_able = |account: &Account| account.extra == Extra::Free && account.present && !account.draining;
        self.accounts.iter().filter(move |(_, account)| is_able(account)).map(|(worker, _)| *worker)
    }

    /// Takes the extra slot of a worker for a lease request; returns whether it was free.
    pub(super) fn take_extra(&mut self, worker: WorkerId) -> bool {
        let is_able = self.with_extra().any(|able| able == worker);
        if let Some(account) = self.accounts.get_mut(&worker).filter(|_| is_able) {
            account.extra = Extra::Taken;
        }
        is_able
    }

    /// Records the answer to a lease request for an extra slot, which is free again unless it is assigned next.
    pub(super) fn leased_extra(&mut self, worker: WorkerId) {
        if let Some(account) = self.accounts.get_mut(&worker).filter(|account| account.extra == Extra::Taken) {
            account.extra = Extra::Free;
        }
    }

    /// Assigns an attempt to the extra slot taken for it; returns whether there was one.
    pub(super) fn assign_extra(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) -> bool {
        let account = self.accounts.get_mut(&worker).filter(|account| account.extra == Extra::Free);
        account.map(|account| account.extra = Extra::Spent(task, attempt)).is_some()
    }

    /// Returns whether a worker is sent or leased more than it can hold.
    pub(super) fn is_overfull(&self, worker: WorkerId) -> bool {
        self.accounts.get(&worker).is_some_and(|account| account.taken + account.spent.len() > account.capacity)
    }

    /// Records the answer to a lease request with `attempts` to assign; the remaining slots are free again.
    pub(super) fn leased(&mut self, worker: WorkerId, mut taken: Slots, attempts: usize) {
        let Some(account) = self.accounts.get_mut(&worker) else { return };
        account.taken = 0;
        let assignable = if account.draining { 0 } else { attempts.min(taken.len()) };
        account.free.extend(taken.split_off(assignable));
        account.free.sort();
        account.leased = taken;
    }

    /// Assigns an attempt to a leased slot; returns whether there was one.
    pub(super) fn assign(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) -> bool {
        let Some(account) = self.accounts.get_mut(&worker) else { return false };
        if account.leased.is_empty() {
            return false;
        }
        account.leased.remove(0);
        account.spent.insert((task, attempt));
        true
    }

    /// Ends the effects of an event: slots leased but not assigned are free again.
    pub(super) fn settle(&mut self, now: Millis) {
        for account in self.accounts.values_mut() {
            if !account.leased.is_empty() {
                account.free.append(&mut account.leased);
                account.free.sort();
            }
            let is_void = account.free.first().is_some_and(|first| *first <= now);
            account.void_since = if is_void { account.void_since.or(Some(now)) } else { None };
        }
    }

    /// Records that a worker reported an attempt, or must stop it.
    pub(super) fn over(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        if let Some(account) = self.accounts.get_mut(&worker) {
            account.spent.remove(&(task, attempt));
            if account.extra == Extra::Spent(task, attempt) {
                account.extra = Extra::Free;
            }
        }
    }

    /// Records that the slots that expired first were answered with nothing; returns whether there were any.
    pub(super) fn answer(&mut self, worker: WorkerId, now: Millis) -> bool {
        let Some(account) = self.accounts.get_mut(&worker) else { return false };
        let Some(first) = account.free.first().copied().filter(|first| *first <= now) else { return false };
        account.free.retain(|expires_at| *expires_at != first);
        account.void_since = None;
        true
    }

    /// Returns a worker whose expired credit is overdue for an answer.
    pub(super) fn unanswered(&self, now: Millis) -> Option<WorkerId> {
        let is_overdue = |account: &Account| account.void_since.is_some_and(|since| since.plus(LATE_MS_MAX) < now);
        self.accounts.iter().find(|(_, account)| is_overdue(account)).map(|(worker, _)| *worker)
    }
}
