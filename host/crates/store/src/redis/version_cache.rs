//! Cache of function versions and grants. A cached version may be stale: a task accepted for it states its expectation,
//! which Redis checks in the same step, so no invalidation is needed. Cached grants are always valid, since a version
//! never changes.

use fusebox_core::{
    function::{FunctionVersion, Grants},
    id::FunctionId,
    name::TenantId,
};
use quick_cache::sync::Cache;

use crate::FunctionRef;

/// Largest number of cached versions, about 300 bytes each.
const VERSIONS_MAX: usize = 10_000;

/// Cached versions and grants.
pub(super) struct VersionCache {
    versions: Cache<(TenantId, FunctionRef), FunctionVersion>,
    grants: Cache<FunctionId, Grants>,
}

impl VersionCache {
    pub(super) fn new() -> Self {
        Self { versions: Cache::new(VERSIONS_MAX), grants: Cache::new(VERSIONS_MAX) }
    }

    pub(super) fn get(&self, tenant: &TenantId, function: &FunctionRef) -> Option<FunctionVersion> {
        self.versions.get(&(tenant.clone(), function.clone()))
    }

    /// Returns the cached grants of a version.
    pub(super) fn grants(&self, function: FunctionId) -> Option<Grants> {
        self.grants.get(&function)
    }

    /// Caches the grants of a version.
    pub(super) fn granted(&self, function: FunctionId, grants: &Grants) {
        self.grants.insert(function, grants.clone());
    }

    /// Caches the result of a read; `None` removes the entry.
    pub(super) fn read(&self, tenant: &TenantId, function: &FunctionRef, version: Option<&FunctionVersion>) {
        let key = (tenant.clone(), function.clone());
        match version {
            Some(version) => self.versions.insert(key, version.clone()),
            None => drop(self.versions.remove(&key)),
        }
    }
}
