//! Messages between the parent and a slot's process, in frames of postcard. The slot is trusted with nothing but its
//! own tenant's results: its messages are decoded within a bound, and results must fit the limits of their run. Heads
//! and trailers of a response travel as HTTP messages, so that the parent checks each header as it reads them.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use bytes::Bytes;
use fusebox_core::{
    capability::{HostAnswer, HostCall, Refusal},
    function::RunLimits,
    http::{MessageError, Response},
    id::{Attempt, FilesDigest, ModuleDigest, TaskId},
    invocation::Invocation,
    limits::{
        ARTIFACT_BYTES_MAX, BACKTRACE_FRAMES_MAX, HTTP_HEADERS_BYTES_MAX, LOG_BYTES_MAX, OUTPUT_BYTES_MAX,
        STDERR_TAIL_BYTES,
    },
    outcome::{Outcome, Receipt, StopReason, Traces},
    time::Millis,
};
use fusebox_sandbox::{BrokenBody, Call, Exchange, HostCalls, Piece, Run, StopFlag};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::frames;

/// Largest message to a slot: compiled code, which is larger than any input.
pub(super) const TO_SLOT_BYTES_MAX: u64 = ARTIFACT_BYTES_MAX + (64 << 10);
/// Largest message of a slot: an output and a log, and space for a backtrace.
pub(super) const FROM_SLOT_BYTES_MAX: u64 = OUTPUT_BYTES_MAX + LOG_BYTES_MAX + (256 << 10);
/// Largest part of a request's body that is sent at a time; a slot reads one and holds none.
pub(super) const PART_BYTES_MAX: usize = 64 << 10;
/// Largest message aside of the calls: a part of a body, or trailers, in which each header takes a few bytes more.
pub(super) const ASIDE_BYTES_MAX: u64 = (PART_BYTES_MAX + 2 * HTTP_HEADERS_BYTES_MAX) as u64;

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
    Run {
        number: u64,
        invocation: Box<Invocation>,
        task: Option<TaskId>,
        attempt: Attempt,
        deadline: Millis,
        /// With an exchange: whether the request's body is read through it rather than part of the input.
        exchange: Option<bool>,
    },
    /// Answer to a host call of the run.
    Answered(Result<HostAnswer, Refusal>),
}

/// Message from the slot: one answer to each message, preceded by host calls and bodies if it is a run.
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
    /// Piece of the run's response; the next one follows once this one was taken.
    Piece(SentPiece),
    /// The run waits for the next part of the request's body.
    Reads,
    /// The run reads no more of the request's body.
    Leaves,
    /// Result of the run.
    Ended { outcome: Outcome, traces: Traces, receipt: Receipt, log: Bytes },
}

/// Message to a run, on a socket of its own, since the slot's thread is busy with the run.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Aside {
    /// Number of the run.
    pub(super) number: u64,
    pub(super) word: Word,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Word {
    /// Stops the run.
    Stop(StopReason),
    /// The client has room for the next piece of the response.
    Taken,
    /// The client takes no more of the response.
    Gone,
    /// Part of the request's body, which the run waits for.
    Part(Part),
}

/// Part of a request's body.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Part {
    /// At most [`PART_BYTES_MAX`] bytes.
    Data(Bytes),
    /// Names and values of the trailers, after which nothing follows.
    Trailers(Vec<(String, Bytes)>),
    /// End of a body without trailers.
    End,
    /// Early end of the body.
    Broken(BrokenBody),
}

/// Piece of a response, on its way to the parent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum SentPiece {
    /// Response with the start of its body, as a message.
    Head(Bytes),
    /// More of the body.
    Data(Bytes),
    /// Response of nothing but trailers, as a message.
    Trailers(Bytes),
}

impl TryFrom<Piece> for SentPiece {
    type Error = MessageError;

    fn try_from(piece: Piece) -> Result<Self, MessageError> {
        Ok(match piece {
            Piece::Head(head) => Self::Head(head.to_bytes()?),
            Piece::Data(data) => Self::Data(data),
            Piece::Trailers(trailers) => Self::Trailers(Response::of_trailers(trailers).to_bytes()?),
        })
    }
}

impl TryFrom<SentPiece> for Piece {
    type Error = MessageError;

    fn try_from(piece: SentPiece) -> Result<Self, MessageError> {
        Ok(match piece {
            SentPiece::Head(message) => Self::Head(Box::new(Response::parse(&message)?)),
            SentPiece::Data(data) => Self::Data(data),
            SentPiece::Trailers(message) => Self::Trailers(Response::parse(&message)?.trailers),
        })
    }
}

pub(super) fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_allocvec(message).map_err(io::Error::other)?;
    frames::write(to, &bytes)
}

pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read, bytes_max: u64) -> io::Result<T> {
    decode(&frames::read(from, bytes_max)?)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    postcard::from_bytes(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

impl ToSlot {
    pub(super) fn run(number: u64, call: &Call) -> Self {
        let Call { invocation, task, attempt, deadline, exchange, .. } = call;
        Self::Run {
            number,
            invocation: Box::new(invocation.clone()),
            task: *task,
            attempt: *attempt,
            deadline: *deadline,
            exchange: exchange.as_ref().map(Exchange::has_body),
        }
    }

    /// Returns a run's call without its exchange, its number, and whether the exchange, if there is one, has a body.
    pub(super) fn into_call(self, stop: StopFlag, host_calls: Arc<dyn HostCalls>) -> Option<(Call, u64, Option<bool>)> {
        let Self::Run { number, invocation, task, attempt, deadline, exchange } = self else { return None };
        let (invocation, host_calls) = (*invocation, Some(host_calls));
        let call = Call { invocation, task, attempt, deadline, stop, host_calls, exchange: None };
        Some((call, number, exchange))
    }
}

impl From<Run> for FromSlot {
    fn from(Run { outcome, traces, receipt, log }: Run) -> Self {
        Self::Ended { outcome, traces, receipt, log }
    }
}

/// Returns true if a run under these limits can have this result; otherwise the slot is compromised. A run that passed its
/// response on returns nothing else.
pub(super) fn is_possible(
    outcome: &Outcome,
    traces: &Traces,
    log: &Bytes,
    limits: &RunLimits,
    has_passed: bool,
) -> bool {
    /// Space for the note that the log was cut off.
    const NOTE_BYTES: u64 = 4 << 10;
    let output = match outcome {
        Outcome::Returned(bytes) | Outcome::GuestError { error: bytes, .. } => bytes.len() as u64,
        _ => 0,
    };
    if has_passed && matches!(outcome, Outcome::Returned(bytes) if !bytes.is_empty()) {
        return false;
    }
    let explained = traces.stderr.len() <= STDERR_TAIL_BYTES && traces.backtrace.len() <= BACKTRACE_FRAMES_MAX;
    explained && output <= limits.output_bytes && log.len() as u64 <= limits.log_bytes + NOTE_BYTES
}
