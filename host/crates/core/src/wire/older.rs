//! Assignments in the encoding of protocol version 3, whose invocations have neither arguments nor environment, files or
//! an export.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Assignment, HeldAttempt};
use crate::{
    capability::Grants,
    function::RunLimits,
    id::ModuleDigest,
    invocation::Invocation,
    name::{FunctionName, TenantId},
};

/// Attempt to run, of a plain invocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlainAssignment {
    held: HeldAttempt,
    tenant: TenantId,
    function: FunctionName,
    module: ModuleDigest,
    limits: RunLimits,
    grants: Grants,
    waited_ms: u64,
    input: Bytes,
}

impl TryFrom<Assignment> for PlainAssignment {
    type Error = Assignment;

    /// Fails with the assignment if its invocation is not plain.
    fn try_from(assignment: Assignment) -> Result<Self, Assignment> {
        if !assignment.invocation.is_plain() {
            return Err(assignment);
        }
        let Assignment { held, invocation } = assignment;
        let Invocation { tenant, function, module, limits, grants, waited_ms, input, .. } = invocation;
        Ok(Self { held, tenant, function, module, limits, grants, waited_ms, input })
    }
}

impl From<PlainAssignment> for Assignment {
    fn from(plain: PlainAssignment) -> Self {
        let PlainAssignment { held, tenant, function, module, limits, grants, waited_ms, input } = plain;
        let invocation = Invocation::plain(tenant, function, module, limits, grants, input);
        Self { held, invocation: Invocation { waited_ms, ..invocation } }
    }
}
