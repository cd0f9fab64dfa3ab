//! Messages between the parent and a slot's process, in frames of postcard. The slot is trusted with nothing but its
//! own tenant's results: its messages are decoded within a bound, and results must fit the limits of their run.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use bytes::Bytes;
use fusebox_core::{
    capability::{Grants, HostAnswer, HostCall, Refusal},
    function::RunLimits,
    id::{Attempt, ModuleDigest, TaskId},
    limits::{ARTIFACT_BYTES_MAX, LOG_BYTES_MAX, OUTPUT_BYTES_MAX},
    name::{FunctionName, TenantId},
    outcome::{Outcome, StopReason},
    time::Millis,
};
use fusebox_sandbox::{Call, CallContext, HostCalls, Run, StopFlag, Usage};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::frames;

/// Largest message to a slot: compiled code, which is larger than any input.
pub(super) const TO_SLOT_BYTES_MAX: u64 = ARTIFACT_BYTES_MAX + (64 << 10);
/// Largest message of a slot: an output and a log, and space for a backtrace.
pub(super) const FROM_SLOT_BYTES_MAX: u64 = OUTPUT_BYTES_MAX + LOG_BYTES_MAX + (256 << 10);

/// Message from the parent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToSlot {
    /// First message: the largest limits of any run.
    Begin { ceiling: RunLimits },
    /// Compiled code of a module.
    Admit { module: ModuleDigest, code: Bytes },
    /// Call to run.
    Run {
        number: u64,
        module: ModuleDigest,
        input: Bytes,
        limits: RunLimits,
        task: Option<TaskId>,
        attempt: Attempt,
        tenant: TenantId,
        function: FunctionName,
        deadline: Millis,
        grants: Grants,
    },
    /// Answer to a host call of the run.
    Told(Result<HostAnswer, Refusal>),
}

/// Message from the slot: one answer to each message, preceded by host calls if it is a run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromSlot {
    /// The process is locked up; lists the parts of its jail that hold and those that the kernel lacks.
    Begun { holds: String, lacks: String },
    /// Result of loading the module, with the reason of a failure.
    Admitted(Option<String>),
    /// The process lacks the module.
    Missing,
    /// Host call of the run, which waits for the answer.
    Asks(HostCall),
    /// Result of the run.
    Ended { outcome: Outcome, used: Used, log: Bytes },
}

/// See [`Usage`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Used {
    fuel: Option<u64>,
    wall_us: u64,
    cpu_us: u64,
    instantiate_us: u64,
    memory_bytes: u64,
}

/// Stops one run. Sent on a socket of its own, since the slot's thread is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stop {
    pub(super) number: u64,
    pub(super) reason: StopReason,
}

pub(super) fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_allocvec(message).map_err(io::Error::other)?;
    frames::write(to, &bytes)
}

pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read, bytes_max: u64) -> io::Result<T> {
    let bytes = frames::read(from, bytes_max)?;
    postcard::from_bytes(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

impl ToSlot {
    pub(super) fn run(number: u64, module: ModuleDigest, call: &Call) -> Self {
        let Call { input, limits, context, .. } = call;
        let CallContext { task, attempt, tenant, function, deadline, grants } = context;
        Self::Run {
            number,
            module,
            input: input.clone(),
            limits: *limits,
            task: *task,
            attempt: *attempt,
            tenant: tenant.clone(),
            function: function.clone(),
            deadline: *deadline,
            grants: grants.clone(),
        }
    }

    /// Returns the number, module and call of a run.
    pub(super) fn into_call(self, stop: StopFlag, outside: Arc<dyn HostCalls>) -> Option<(u64, ModuleDigest, Call)> {
        let Self::Run { number, module, input, limits, task, attempt, tenant, function, deadline, grants } = self
        else {
            return None;
        };
        let context = CallContext { task, attempt, tenant, function, deadline, grants };
        Some((number, module, Call { input, limits, context, stop, host_calls: Some(outside) }))
    }
}

impl From<Run> for FromSlot {
    fn from(Run { outcome, usage, log }: Run) -> Self {
        let Usage { fuel, wall_us, cpu_us, instantiate_us, memory_bytes } = usage;
        Self::Ended { outcome, used: Used { fuel, wall_us, cpu_us, instantiate_us, memory_bytes }, log }
    }
}

impl From<Used> for Usage {
    fn from(Used { fuel, wall_us, cpu_us, instantiate_us, memory_bytes }: Used) -> Self {
        Self { fuel, wall_us, cpu_us, instantiate_us, memory_bytes }
    }
}

/// Returns true if a run under these limits can have this result; otherwise the slot is compromised.
pub(super) fn is_possible(outcome: &Outcome, log: &Bytes, limits: &RunLimits) -> bool {
    /// Space for the note that the log was cut off.
    const NOTE_BYTES: u64 = 4 << 10;
    let output = match outcome {
        Outcome::Returned(bytes) | Outcome::GuestError { error: bytes, .. } => bytes.len() as u64,
        _ => 0,
    };
    output <= limits.output_bytes && log.len() as u64 <= limits.log_bytes + NOTE_BYTES
}
