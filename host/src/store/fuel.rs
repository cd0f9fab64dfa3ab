//! Fuel that tenants' runs may reserve: one tank a tenant, of which every dispatcher and REST node draws, so that their
//! number multiplies nothing. What is drawn and lost with a process fills up again with time.

use async_trait::async_trait;
use fusebox_core::name::TenantId;

use super::Result;

/// See the module's documentation.
#[async_trait]
pub trait Fuel: Send + Sync + 'static {
    /// Draws as much of `fuel` as the tank has. It fills up with `per_minute`, and holds a minute's worth.
    async fn draw_fuel(&self, tenant: &TenantId, per_minute: u64, fuel: u64) -> Result<u64>;
    /// Gives back what was drawn and not used.
    async fn give_back_fuel(&self, tenant: &TenantId, per_minute: u64, fuel: u64) -> Result<()>;
}
