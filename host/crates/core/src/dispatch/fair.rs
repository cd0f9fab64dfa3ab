//! Whose tasks next: fair between tenants by measured cost.
//!
//! Each tenant has a virtual time that grows with what its runs cost; the waiting tenant with the least goes first
//! (start-time fair queueing: Goyal, Vin, Cheng, 1996). A tenant that comes back after a pause starts at the least
//! virtual time of those who wait, so that a pause earns no credit. A run's cost is known only after it: it is
//! estimated when the attempt is leased and corrected when the run is over.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::name::TenantId;

/// What a run is thought to cost before any is known, in microseconds; also the least a run is charged, since leasing
/// and recording it cost the host something too.
const COST_US_MIN: u64 = 50;
/// Idle tenants remembered; above it those that would gain nothing from being remembered are forgotten.
const IDLE_TENANTS_MAX: usize = 10_000;

#[derive(Clone, Debug, Default)]
struct Tenant {
    ready: u64,
    virtual_us: u64,
    /// Moving average of the cost of a run.
    estimate_us: u64,
}

/// The tenants that have tasks ready, and what each has been charged.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares {
    tenants: BTreeMap<TenantId, Tenant>,
    /// Tenants with ready tasks by virtual time.
    waiting: BTreeSet<(u64, TenantId)>,
    /// The least virtual time of those who waited last.
    floor_us: u64,
}

impl Shares {
    /// Replaces what is known of a tenant's ready tasks.
    pub(super) fn set_ready(&mut self, tenant: &TenantId, ready: u64) {
        let floor_us = self.floor_us;
        let known = self
            .tenants
            .entry(tenant.clone())
            .or_insert_with(|| Tenant { estimate_us: COST_US_MIN, ..Tenant::default() });
        let waited = known.ready > 0;
        known.ready = ready;
        if waited && ready == 0 {
            let virtual_us = known.virtual_us;
            self.waiting.remove(&(virtual_us, tenant.clone()));
        } else if !waited && ready > 0 {
            known.virtual_us = known.virtual_us.max(floor_us);
            let virtual_us = known.virtual_us;
            self.waiting.insert((virtual_us, tenant.clone()));
        }
        self.forget_idle();
    }

    /// Who goes next, with its number of ready tasks, and how many tenants wait.
    pub(super) fn next(&mut self) -> Option<(TenantId, u64, usize)> {
        let (virtual_us, tenant) = self.waiting.first()?.clone();
        self.floor_us = self.floor_us.max(virtual_us);
        let ready = self.tenants.get(&tenant)?.ready;
        Some((tenant, ready, self.waiting.len()))
    }

    /// Takes `count` ready tasks of a tenant, at their estimated cost.
    pub(super) fn take(&mut self, tenant: &TenantId, count: u32) {
        let Some(known) = self.tenants.get(tenant) else { return };
        let (ready, cost_us) = (known.ready, known.estimate_us.saturating_mul(count.into()));
        self.charge(tenant, |virtual_us| virtual_us.saturating_add(cost_us));
        self.set_ready(tenant, ready.saturating_sub(count.into()));
    }

    /// Gives back tasks that were taken but not leased.
    pub(super) fn give_back(&mut self, tenant: &TenantId, count: u32) {
        let Some(known) = self.tenants.get(tenant) else { return };
        let cost_us = known.estimate_us.saturating_mul(count.into());
        self.charge(tenant, |virtual_us| virtual_us.saturating_sub(cost_us));
    }

    /// Corrects the estimate of one run to what it cost.
    pub(super) fn correct(&mut self, tenant: &TenantId, cpu_us: u64) {
        let Some(known) = self.tenants.get_mut(tenant) else { return };
        let (estimate_us, cost_us) = (known.estimate_us, cpu_us.max(COST_US_MIN));
        known.estimate_us = (estimate_us * 7 + cost_us) / 8;
        self.charge(tenant, |virtual_us| virtual_us.saturating_add(cost_us).saturating_sub(estimate_us));
    }

    /// The number of ready tasks known of a tenant.
    pub(super) fn ready(&self, tenant: &TenantId) -> u64 {
        self.tenants.get(tenant).map_or(0, |known| known.ready)
    }

    fn charge(&mut self, tenant: &TenantId, change: impl Fn(u64) -> u64) {
        let Some(known) = self.tenants.get_mut(tenant) else { return };
        let before = known.virtual_us;
        known.virtual_us = change(before);
        if known.ready > 0 {
            let after = known.virtual_us;
            self.waiting.remove(&(before, tenant.clone()));
            self.waiting.insert((after, tenant.clone()));
        }
    }

    /// A tenant at or below the floor would start at the floor anyway.
    fn forget_idle(&mut self) {
        if self.tenants.len() - self.waiting.len() > IDLE_TENANTS_MAX {
            let floor_us = self.floor_us;
            self.tenants.retain(|_, tenant| tenant.ready > 0 || tenant.virtual_us > floor_us);
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

    #[test]
    fn a_pause_earns_no_credit() {
        let (steady, late) = (tenant("steady"), tenant("late"));
        let mut shares = Shares::default();
        shares.set_ready(&steady, 1_000_000);
        for _ in 0..1_000 {
            shares.next().unwrap();
            shares.take(&steady, 1);
            shares.correct(&steady, 1_000);
        }
        shares.set_ready(&late, 1_000);
        let mut in_a_row = 0;
        while shares.next().unwrap().0 == late {
            shares.take(&late, 1);
            shares.correct(&late, 1_000);
            in_a_row += 1;
        }
        assert!(in_a_row <= 25, "{in_a_row}");
    }
}
