//! The order of tenants: fair by the time that their runs hold slots.
//!
//! Each tenant has a virtual time that grows with that; the waiting tenant with the least goes first (start-time fair
//! queueing: Goyal, Vin, Cheng, 1996). A tenant that comes back after a pause starts at its own virtual time, but no further
//! than a bounded credit below the least of those who wait (as bounded lag in EEVDF: Stoica, Abdel-Wahab, 1995): a small
//! burst goes before a flood, and in the long run nobody has more than its share. A run is known whole only after it: it
//! is estimated when the attempt is leased, counted as it goes once it holds its slot for longer than that, and corrected
//! when it is over.
//!
//! Virtual times of tenants with runs under way grow by themselves, so what the waiting are sorted by is no more than each
//! one's own. It is made true of who is first, until who is first is true: each step is about a tenant with a run under way.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use super::{allow::Allowance, hold::Over, time::SlotTime};
use crate::{name::TenantId, time::Millis};

/// The most credit that a pause earns, in microseconds of slot time. So much sooner than by its share alone is a burst done
/// that comes beside a flood, and for so long at most are those who wait kept waiting once more for it.
const CREDIT_US_MAX: u64 = 200_000;
/// Idle tenants remembered; above it those that would gain nothing from being remembered are forgotten.
const IDLE_TENANTS_MAX: usize = 10_000;

#[derive(Clone, Debug, Default)]
struct Tenant {
    ready: u64,
    /// How often that was told from outside.
    told: u64,
    /// Lease steps on their way.
    leasing: u32,
    time: SlotTime,
    /// The sort key of a tenant that waits, in microseconds.
    key_us: Option<u64>,
    /// What it may have under way.
    allowance: Allowance,
}

impl Tenant {
    /// What becomes ready during a lease step waits for its answer, and is then leased at once: under load that makes a
    /// few large steps of many small ones.
    fn waits(&self) -> bool {
        self.ready > 0 && self.leasing == 0 && self.allowance.room() > 0
    }

    /// From when on the store is to be asked for fuel.
    fn dry_since(&self) -> Option<Millis> {
        self.allowance.dry_since().filter(|_| self.ready > 0)
    }
}

/// The tenants that have tasks ready, and what each has been charged.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares {
    tenants: BTreeMap<TenantId, Tenant>,
    /// Tenants that wait, by virtual time, or less.
    waiting: BTreeSet<(u64, TenantId)>,
    /// Tenants whose ready tasks lack fuel, by when to ask for it.
    dry: BTreeSet<(Millis, TenantId)>,
    /// Whose tasks were taken since the last wave of lease steps was closed, a name for each step.
    wave: Vec<TenantId>,
    /// Tenants with lease steps on their way.
    served: usize,
    /// The least slot time held by any tenant that waited last, in microseconds.
    floor_us: u64,
    now: Millis,
}

impl Shares {
    /// It is so late.
    pub(super) const fn set_now(&mut self, now: Millis) {
        self.now = now;
    }

    /// Replaces what is known of a tenant's ready tasks by what someone has told.
    pub(super) fn tell(&mut self, tenant: &TenantId, ready: u64) {
        self.set_ready(tenant, ready);
        self.change(tenant, |known| known.told += 1);
    }

    /// How often it was told of a tenant.
    pub(super) fn told(&self, tenant: &TenantId) -> u64 {
        self.tenants.get(tenant).map_or(0, |known| known.told)
    }

    /// Replaces what is known of a tenant's ready tasks.
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

    /// Whether anybody waits.
    pub(super) fn someone_waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sets what a tenant may have under way.
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

    /// Who goes next, with its number of tasks that may go, and how many tenants wait or are being served.
    pub(super) fn next(&mut self) -> Option<(TenantId, u64, usize)> {
        self.raise_floor();
        let (_, tenant) = self.waiting.first()?;
        let known = self.tenants.get(tenant)?;
        let may = known.ready.min(known.allowance.room());
        Some((tenant.clone(), may, self.waiting.len() + self.served))
    }

    /// Those who wait, the next one first; of the others those with runs under way may be out of their place.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &TenantId> {
        self.waiting.iter().map(|(_, tenant)| tenant)
    }

    /// Makes true who is first, and gives what everyone who waits has held at least.
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

    /// Takes `count` ready tasks of a tenant, at what they are thought to hold, for a lease step of this wave.
    pub(super) fn take(&mut self, tenant: &TenantId, count: u32) {
        self.change(tenant, |known| {
            known.time.take(count.into());
            known.ready = known.ready.saturating_sub(count.into());
            known.allowance.take(count.into());
        });
        self.wave.push(tenant.clone());
    }

    /// Whose tasks were taken waits from now on for the answers of its lease steps.
    pub(super) fn close_wave(&mut self) {
        while let Some(tenant) = self.wave.pop() {
            self.change(&tenant, |known| known.leasing += 1);
        }
    }

    /// A lease step of a closed wave is answered.
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

    /// A leased attempt is sent to nobody.
    pub(super) fn unsent(&mut self, tenant: &TenantId) {
        self.change(tenant, |known| known.time.give_back(1));
    }

    /// An attempt has its slot.
    pub(super) fn begins(&mut self, tenant: &TenantId) {
        let now = self.now;
        self.change(tenant, |known| known.time.begin(now));
    }

    /// An attempt is with its worker no longer. Where that is its run's end, `slot_us` is what it held, as its worker says;
    /// otherwise it is charged for the time since it got its slot, if it did.
    pub(super) fn leaves(&mut self, over: &Over, slot_us: Option<u64>) {
        let elapsed_us = |since: Millis| self.now.since(since).saturating_mul(1_000);
        // Nobody has held a slot for longer than since it was sent; a moment's part counts as all of it.
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

    /// The tasks of a lease step reserve this much fuel together, and one of them `most`.
    pub(super) fn reserve(&mut self, tenant: &TenantId, fuel: u64, most: u64) {
        self.change(tenant, |known| known.allowance.reserve(fuel, most));
    }

    /// A run left this much fuel. Gives what is to go back to the store.
    pub(super) fn refund(&mut self, tenant: &TenantId, fuel: u64) -> u64 {
        let mut surplus = 0;
        self.change(tenant, |known| surplus = known.allowance.refund(fuel));
        surplus
    }

    /// A leased attempt is over.
    pub(super) fn over(&mut self, tenant: &TenantId) {
        self.change(tenant, |known| known.allowance.free(1));
    }

    /// Who lacks fuel at `now`, and how much to ask the store for. It is asked once.
    pub(super) fn ask_fuel(&mut self, now: Millis) -> Option<(TenantId, u64)> {
        let (_, tenant) = self.dry.first().filter(|(at, _)| *at <= now)?.clone();
        let mut fuel = 0;
        self.change(&tenant, |known| fuel = known.allowance.ask());
        Some((tenant, fuel))
    }

    /// What the store gave.
    pub(super) fn drawn(&mut self, tenant: &TenantId, fuel: u64, now: Millis) {
        self.change(tenant, |known| known.allowance.drawn(fuel, now));
    }

    /// When the store is to be asked for fuel.
    pub(super) fn wake_at(&self) -> Millis {
        self.dry.first().map_or(Millis::NEVER, |(at, _)| *at)
    }

    /// The number of ready tasks known of a tenant.
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

    /// A tenant with the most credit there is would start with that anyway.
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
