//! Function versions as they were a moment ago. Nothing here is known to be true: a task that is accepted for one of them
//! says what it expects, and Redis checks that in the same step. So nothing need be told when a version comes or goes.
//! And what versions were granted: that is true for ever, since a version never changes.

use fusebox_core::{
    function::{FunctionVersion, Grants},
    id::FunctionId,
    name::TenantId,
};
use quick_cache::sync::Cache;

use crate::store::FunctionRef;

/// Versions remembered, about 300 bytes each.
const VERSIONS_MAX: usize = 10_000;

/// See the module's documentation.
pub(super) struct Memory {
    versions: Cache<(TenantId, FunctionRef), FunctionVersion>,
    grants: Cache<FunctionId, Grants>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { versions: Cache::new(VERSIONS_MAX), grants: Cache::new(VERSIONS_MAX) }
    }

    pub(super) fn get(&self, tenant: &TenantId, function: &FunctionRef) -> Option<FunctionVersion> {
        self.versions.get(&(tenant.clone(), function.clone()))
    }

    /// What a version was granted, where that was read before.
    pub(super) fn grants(&self, function: FunctionId) -> Option<Grants> {
        self.grants.get(&function)
    }

    /// What a version was granted.
    pub(super) fn granted(&self, function: FunctionId, grants: &Grants) {
        self.grants.insert(function, grants.clone());
    }

    /// What was read just now; `None` where there is no such version.
    pub(super) fn read(&self, tenant: &TenantId, function: &FunctionRef, version: Option<&FunctionVersion>) {
        let key = (tenant.clone(), function.clone());
        match version {
            Some(version) => self.versions.insert(key, version.clone()),
            None => drop(self.versions.remove(&key)),
        }
    }
}
