//! Tenants' fuel. It is drawn from Redis, so that all hosts share one tank per tenant.

use async_trait::async_trait;
use fusebox_core::{limits::QUOTA_MAX, name::TenantId};

use super::{RedisStore, answers};
use crate::{Fuel, Result};

impl RedisStore {
    async fn draw(&self, tenant: &TenantId, per_minute: u64, fuel: String) -> Result<u64> {
        let call = self.caller.call(self.caller.layout().shared(), "draw");
        let call = call.arg(tenant.as_str()).arg(per_minute.min(QUOTA_MAX)).arg(fuel);
        // A repeated call would draw again.
        let drawn = answers::text(self.caller.ask(call.once()).await?)?;
        Ok(drawn.parse().unwrap_or_default())
    }
}

#[async_trait]
impl Fuel for RedisStore {
    async fn draw_fuel(&self, tenant: &TenantId, per_minute: u64, fuel: u64) -> Result<u64> {
        self.draw(tenant, per_minute, fuel.min(QUOTA_MAX).to_string()).await
    }

    async fn fuel_left(&self, tenant: &TenantId, per_minute: u64) -> Result<u64> {
        let call = self.caller.call(self.caller.layout().shared(), "fuel_left");
        answers::number(self.caller.ask(call.arg(tenant.as_str()).arg(per_minute.min(QUOTA_MAX))).await?)
    }

    async fn give_back_fuel(&self, tenant: &TenantId, per_minute: u64, fuel: u64) -> Result<()> {
        self.draw(tenant, per_minute, format!("-{}", fuel.min(QUOTA_MAX))).await.map(drop)
    }
}
