//! Options of any store, which an operator may set. A tenant's bounds are none of them: each step is given the tenant's
//! own, which [`fusebox_core::quota::Quotas::CEILING`] bounds where it is set.

use fusebox_core::limits::{ENDED_TASK_TTL_MS, KV_NAMESPACE_BYTES_MAX, KV_NAMESPACE_ENTRIES_MAX};

/// Bounds that a store keeps.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long an ended task is kept, in milliseconds.
    pub ended_ttl_ms: u64,
    /// Values of one function's namespace.
    pub kv_entries_max: u64,
    /// Bytes of their keys and values.
    pub kv_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ended_ttl_ms: ENDED_TASK_TTL_MS,
            kv_entries_max: KV_NAMESPACE_ENTRIES_MAX,
            kv_bytes_max: KV_NAMESPACE_BYTES_MAX,
        }
    }
}
