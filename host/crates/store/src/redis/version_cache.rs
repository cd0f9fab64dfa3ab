//! Cache of function versions, of what their runs get, and of the kinds of their tasks. A cached version may be stale: a task accepted for it states its
//! expectation, which Redis checks in the same step, so no invalidation is needed. Cached grants and setups are always
//! valid, since a version that is ready never changes.

use std::sync::Arc;

use fusebox_core::{
    function::{FunctionVersion, Grants, VersionState},
    id::FunctionId,
    name::TenantId,
    setup::Setup,
};
use quick_cache::sync::Cache;

use super::kinds::Kinds;
use crate::FunctionRef;

/// Largest number of cached versions, about 300 bytes each.
const VERSIONS_MAX: usize = 10_000;

/// Grants and setup of a version, which each of its runs gets.
pub(super) type Given = Arc<(Grants, Setup)>;

/// Cached versions, grants, setups and kinds.
pub(super) struct VersionCache {
    versions: Cache<(TenantId, FunctionRef), FunctionVersion>,
    given: Cache<FunctionId, Given>,
    /// Kinds of tasks.
    pub(super) kinds: Kinds,
}

impl VersionCache {
    pub(super) fn new() -> Self {
        Self { versions: Cache::new(VERSIONS_MAX), given: Cache::new(VERSIONS_MAX), kinds: Kinds::new() }
    }

    pub(super) fn get(&self, tenant: &TenantId, function: &FunctionRef) -> Option<FunctionVersion> {
        self.versions.get(&(tenant.clone(), function.clone()))
    }

    /// Returns the cached grants and setup of a version.
    pub(super) fn given(&self, function: FunctionId) -> Option<Given> {
        self.given.get(&function)
    }

    /// Caches the grants and setup of a version.
    pub(super) fn gave(&self, function: FunctionId, given: &Given) {
        self.given.insert(function, given.clone());
    }

    /// Caches the result of a read; `None` removes the entry, and so does a version that is not ready, which changes.
    pub(super) fn read(&self, tenant: &TenantId, function: &FunctionRef, version: Option<&FunctionVersion>) {
        let key = (tenant.clone(), function.clone());
        match version.filter(|version| version.state == VersionState::Ready) {
            Some(version) => self.versions.insert(key, version.clone()),
            None => drop(self.versions.remove(&key)),
        }
    }
}
