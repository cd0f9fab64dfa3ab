//! Shared fuel of each tenant: one tank per tenant, from which every dispatcher and REST node draws, so their number
//! does not multiply the quota. Fuel that is drawn and lost with a process is refilled with time.

use async_trait::async_trait;
use fusebox_core::name::TenantId;

use super::Result;

/// Fuel tanks of tenants. A tank refills at `per_minute` units a minute and holds at most one minute's worth.
#[async_trait]
pub trait Fuel: Send + Sync + 'static {
    /// Draws up to `fuel` units from the tenant's tank and returns the units drawn, 0 if the tank is empty.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error).
    async fn draw_fuel(&self, tenant: &TenantId, per_minute: u64, fuel: u64) -> Result<u64>;
    /// Returns the units in the tenant's tank, without drawing any.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error).
    async fn fuel_left(&self, tenant: &TenantId, per_minute: u64) -> Result<u64>;
    /// Returns unused fuel to the tenant's tank.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error).
    async fn give_back_fuel(&self, tenant: &TenantId, per_minute: u64, fuel: u64) -> Result<()>;
}
