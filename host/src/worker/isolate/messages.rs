//! Messages between the parent and a slot's process, in frames of postcard. The slot is trusted with nothing but its
//! own tenant's results: its messages are decoded within a bound, and results must fit the limits of their run.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use bytes::Bytes;
use fusebox_core::{
    capability::{HostAnswer, HostCall, Refusal},
    function::RunLimits,
    id::{Attempt, FilesDigest, ModuleDigest, TaskId},
    invocation::Invocation,
    limits::{ARTIFACT_BYTES_MAX, BACKTRACE_FRAMES_MAX, LOG_BYTES_MAX, OUTPUT_BYTES_MAX, STDERR_TAIL_BYTES},
    outcome::{Outcome, Receipt, StopReason, Traces},
    time::Millis,
};
use fusebox_sandbox::{Call, HostCalls, Run, StopFlag};
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
    /// Archive of the files of a run.
    AdmitFiles { files: FilesDigest, archive: Bytes },
    /// Call to run.
    Run { number: u64, invocation: Box<Invocation>, task: Option<TaskId>, attempt: Attempt, deadline: Millis },
    /// Answer to a host call of the run.
    Answered(Result<HostAnswer, Refusal>),
}

/// Message from the slot: one answer to each message, preceded by host calls if it is a run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromSlot {
    /// The process is locked up; lists the parts of its jail that hold and those that the kernel lacks.
    Begun { holds: String, lacks: String },
    /// Result of loading the module or the files, with the reason of a failure.
    Admitted(Option<String>),
    /// The process lacks the module or the files.
    Missing { module: bool, files: bool },
    /// Host call of the run, which waits for the answer.
    Asks(HostCall),
    /// Result of the run.
    Ended { outcome: Outcome, traces: Traces, receipt: Receipt, log: Bytes },
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
    pub(super) fn run(number: u64, call: &Call) -> Self {
        let Call { invocation, task, attempt, deadline, .. } = call;
        Self::Run {
            number,
            invocation: Box::new(invocation.clone()),
            task: *task,
            attempt: *attempt,
            deadline: *deadline,
        }
    }

    /// Returns the number and call of a run.
    pub(super) fn into_call(self, stop: StopFlag, host_calls: Arc<dyn HostCalls>) -> Option<(u64, Call)> {
        let Self::Run { number, invocation, task, attempt, deadline } = self else { return None };
        let (invocation, host_calls) = (*invocation, Some(host_calls));
        Some((number, Call { invocation, task, attempt, deadline, stop, host_calls, exchange: None }))
    }
}

impl From<Run> for FromSlot {
    fn from(Run { outcome, traces, receipt, log }: Run) -> Self {
        Self::Ended { outcome, traces, receipt, log }
    }
}

/// Returns true if a run under these limits can have this result; otherwise the slot is compromised.
pub(super) fn is_possible(outcome: &Outcome, traces: &Traces, log: &Bytes, limits: &RunLimits) -> bool {
    /// Space for the note that the log was cut off.
    const NOTE_BYTES: u64 = 4 << 10;
    let output = match outcome {
        Outcome::Returned(bytes) | Outcome::GuestError { error: bytes, .. } => bytes.len() as u64,
        _ => 0,
    };
    let explained = traces.stderr.len() <= STDERR_TAIL_BYTES && traces.backtrace.len() <= BACKTRACE_FRAMES_MAX;
    explained && output <= limits.output_bytes && log.len() as u64 <= limits.log_bytes + NOTE_BYTES
}
