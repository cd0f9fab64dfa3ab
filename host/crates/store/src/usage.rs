//! Space that a store has, and that each tenant uses of it.

use async_trait::async_trait;
use fusebox_core::{
    name::TenantId,
    room::{Holdings, Room},
};

use super::Result;

/// Use of a store's space. Each step counts for its tenant what it stores and what it deletes: inputs, outputs, logs and
/// failures of tasks ([`fusebox_core::task::Task::stored_bytes`]), values and settings with their names, and the module of
/// each version, however many versions share one. Tenants and API keys are not counted, since their numbers are bounded.
#[async_trait]
pub trait Usage: Send + Sync + 'static {
    /// Returns the bytes stored for a tenant.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error).
    async fn stored_bytes(&self, tenant: &TenantId) -> Result<u64>;
    /// Returns what these tenants store together, and how many of them store anything.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error).
    async fn holdings(&self, tenants: &[TenantId]) -> Result<Holdings>;
    /// Returns the room of each place of the store. Of an embedded store: its disk, which others may use too. Of Redis: `maxmemory`, or the machine's memory where that is not set, of each master.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or does not report its room, see [`Error`](super::Error).
    async fn room(&self) -> Result<Vec<Room>>;
}
