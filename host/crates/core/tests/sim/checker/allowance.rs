//! The checker's record of quotas: concurrent attempts of each tenant, and fuel drawn, reserved and refunded.

use std::collections::BTreeMap;

use fusebox_core::{name::TenantId, quota::UNLIMITED};

use super::{Check, Property, hold};

#[derive(Default)]
struct Allowance {
    running_max: u64,
    is_fuelled: bool,
    fuel: i128,
    /// True while a draw is pending.
    asking: bool,
}

#[derive(Default)]
pub(super) struct Allowances(BTreeMap<TenantId, Allowance>);

impl Allowances {
    pub(super) fn set(&mut self, tenant: &TenantId, running_max: u64, fuel_per_minute: u64) {
        let allowance = self.0.entry(tenant.clone()).or_default();
        allowance.running_max = running_max;
        allowance.is_fuelled = fuel_per_minute != UNLIMITED;
    }

    pub(super) fn drawn(&mut self, tenant: &TenantId, fuel: u64) {
        self.change(tenant, i128::from(fuel));
        self.0.get_mut(tenant).unwrap().asking = false;
    }

    pub(super) fn reserve(&mut self, tenant: &TenantId, fuel: u64) {
        self.change(tenant, -i128::from(fuel));
    }

    pub(super) fn refund(&mut self, tenant: &TenantId, fuel: u64) {
        self.change(tenant, i128::from(fuel));
    }

    fn change(&mut self, tenant: &TenantId, fuel: i128) {
        if let Some(allowance) = self.0.get_mut(tenant) {
            allowance.fuel += fuel;
        }
    }

    /// Checks that a tenant may have `under_way` concurrent attempts.
    pub(super) fn may_lease(&self, tenant: &TenantId, under_way: u64) -> Check {
        let Some(allowance) = self.0.get(tenant) else { return Ok(()) };
        let most = allowance.running_max;
        hold(under_way <= most, Property::Quota, || {
            format!("{under_way} under way of {tenant}, which may have {most}")
        })?;
        hold(!allowance.is_fuelled || allowance.fuel > 0, Property::Quota, || {
            format!("leases for {tenant} without fuel")
        })
    }

    pub(super) fn draw(&mut self, tenant: &TenantId) -> Check {
        let allowance = self.0.get_mut(tenant).filter(|allowance| allowance.is_fuelled && !allowance.asking);
        let allowance = allowance
            .ok_or_else(|| (Property::Quota, format!("asks for fuel of {tenant} that it need not ask for")))?;
        allowance.asking = true;
        Ok(())
    }

    pub(super) fn give_back(&mut self, tenant: &TenantId, fuel: u64) -> Check {
        self.change(tenant, -i128::from(fuel));
        let has_it = self.0.get(tenant).is_some_and(|allowance| allowance.fuel >= 0);
        hold(has_it, Property::Quota, || format!("gives back {fuel} for {tenant}, which it has not"))
    }

    /// Returns whether a tenant is certain to be entitled to `under_way` attempts. With a fuel quota it is never
    /// certain, since the dispatcher estimates the fuel needed.
    pub(super) fn must_serve(&self, tenant: &TenantId, under_way: u64) -> bool {
        self.0.get(tenant).is_none_or(|allowance| !allowance.is_fuelled && under_way <= allowance.running_max)
    }
}
