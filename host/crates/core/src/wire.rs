//! What dispatcher and workers say to each other: the messages, and how they are written.
//!
//! A message is one byte that says the layout, then postcard. Each field is written by position, so no type here changes
//! while a version that knows it is spoken: what is new is a new variant at the end, of a new [`PROTOCOL`], which is not sent
//! to peers of the version before ([`FromWorker::since`], [`FromDispatcher::since`]). Golden files, one for each version
//! (`tests/golden/wire-N.txt`), notice a change.
//!
//! Nothing here is trusted: a message of a peer is decoded within its own length, and a claim in it is worth what its
//! lease token is worth.

use alloc::{string::String, vec::Vec};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    capability::{Answer, Call, Refusal},
    dispatch::Mode,
    function::{Grants, RunLimits},
    id::{Attempt, DispatcherId, LeaseToken, ModuleDigest, TaskId, WorkerId},
    name::{FunctionName, TenantId},
    outcome::{Failure, Receipt, StopReason},
};

/// The protocol's number: the newest version that this release speaks.
pub const PROTOCOL: u16 = 3;
/// The oldest version that this release speaks: that of the release before, so that a cluster is upgraded process by
/// process.
pub const PROTOCOL_OLDEST: u16 = PROTOCOL - 1;
/// The version from which on workers have a slot beyond those that they announce.
pub const EXTRA_SINCE: u16 = 3;
/// The first byte of each message.
const LAYOUT: u8 = 1;

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWorker {
    /// The first message of a link, and no other.
    Join(Join),
    /// Alive. Every [`crate::limits::HEARTBEAT_MS`].
    Beat,
    /// Push: may be sent so many attempts more.
    Credit {
        /// How many.
        slots: u32,
    },
    /// Pull: asks for up to `slots` attempts, within `wait_ms`; what is not given by then is answered with
    /// [`FromDispatcher::NothingYet`].
    Ask {
        /// How many.
        slots: u32,
        /// For how long.
        wait_ms: u32,
    },
    /// These attempts have arrived.
    Received(Vec<AttemptId>),
    /// These attempts are over. Said again after each join until [`FromDispatcher::Recorded`] answers.
    Reports(Vec<AttemptReport>),
    /// Wants a piece of a module.
    Fetch {
        /// Which module.
        module: ModuleDigest,
        /// In which form.
        form: Form,
        /// From this byte on.
        offset: u64,
    },
    /// Wants no more attempts: it ends when those it holds have.
    Drains,
    /// A run asks for what its function was granted. No worker has more of these open than it has slots.
    Call {
        /// Of this link; said again in [`FromDispatcher::Answer`].
        number: u64,
        /// Whose run this is.
        tenant: TenantId,
        /// Which run, with the proof that it was given.
        held: HeldAttempt,
        /// What it asks for.
        call: Call,
    },
    /// The last message: this worker ends, and what it still holds will never be reported on.
    Goodbye,
}

impl FromWorker {
    /// The version of the protocol that brought this message; peers of an older one do not know it.
    #[must_use]
    pub const fn since(&self) -> u16 {
        match self {
            Self::Goodbye => 3,
            _ => PROTOCOL_OLDEST,
        }
    }
}

/// What a dispatcher says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromDispatcher {
    /// The answer to [`FromWorker::Join`].
    Welcome {
        /// Who this is: another one than before knows nothing of the worker.
        dispatcher: DispatcherId,
    },
    /// The other answer: the worker is not wanted, and trying again does not help.
    Refused {
        /// A sentence that says what to do.
        reason: String,
    },
    /// Run these. Their leases are saved.
    Assign(Vec<Assignment>),
    /// Pull: so much credit expired unused.
    NothingYet {
        /// How much.
        slots: u32,
    },
    /// End these runs: their leases are lost, or someone cancelled them.
    Stop(Vec<(AttemptId, StopReason)>),
    /// These attempts are recorded, or are no longer anyone's: forget them.
    Recorded(Vec<AttemptId>),
    /// A piece of a module.
    Piece {
        /// Which module.
        module: ModuleDigest,
        /// In which form.
        form: Form,
        /// Where it begins.
        offset: u64,
        /// Size of the whole module; 0 where it cannot be had in this form.
        total: u64,
        /// The piece.
        bytes: Bytes,
    },
    /// The answer to [`FromWorker::Call`].
    Answer {
        /// Which call.
        number: u64,
        /// What was asked for, or why it is not given.
        answer: Result<Answer, Refusal>,
    },
    /// This dispatcher ends once what it has assigned is over: it assigns nothing more.
    Drains,
    /// Run this in the slot beyond the others. Its lease is saved; it spends no credit.
    AssignExtra(Assignment),
}

impl FromDispatcher {
    /// The version of the protocol that brought this message; peers of an older one do not know it.
    #[must_use]
    pub const fn since(&self) -> u16 {
        match self {
            Self::Drains | Self::AssignExtra(_) => EXTRA_SINCE,
            _ => PROTOCOL_OLDEST,
        }
    }
}

/// How a module travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Form {
    /// Compiled, and sealed with the link's artifact key: only a peer that knows the join token can have made it.
    Artifact {
        /// For which version and settings of the engine.
        engine: u64,
    },
    /// As it was registered: its digest says whether it is the one.
    Wasm,
}

impl Form {
    /// What people call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Artifact { .. } => "artifact",
            Self::Wasm => "wasm",
        }
    }
}

/// A worker presents itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// This incarnation of the worker.
    pub worker: WorkerId,
    /// How it wants to get its attempts.
    pub mode: Mode,
    /// What people call it.
    pub name: String,
    /// Its version of Fusebox.
    pub version: String,
    /// Runs that it can do at a time.
    pub slots: u32,
    /// Attempts that it can hold, waiting and running.
    pub capacity: u32,
    /// Attempts that it holds already, reports that are not recorded included.
    pub held: Vec<HeldAttempt>,
}

/// Names one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The task.
    pub task: TaskId,
    /// Which attempt of it.
    pub attempt: Attempt,
}

/// An attempt that a worker holds, with the proof that it was given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAttempt {
    /// Which.
    pub id: AttemptId,
    /// The lease's.
    pub token: LeaseToken,
}

/// An attempt and all that is needed to run it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Which, with the proof that it was given.
    pub held: HeldAttempt,
    /// Whose function runs.
    pub tenant: TenantId,
    /// The function's name, for the run's context.
    pub function: FunctionName,
    /// The module to run.
    pub module: ModuleDigest,
    /// What the run may use.
    pub limits: RunLimits,
    /// What it may ask the host for.
    pub grants: Grants,
    /// How long the task has waited so far: clocks of two machines cannot be compared, durations can.
    pub waited_ms: u64,
    /// The input.
    pub input: Bytes,
}

/// How an attempt is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptReport {
    /// Which, with the proof that it was given.
    pub held: HeldAttempt,
    /// CPU time of the run in microseconds.
    pub cpu_us: u64,
    /// How it ended.
    pub end: End,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// By itself or by its fuse: record this.
    Ended {
        /// Why it failed.
        failure: Option<Failure>,
        /// The output, or the guest's error bytes.
        output: Bytes,
        /// The log kept.
        log: Bytes,
        /// What it used.
        receipt: Receipt,
    },
    /// It was stopped, or never started: it is unspent.
    Interrupted,
    /// The worker could not run it: another one may.
    Broken {
        /// Why, for the log.
        reason: String,
    },
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Of another layout than this one.
    #[error("the message is of a layout that is not known")]
    Layout,
    /// Not what the layout says.
    #[error("the message cannot be read")]
    Malformed,
    /// Something follows the message.
    #[error("bytes are left over after the message")]
    TooLong,
}

/// A message as it is sent.
///
/// # Errors
/// [`WireError::Malformed`]; none of the types above is refused by postcard.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    postcard::to_extend(message, [LAYOUT].to_vec()).map_err(|_| WireError::Malformed)
}

/// A message that was received.
///
/// # Errors
/// Why it is none. A length in it is believed only as far as bytes follow.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    match bytes.split_first() {
        Some((&LAYOUT, bytes)) => match postcard::take_from_bytes(bytes) {
            Ok((message, [])) => Ok(message),
            Ok(_) => Err(WireError::TooLong),
            Err(_) => Err(WireError::Malformed),
        },
        Some(_) => Err(WireError::Layout),
        None => Err(WireError::Malformed),
    }
}
