//! Whose tasks next: fair between tenants by measured cost.
//!
//! Each tenant has a virtual time that grows with what its runs cost; the waiting tenant with the least goes first
//! (start-time fair queueing: Goyal, Vin, Cheng, 1996). A tenant that comes back after a pause starts at its own virtual
//! time, but no further than a bounded credit below the least of those who wait (as bounded lag in EEVDF: Stoica,
//! Abdel-Wahab, 1995): a small burst goes before a flood, and in the long run nobody has more than its share. A run's cost
//! is known only after it: it is estimated when the attempt is leased and corrected when the run is over.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use super::allow::Allowance;
use crate::{name::TenantId, time::Millis};

/// What a run is thought to cost before any is known, in microseconds; also the least a run is charged, since leasing
/// and recording it cost the host something too.
const COST_US_MIN: u64 = 50;
/// The most credit that a pause earns, in microseconds of runs. So much sooner than by its share alone is a burst done
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
    virtual_us: u64,
    /// Moving average of the cost of a run.
    estimate_us: u64,
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
    /// Tenants that wait, by virtual time.
    waiting: BTreeSet<(u64, TenantId)>,
    /// Tenants whose ready tasks lack fuel, by when to ask for it.
    dry: BTreeSet<(Millis, TenantId)>,
    /// Whose tasks were taken since the last wave of lease steps was closed, a name for each step.
    wave: Vec<TenantId>,
    /// Tenants with lease steps on their way.
    served: usize,
    /// The least virtual time of those who waited last.
    floor_us: u64,
}

impl Shares {
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
        let least_us = self.floor_us.saturating_sub(CREDIT_US_MAX);
        self.change(tenant, |known| {
            if known.ready == 0 && ready > 0 {
                known.virtual_us = known.virtual_us.max(least_us);
            }
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
            self.tenants.insert(tenant.clone(), Tenant { estimate_us: COST_US_MIN, ..Tenant::default() });
        }
    }

    /// Who goes next, with its number of tasks that may go, and how many tenants wait or are being served.
    pub(super) fn next(&mut self) -> Option<(TenantId, u64, usize)> {
        let (virtual_us, tenant) = self.waiting.first()?.clone();
        self.floor_us = self.floor_us.max(virtual_us);
        let known = self.tenants.get(&tenant)?;
        let may = known.ready.min(known.allowance.room());
        Some((tenant, may, self.waiting.len() + self.served))
    }

    /// Takes `count` ready tasks of a tenant, at their estimated cost, for a lease step of this wave.
    pub(super) fn take(&mut self, tenant: &TenantId, count: u32) {
        self.change(tenant, |known| {
            known.virtual_us = known.virtual_us.saturating_add(known.estimate_us.saturating_mul(count.into()));
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
            known.virtual_us = known.virtual_us.saturating_sub(known.estimate_us.saturating_mul(count.into()));
        });
    }

    /// Corrects the estimate of one run to what it cost.
    pub(super) fn correct(&mut self, tenant: &TenantId, cpu_us: u64) {
        self.change(tenant, |known| {
            let (estimate_us, cost_us) = (known.estimate_us, cpu_us.max(COST_US_MIN));
            known.estimate_us = (estimate_us * 7 + cost_us) / 8;
            known.virtual_us = known.virtual_us.saturating_add(cost_us).saturating_sub(estimate_us);
        });
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
        let before = known.clone();
        change(known);
        let after = known.clone();
        match (before.leasing > 0, after.leasing > 0) {
            (false, true) => self.served += 1,
            (true, false) => self.served -= 1,
            _ => {}
        }
        if before.dry_since() != after.dry_since() {
            before.dry_since().map(|at| self.dry.remove(&(at, tenant.clone())));
            after.dry_since().map(|at| self.dry.insert((at, tenant.clone())));
        }
        if (before.waits(), before.virtual_us) == (after.waits(), after.virtual_us) {
            return;
        }
        if before.waits() {
            self.waiting.remove(&(before.virtual_us, tenant.clone()));
        }
        if after.waits() {
            self.waiting.insert((after.virtual_us, tenant.clone()));
        }
    }

    /// A tenant with the most credit there is would start with that anyway.
    fn forget_idle(&mut self) {
        if self.tenants.len() - self.waiting.len() - self.served > IDLE_TENANTS_MAX {
            let least_us = self.floor_us.saturating_sub(CREDIT_US_MAX);
            let is_needed = |tenant: &Tenant| {
                tenant.ready > 0 || tenant.leasing > 0 || tenant.virtual_us > least_us || !tenant.allowance.is_idle()
            };
            self.tenants.retain(|_, tenant| is_needed(tenant));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    #[test]
    fn two_tenants_share_by_cost_and_not_by_count() {
        let (cheap, dear) = (tenant("cheap"), tenant("dear"));
        let mut shares = Shares::default();
        shares.set_ready(&cheap, 1_000_000);
        shares.set_ready(&dear, 1_000_000);
        let (mut cheap_us, mut dear_us) = (0_u64, 0_u64);
        for _ in 0..10_000 {
            let (next, ..) = shares.next().unwrap();
            let cost_us = if next == cheap { 100 } else { 10_000 };
            *(if next == cheap { &mut cheap_us } else { &mut dear_us }) += cost_us;
            shares.take(&next, 1);
            shares.correct(&next, cost_us);
        }
        let ratio = dear_us as f64 / cheap_us as f64;
        assert!((0.8..1.25).contains(&ratio), "{cheap_us} us and {dear_us} us");
    }

    /// A tenant that ran for 10 s beside nobody, and what another one runs in a row then, in microseconds.
    fn in_a_row(late: &TenantId, before: impl FnOnce(&mut Shares)) -> u64 {
        const RUN_US: u64 = 1_000;
        let steady = tenant("steady");
        let mut shares = Shares::default();
        before(&mut shares);
        shares.set_ready(&steady, 1_000_000);
        for _ in 0..10_000 {
            let (next, ..) = shares.next().unwrap();
            shares.take(&next, 1);
            shares.correct(&next, RUN_US);
        }
        shares.set_ready(late, 1_000);
        let mut in_a_row = 0;
        while shares.next().unwrap().0 == *late {
            shares.take(late, 1);
            shares.correct(late, RUN_US);
            in_a_row += 1;
        }
        in_a_row * RUN_US
    }

    #[test]
    fn a_pause_earns_a_bounded_credit() {
        let late = tenant("late");
        let run_us = in_a_row(&late, |_| {});
        assert!((CREDIT_US_MAX / 2..CREDIT_US_MAX * 5 / 4).contains(&run_us), "{run_us}");
    }

    #[test]
    fn who_has_used_its_share_has_no_credit() {
        let late = tenant("late");
        // As much as it would have had by now, at once.
        let used = |shares: &mut Shares| {
            shares.set_ready(&late, 1);
            shares.take(&late, 1);
            shares.correct(&late, 10_000_000);
        };
        let run_us = in_a_row(&late, used);
        assert!(run_us < CREDIT_US_MAX / 4, "{run_us}");
    }

    #[test]
    fn what_becomes_ready_during_a_lease_step_waits_for_its_answer() {
        let (one, other) = (tenant("one"), tenant("other"));
        let mut shares = Shares::default();
        shares.set_ready(&one, 2);
        shares.take(&one, 1);
        assert_eq!(shares.next(), Some((one.clone(), 1, 1)), "the wave is open: other workers get their part");
        shares.close_wave();
        assert_eq!(shares.next(), None);
        shares.set_ready(&other, 1);
        assert_eq!(shares.next(), Some((other, 1, 2)), "who is being served has a part of the credit all the same");
        shares.answered(&one);
        assert_eq!(shares.ready(&one), 1);
        assert_eq!(shares.waiting.len(), 2);
    }
}
