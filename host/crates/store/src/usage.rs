//! Space that a store has.

use async_trait::async_trait;

use super::Result;

/// Space of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Size of the whole, in bytes.
    pub total_bytes: u64,
    /// Part of it that is free, in bytes.
    pub free_bytes: u64,
}

/// Use of a store's space.
#[async_trait]
pub trait Usage: Send + Sync + 'static {
    /// Returns the space of the store. Of an embedded store: the file system of its directory, which others may use too.
    /// Of Redis: `maxmemory`, or the machine's memory where that is not set, summed over the masters of a Cluster.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or does not report its space, see [`Error`](super::Error).
    async fn room(&self) -> Result<Room>;
}
