//! Order of tenants: fair by the time for which their runs hold slots.
//!
//! Each tenant has a virtual time that grows with its slot time; the waiting tenant with the least goes first
//! (start-time fair queueing: Goyal, Vin, Cheng, 1996). A tenant that returns after a pause starts at its own virtual
//! time, but at most a bounded credit below the least of the waiting tenants (as bounded lag in EEVDF: Stoica,
//! Abdel-Wahab, 1995). A small burst thus goes before a flood, and in the long run no tenant exceeds its share. The
//! cost of a run is known only after it: it is estimated at the lease, counted as it grows once the run has held its
//! slot for longer than the estimate, and corrected at the end.
//!
//! Virtual times of tenants with active runs grow by themselves, so the keys in the sorted set are lower bounds. The
//! first entry is updated and reinserted until its key is current; each such step concerns a tenant with an active run.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use super::{allow::Allowance, hold::Over, time::SlotTime};
use crate::{name::TenantId, time::Millis};

/// Maximum credit earned by a pause, in microseconds of slot time. A burst beside a flood finishes earlier by up to
/// this much, and delays the other tenants once by at most this much.
const CREDIT_US_MAX: u64 = 200_000;
/// Maximum number of idle tenants; above it, those that gain nothing from being remembered are removed.
const IDLE_TENANTS_MAX: usize = 10_000;

#[derive(Clone, Debug, Default)]
struct Tenant {
    ready: u64,
    /// Number of reports of ready tasks from outside, incremented by each.
    told: u64,
    /// Number of pending lease steps.
    leasing: u32,
    time: SlotTime,
    /// Sort key while the tenant waits, in microseconds.
    key_us: Option<u64>,
    /// Remaining quota of concurrent attempts and fuel.
    allowance: Allowance,
}

impl Tenant {
    /// Returns whether the tenant waits for a lease. Tasks that become ready during its lease step wait for the step's
    /// answer and are leased right after it; under load this combines many small steps into a few large ones.
    fn waits(&self) -> bool {
        self.ready > 0 && self.leasing == 0 && self.allowance.room() > 0
    }

    /// Returns the time from which fuel should be drawn for it.
    fn dry_since(&self) -> Option<Millis> {
        self.allowance.dry_since().filter(|_| self.ready > 0)
    }
}

/// Tenants with ready tasks, and the time charged to each.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares {
    tenants: BTreeMap<TenantId, Tenant>,
    /// Waiting tenants by virtual time or a lower bound of it.
    waiting: BTreeSet<(u64, TenantId)>,
    /// Tenants whose ready tasks lack fuel, by the time at which to draw.
    dry: BTreeSet<(Millis, TenantId)>,
    /// Tenants of the lease steps issued since the last wave was closed, once for each step.
    wave: Vec<TenantId>,
    /// Number of tenants with pending lease steps.
    served: usize,
    /// Least slot time of the waiting tenants when last computed, in microseconds.
    floor_us: u64,
    now: Millis,
}

impl Shares {
    /// Sets the current time.
    pub(super) const fn set_now(&mut self, now: Millis) {
        self.now = now;
    }

    /// Replaces the number of a tenant's ready tasks by one reported from outside.
    pub(super) fn tell(&mut self, tenant: &TenantId, ready: u64) {
        self.set_ready(tenant, ready);
        self.change(tenant, |known| known.told += 1);
    }

    /// Returns the number of reports about a tenant.
    pub(super) fn told(&self, tenant: &TenantId) -> u64 {
        self.tenants.get(tenant).map_or(0, |known| known.told)
    }

    /// Replaces the number of a tenant's ready tasks.
    pub(super) fn set_ready(&mut self, tenant: &TenantId, ready: u64) {
        self.know(tenant);
        let comes_back = ready > 0 && self.ready(tenant) == 0;
        let least_us = if comes_back { self.raise_floor().saturating_sub(CREDIT_US_MAX) } else { 0 };
        let now = self.now;
        self.change(tenant, |known| {
            known.time.start_at(least_us, now);
            known.ready = ready;
        });
        self.forget_idle();
    }

    /// Returns whether any tenant waits.
    pub(super) fn someone_waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sets a tenant's quota.
    pub(super) fn set_quota(&mut self, tenant: &TenantId, running_max: u64, fuel_per_minute: u64) {
        self.know(tenant);
        self.change(tenant, |known| known.allowance.set(running_max, fuel_per_minute));
    }

    pub(super) fn knows(&self, tenant: &TenantId) -> bool {
        self.tenants.contains_key(tenant)
    }

    fn know(&mut self, tenant: &TenantId) {
        if !self.tenants.contains_key(tenant) {
            self.tenants.insert(tenant.clone(), Tenant::default());
        }
    }

    /// Returns the next tenant, the number of its tasks that may be leased, and the number of tenants that wait or have
    /// pending steps.
    pub(super) fn next(&mut self) -> Option<(TenantId, u64, usize)> {
        self.raise_floor();
        let (_, tenant) = self.waiting.first()?;
        let known = self.tenants.get(tenant)?;
        let may = known.ready.min(known.allowance.room());
        Some((tenant.clone(), may, self.waiting.len() + self.served))
    }

    /// Returns the waiting tenants, next one first; behind it, tenants with active runs may be out of order.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &TenantId> {
        self.waiting.iter().map(|(_, tenant)| tenant)
    }

    /// Updates the first waiting tenant's key, and returns the least slot time of the waiting tenants.
    fn raise_floor(&mut self) -> u64 {
        while let Some((key_us, tenant)) = self.waiting.first() {
            let Some(known) = self.tenants.get_mut(tenant) else { break };
            let virtual_us = known.time.virtual_us(self.now);
            if virtual_us <= *key_us {
                self.floor_us = self.floor_us.max(known.time.held_us(self.now));
                break;
            }
            known.key_us = Some(virtual_us);
            if let Some((_, tenant)) = self.waiting.pop_first() {
                self.waiting.insert((virtual_us, tenant));
            }
        }
        self.floor_us
    }

    /// Takes `count` ready tasks of a tenant, at their estimated cost, for a lease step of this wave.
    pub(super) fn take(&mut self, tenant: &TenantId, count: u32) {
        self.change(tenant, |known| {
            known.time.take(count.into());
            known.ready = known.ready.saturating_sub(count.into());
            known.allowance.take(count.into());
        });
        self.wave.push(tenant.clone());
    }

    /// Closes the wave: its tenants now wait for the answers of their lease steps.
    pub(super) fn close_wave(&mut self) {
        while let Some(tenant) = self.wave.pop() {
            self.change(&tenant, |known| known.leasing += 1);
        }
    }

    /// Records the answer to a lease step of a closed wave.
    pub(super) fn answered(&mut self, tenant: &TenantId) {
        self.change(tenant, |known| known.leasing = known.leasing.saturating_sub(1));
    }

    /// Gives back tasks that were taken but not leased.
    pub(super) fn give_back(&mut self, tenant: &TenantId, count: u32) {
        self.change(tenant, |known| {
            known.allowance.free(count.into());
            known.time.give_back(count.into());
        });
    }

    /// Records a leased attempt that is sent to no worker.
    pub(super) fn unsent(&mut self, tenant: &TenantId) {
        self.change(tenant, |known| known.time.give_back(1));
    }

    /// Records that an attempt got its slot.
    pub(super) fn begins(&mut self, tenant: &TenantId) {
        let now = self.now;
        self.change(tenant, |known| known.time.begin(now));
    }

    /// Records that an attempt left its worker. If its run ended, `slot_us` is the slot time reported by the worker;
    /// otherwise the tenant is charged for the time since the attempt got its slot, if it did.
    pub(super) fn leaves(&mut self, over: &Over, slot_us: Option<u64>) {
        let elapsed_us = |since: Millis| self.now.since(since).saturating_mul(1_000);
        // Limits the worker's claim to the time since the attempt was sent; a partial millisecond counts as a whole
        // one.
        let most_us = elapsed_us(over.sent_at).saturating_add(1_000);
        let held_us =
            slot_us.map(|slot_us| slot_us.min(most_us)).or_else(|| over.begun_at.map(elapsed_us)).unwrap_or(0);
        self.change(&over.tenant, |known| {
            known.time.give_back(1);
            if let Some(begun_at) = over.begun_at {
                known.time.leave(begun_at);
            }
            known.time.charge(held_us);
            if slot_us.is_some() {
                known.time.learn(held_us);
            }
        });
        if let Some(next) = &over.next {
            self.begins(next);
        }
    }

    /// Reserves fuel for the tasks of a lease step; `most` is the largest single reservation.
    pub(super) fn reserve(&mut self, tenant: &TenantId, fuel: u64, most: u64) {
        self.change(tenant, |known| known.allowance.reserve(fuel, most));
    }

    /// Refunds fuel left by a run, and returns the surplus to give back to the store.
    pub(super) fn refund(&mut self, tenant: &TenantId, fuel: u64) -> u64 {
        let mut surplus = 0;
        self.change(tenant, |known| surplus = known.allowance.refund(fuel));
        surplus
    }

    /// Records the end of a leased attempt.
    pub(super) fn over(&mut self, tenant: &TenantId) {
        self.change(tenant, |known| known.allowance.free(1));
    }

    /// Returns a tenant that lacks fuel at `now` and the amount to draw; each shortage is returned once.
    pub(super) fn ask_fuel(&mut self, now: Millis) -> Option<(TenantId, u64)> {
        let (_, tenant) = self.dry.first().filter(|(at, _)| *at <= now)?.clone();
        let mut fuel = 0;
        self.change(&tenant, |known| fuel = known.allowance.ask());
        Some((tenant, fuel))
    }

    /// Adds fuel drawn from the store.
    pub(super) fn drawn(&mut self, tenant: &TenantId, fuel: u64, now: Millis) {
        self.change(tenant, |known| known.allowance.drawn(fuel, now));
    }

    /// Returns the time of the next draw.
    pub(super) fn wake_at(&self) -> Millis {
        self.dry.first().map_or(Millis::NEVER, |(at, _)| *at)
    }

    /// Returns the known number of a tenant's ready tasks.
    pub(super) fn ready(&self, tenant: &TenantId) -> u64 {
        self.tenants.get(tenant).map_or(0, |known| known.ready)
    }

    fn change(&mut self, tenant: &TenantId, change: impl FnOnce(&mut Tenant)) {
        let Some(known) = self.tenants.get_mut(tenant) else { return };
        let (was_served, dry_before, key_before) = (known.leasing > 0, known.dry_since(), known.key_us);
        change(known);
        let (is_served, dry_after) = (known.leasing > 0, known.dry_since());
        known.key_us = known.waits().then(|| known.time.virtual_us(self.now));
        let key_after = known.key_us;
        match (was_served, is_served) {
            (false, true) => self.served += 1,
            (true, false) => self.served -= 1,
            _ => {}
        }
        if dry_before != dry_after {
            dry_before.map(|at| self.dry.remove(&(at, tenant.clone())));
            dry_after.map(|at| self.dry.insert((at, tenant.clone())));
        }
        if key_before != key_after {
            key_before.map(|key_us| self.waiting.remove(&(key_us, tenant.clone())));
            key_after.map(|key_us| self.waiting.insert((key_us, tenant.clone())));
        }
    }

    /// Removes idle tenants to which a new entry would give at least as much credit.
    fn forget_idle(&mut self) {
        if self.tenants.len() - self.waiting.len() - self.served > IDLE_TENANTS_MAX {
            let least_us = self.floor_us.saturating_sub(CREDIT_US_MAX);
            let now = self.now;
            let is_needed = |tenant: &Tenant| {
                let is_idle = tenant.ready == 0 && tenant.leasing == 0 && tenant.time.is_idle();
                !is_idle || tenant.time.held_us(now) > least_us || !tenant.allowance.is_idle()
            };
            self.tenants.retain(|_, tenant| is_needed(tenant));
        }
    }
}

#[cfg(test)]
mod tests;
