//! One run of a function, as every stage between a lease, or a synchronous request, and the sandbox carries it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    capability::Grants,
    function::{FunctionVersion, RunLimits},
    id::ModuleDigest,
    name::{FunctionName, TenantId},
};

/// Function to run, with its input, limits and grants. Each stage adds its own data beside it: the lease its token, the
/// slot its stop flag, the run its deadline. Part of [`crate::wire::Assignment`], so its fields keep their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// Tenant of the function.
    pub tenant: TenantId,
    /// Name of the function, for the run's context.
    pub function: FunctionName,
    /// Digest of the module.
    pub module: ModuleDigest,
    /// Limits of the run.
    pub limits: RunLimits,
    /// Capabilities granted to the function.
    pub grants: Grants,
    /// Milliseconds that it has waited so far. A duration, since clocks of two machines cannot be compared.
    pub waited_ms: u64,
    /// Input of the function.
    pub input: Bytes,
}

impl Invocation {
    /// Returns an invocation of `function` within its own limits.
    #[must_use]
    pub fn new(function: FunctionVersion, input: Bytes) -> Self {
        let FunctionVersion { tenant, name, module, limits, grants, .. } = function;
        Self { tenant, function: name, module, limits, grants, waited_ms: 0, input }
    }
}
