//! Compilations of versions that were registered before they are compiled, and the compile time of each tenant. A node
//! holds a compilation while it works on it; one that is no longer held is taken over by any node, so it outlives them.

use async_trait::async_trait;
#[cfg(doc)]
use fusebox_core::quota::CompileBudget;
use fusebox_core::{function::FunctionVersion, id::FunctionId, name::TenantId, outcome::Failure};

use crate::Result;

/// Compilations under way, and what they may use.
#[async_trait]
pub trait Compiles: Send + Sync + 'static {
    /// Holds the compilations that nobody holds, at most `max`, for `hold_ms`, and returns them.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn take_compiles(&self, max: usize, hold_ms: u64) -> Result<Vec<Compile>>;
    /// Holds a compilation for `hold_ms` from now on. Returns false if there is nothing left to compile: the version is
    /// deleted or settled.
    ///
    /// # Errors
    /// Fails if the store cannot be reached, see [`crate::Error`].
    async fn hold_compile(&self, function: FunctionId, hold_ms: u64) -> Result<bool>;
    /// Ends the compilation of a version, which is ready then or has failed, and returns the version; `None` if it is
    /// deleted. Changes nothing if it has ended before. A failed version no longer needs its module.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`]. The change may have been
    /// made all the same.
    async fn settle(&self, function: FunctionId, failure: Option<Failure>) -> Result<Option<FunctionVersion>>;
    /// Charges milliseconds of compilations to the tenant's [`CompileBudget`], which refills at `per_hour_ms` an
    /// hour, and returns those that are left.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`](super::Error).
    async fn charge_compile(&self, tenant: &TenantId, per_hour_ms: u64, used_ms: u64) -> Result<i64>;
}

/// Compilation that its caller holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compile {
    /// Version to be compiled.
    pub version: FunctionVersion,
    /// Number of callers that have held it, this one included.
    pub starts: u32,
}
