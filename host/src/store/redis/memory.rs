//! Function versions as they were a moment ago. Nothing here is known to be true: a task that is accepted for one of them
//! says what it expects, and Redis checks that in the same step. So nothing need be told when a version comes or goes.

use fusebox_core::{function::FunctionVersion, name::TenantId};
use quick_cache::sync::Cache;

use crate::store::FunctionRef;

/// Versions remembered, about 300 bytes each.
const VERSIONS_MAX: usize = 10_000;

/// See the module's documentation.
pub(super) struct Memory(Cache<(TenantId, FunctionRef), FunctionVersion>);

impl Memory {
    pub(super) fn new() -> Self {
        Self(Cache::new(VERSIONS_MAX))
    }

    pub(super) fn get(&self, tenant: &TenantId, function: &FunctionRef) -> Option<FunctionVersion> {
        self.0.get(&(tenant.clone(), function.clone()))
    }

    /// What was read just now; `None` where there is no such version.
    pub(super) fn read(&self, tenant: &TenantId, function: &FunctionRef, version: Option<&FunctionVersion>) {
        let key = (tenant.clone(), function.clone());
        match version {
            Some(version) => self.0.insert(key, version.clone()),
            None => drop(self.0.remove(&key)),
        }
    }
}
