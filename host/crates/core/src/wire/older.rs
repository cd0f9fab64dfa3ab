//! Assignments in the encoding of protocol version 3, whose invocations have neither arguments nor environment, files or
//! an export, and no limit of CPU time: workers of that version bound it by fuel and wall time only.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Assignment, HeldAttempt};
use crate::{
    capability::Grants,
    function::RunLimits,
    id::ModuleDigest,
    invocation::Invocation,
    limits::CPU_MS_MAX,
    name::{FunctionName, TenantId},
};

/// Attempt to run, of a plain invocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlainAssignment {
    held: HeldAttempt,
    tenant: TenantId,
    function: FunctionName,
    module: ModuleDigest,
    limits: PlainLimits,
    grants: Grants,
    waited_ms: u64,
    input: Bytes,
}

/// Limits without CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PlainLimits {
    fuel: u64,
    wall_ms: u32,
    memory_bytes: u64,
    output_bytes: u64,
    log_bytes: u64,
}

impl From<RunLimits> for PlainLimits {
    fn from(limits: RunLimits) -> Self {
        let RunLimits { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, .. } = limits;
        Self { fuel, wall_ms, memory_bytes, output_bytes, log_bytes }
    }
}

impl From<PlainLimits> for RunLimits {
    fn from(limits: PlainLimits) -> Self {
        let PlainLimits { fuel, wall_ms, memory_bytes, output_bytes, log_bytes } = limits;
        Self { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, cpu_ms: CPU_MS_MAX }
    }
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
        Ok(Self { held, tenant, function, module, limits: limits.into(), grants, waited_ms, input })
    }
}

impl From<PlainAssignment> for Assignment {
    fn from(plain: PlainAssignment) -> Self {
        let PlainAssignment { held, tenant, function, module, limits, grants, waited_ms, input } = plain;
        let invocation = Invocation::plain(tenant, function, module, limits.into(), grants, input);
        Self { held, invocation: Invocation { waited_ms, ..invocation } }
    }
}
