//! What an operator may set of any store.

use fusebox_core::limits::{
    ENDED_TASK_TTL_MS, FUNCTION_VERSIONS_PER_TENANT_MAX, KV_NAMESPACE_BYTES_MAX, KV_NAMESPACE_ENTRIES_MAX,
    QUEUED_TASKS_PER_TENANT_MAX,
};

/// Bounds that a store keeps.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Waiting tasks of one tenant.
    pub queued_tasks_max: u64,
    /// Function versions of one tenant.
    pub function_versions_max: u64,
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
            queued_tasks_max: QUEUED_TASKS_PER_TENANT_MAX,
            function_versions_max: FUNCTION_VERSIONS_PER_TENANT_MAX,
            ended_ttl_ms: ENDED_TASK_TTL_MS,
            kv_entries_max: KV_NAMESPACE_ENTRIES_MAX,
            kv_bytes_max: KV_NAMESPACE_BYTES_MAX,
        }
    }
}
