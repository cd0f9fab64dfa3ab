//! What parent and slot say to each other, in frames of postcard. The slot is believed nothing but its own tenant's results:
//! what it says is decoded within a bound, and fits its run's limits or is no answer.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use bytes::Bytes;
use fusebox_core::{
    capability::{Answer, Call as Question, Grants, Refusal},
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

/// The largest message to a slot: compiled code, which is larger than any input.
pub(super) const TO_SLOT_BYTES_MAX: u64 = ARTIFACT_BYTES_MAX + (64 << 10);
/// The largest message of a slot: an output and a log, and room for a backtrace.
pub(super) const FROM_SLOT_BYTES_MAX: u64 = OUTPUT_BYTES_MAX + LOG_BYTES_MAX + (256 << 10);

/// From the parent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToSlot {
    /// The first message: the most any run may use.
    Begin { ceiling: RunLimits },
    /// A module's compiled code.
    Admit { module: ModuleDigest, code: Bytes },
    /// Run a call.
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
    /// The answer to what the run asked.
    Told(Result<Answer, Refusal>),
}

/// From the slot; one answer to each message, and before that of a run what it asks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromSlot {
    /// It is locked up: what holds, and what this kernel lacks.
    Begun { holds: String, lacks: String },
    /// The module cannot be loaded, where there is a reason.
    Admitted(Option<String>),
    /// It has not got the module.
    Missing,
    /// The run asks for something that it cannot reach itself, and waits for the answer.
    Asks(Question),
    /// The run is over.
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

/// Stops one run, on a socket of its own: the slot's thread is busy with it.
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

    /// The number, module and call of a run.
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

/// Whether a run could have ended so under these limits: a slot that says otherwise is not itself.
pub(super) fn is_possible(outcome: &Outcome, log: &Bytes, limits: &RunLimits) -> bool {
    /// The note that more was logged.
    const NOTE_BYTES: u64 = 4 << 10;
    let output = match outcome {
        Outcome::Returned(bytes) | Outcome::GuestError { error: bytes, .. } => bytes.len() as u64,
        _ => 0,
    };
    output <= limits.output_bytes && log.len() as u64 <= limits.log_bytes + NOTE_BYTES
}
