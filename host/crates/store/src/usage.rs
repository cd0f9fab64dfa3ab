//! Space that a store has, and that each tenant uses of it.

use async_trait::async_trait;
use fusebox_core::name::TenantId;

use super::Result;

/// Space of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Size of the whole, in bytes.
    pub total_bytes: u64,
    /// Part of it that is free, in bytes.
    pub free_bytes: u64,
}

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
    /// Returns the space of the store. Of an embedded store: the file system of its directory, which others may use too.
    /// Of Redis: `maxmemory`, or the machine's memory where that is not set, summed over the masters of a Cluster.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or does not report its space, see [`Error`](super::Error).
    async fn room(&self) -> Result<Room>;
}
