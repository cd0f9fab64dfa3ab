//! Options of every store, set by an operator. Tenants' quotas are not among them: each step receives the tenant's own,
//! which were bounded by [`fusebox_core::quota::Quotas::CEILING`] when they were set.

use fusebox_core::limits::{KV_NAMESPACE_BYTES_MAX, KV_NAMESPACE_ENTRIES_MAX};

/// Bounds that the store enforces.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Largest number of values in one function's namespace.
    pub kv_entries_max: u64,
    /// Largest size of a namespace's keys and values, in bytes.
    pub kv_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { kv_entries_max: KV_NAMESPACE_ENTRIES_MAX, kv_bytes_max: KV_NAMESPACE_BYTES_MAX }
    }
}
