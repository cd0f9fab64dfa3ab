//! Tenants' fuel and compile time. In memory: only this process draws, and a restart, which no tenant can cause, gives
//! each at most a minute's worth of one and an hour's of the other.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use fusebox_core::{
    limits::COUNTED_TENANTS_MAX,
    name::TenantId,
    quota::{CompileBudget, FuelTank},
    time::Millis,
};

use super::EmbeddedStore;
use crate::{Fuel, Result};
use fusebox_system::clock::Clock;

pub(super) struct Tanks {
    clock: Clock,
    tanks: Mutex<HashMap<TenantId, FuelTank>>,
    budgets: Mutex<HashMap<TenantId, CompileBudget>>,
}

impl Tanks {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, tanks: Mutex::default(), budgets: Mutex::default() }
    }

    fn with<T>(&self, tenant: &TenantId, per_minute: u64, change: impl FnOnce(&mut FuelTank, Millis) -> T) -> T {
        let now = self.clock.now();
        let mut tanks = self.tanks.lock().unwrap_or_else(PoisonError::into_inner);
        if tanks.len() >= COUNTED_TENANTS_MAX && !tanks.contains_key(tenant) {
            // After a minute a tank is full, as an unknown one is.
            tanks.retain(|_, tank| now.since(tank.at) < 60_000);
        }
        change(tanks.entry(tenant.clone()).or_insert_with(|| FuelTank::full(per_minute, now)), now)
    }
}

impl Tanks {
    /// Charges compile time, see [`crate::Compiles::charge_compile`].
    pub(super) fn charge(&self, tenant: &TenantId, per_hour_ms: u64, used_ms: u64) -> i64 {
        let now = self.clock.now();
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if budgets.len() >= COUNTED_TENANTS_MAX && !budgets.contains_key(tenant) {
            // After two hours even an overdrawn budget is full, as an unknown one is.
            budgets.retain(|_, budget| now.since(budget.at) < 2 * 3_600_000);
        }
        let full = || CompileBudget::full(per_hour_ms, now);
        budgets.entry(tenant.clone()).or_insert_with(full).charge(per_hour_ms, used_ms, now)
    }
}

#[async_trait]
impl Fuel for EmbeddedStore {
    async fn draw_fuel(&self, tenant: &TenantId, per_minute: u64, fuel: u64) -> Result<u64> {
        Ok(self.tanks.with(tenant, per_minute, |tank, now| tank.draw(per_minute, fuel, now)))
    }

    async fn fuel_left(&self, tenant: &TenantId, per_minute: u64) -> Result<u64> {
        Ok(self.tanks.with(tenant, per_minute, |tank, now| {
            tank.draw(per_minute, 0, now);
            tank.fuel
        }))
    }

    async fn give_back_fuel(&self, tenant: &TenantId, per_minute: u64, fuel: u64) -> Result<()> {
        self.tanks.with(tenant, per_minute, |tank, now| tank.give_back(per_minute, fuel, now));
        Ok(())
    }
}
