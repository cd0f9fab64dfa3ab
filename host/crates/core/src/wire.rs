//! Messages between dispatchers and workers, and their encoding.
//!
//! A message is one byte for the layout, followed by postcard. Fields are encoded by position, so no type here changes
//! while a version that uses it is supported: additions are new variants at the end, in a new [`PROTOCOL`], and are not
//! sent to peers of the previous version ([`FromWorker::since`], [`FromDispatcher::since`]). Golden files, one for each
//! version (`tests/golden/wire-N.txt`), detect changes.
//!
//! Nothing here is trusted: messages are decoded within their own length, and a claim counts only if its lease token
//! matches.

pub mod older;

use alloc::{string::String, vec::Vec};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    capability::{HostAnswer, HostCall, Refusal},
    dispatch::Mode,
    id::{Attempt, DispatcherId, LeaseToken, ModuleDigest, TaskId, WorkerId},
    invocation::Invocation,
    name::TenantId,
    outcome::{Ended, StopReason},
};
use older::PlainAssignment;

/// Newest protocol version supported by this release.
pub const PROTOCOL: u16 = 4;
/// Oldest protocol version supported by this release: that of the previous release, which allows upgrading a cluster
/// process by process.
pub const PROTOCOL_OLDEST: u16 = PROTOCOL - 1;
/// First version whose runs have arguments, an environment, files and an export.
pub const SETUP_SINCE: u16 = 4;
/// First version whose runs can list what belongs to their function.
pub const LISTS_SINCE: u16 = 4;
/// First byte of each message.
const LAYOUT: u8 = 1;

/// Messages sent by a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWorker {
    /// First message of a link, never sent later.
    Join(Join),
    /// Heartbeat, sent every [`crate::limits::HEARTBEAT_MS`].
    Heartbeat,
    /// Push mode: adds credit for this many attempts.
    Credit {
        /// Number of attempts.
        slots: u32,
    },
    /// Pull mode: requests up to `slots` attempts within `wait_ms`. Credit unused by then is returned with
    /// [`FromDispatcher::NothingYet`].
    Ask {
        /// Number of attempts.
        slots: u32,
        /// Time to wait, in milliseconds.
        wait_ms: u32,
    },
    /// Acknowledges the receipt of attempts.
    Received(Vec<AttemptId>),
    /// Reports attempts that are over. Repeated after each join until acknowledged by [`FromDispatcher::Recorded`].
    Reports(Vec<AttemptReport>),
    /// Requests a piece of a module.
    Fetch {
        /// Digest of the module.
        module: ModuleDigest,
        /// Requested form.
        form: Form,
        /// Byte offset of the piece.
        offset: u64,
    },
    /// Requests no more attempts: the worker ends after those that it holds.
    Drains,
    /// A run's call that requires a grant. A worker has at most as many open calls as slots.
    Call {
        /// Number of the call, unique on the link; repeated in [`FromDispatcher::Answer`].
        number: u64,
        /// Tenant of the run.
        tenant: TenantId,
        /// Attempt of the run, with its lease token.
        held: HeldAttempt,
        /// The call.
        call: HostCall,
    },
    /// Last message of a worker that ends: it will never report on attempts that it still holds.
    Goodbye,
}

impl FromWorker {
    /// Returns the protocol version that introduced this message; peers of older versions do not know it.
    #[must_use]
    pub const fn since(&self) -> u16 {
        match self {
            Self::Fetch { form: Form::Files, .. } => SETUP_SINCE,
            Self::Call { call: HostCall::KvKeys { .. } | HostCall::Configs, .. } => LISTS_SINCE,
            _ => PROTOCOL_OLDEST,
        }
    }
}

/// Messages sent by a dispatcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromDispatcher {
    /// Accepts a [`FromWorker::Join`].
    Welcome {
        /// Incarnation of the dispatcher; one with a new id knows nothing of the worker.
        dispatcher: DispatcherId,
    },
    /// Rejects a [`FromWorker::Join`]; trying again does not help.
    Refused {
        /// Sentence that describes the remedy.
        reason: String,
    },
    /// Assigns attempts whose leases are saved, to workers of the previous version.
    Assign(Vec<PlainAssignment>),
    /// Pull mode: credit expired unused.
    NothingYet {
        /// Number of attempts.
        slots: u32,
    },
    /// Stops runs whose leases are lost or whose tasks were cancelled.
    Stop(Vec<(AttemptId, StopReason)>),
    /// Acknowledges reports: the attempts are recorded, or no longer leased to anyone. The worker forgets them.
    Recorded(Vec<AttemptId>),
    /// A piece of a module.
    Piece {
        /// Digest of the module.
        module: ModuleDigest,
        /// Form of the piece.
        form: Form,
        /// Byte offset of the piece.
        offset: u64,
        /// Size of the whole module; 0 if it is unavailable in this form.
        total: u64,
        /// Content of the piece.
        bytes: Bytes,
    },
    /// Answers a [`FromWorker::Call`].
    Answer {
        /// Number of the call.
        number: u64,
        /// Result of the call.
        answer: Result<HostAnswer, Refusal>,
    },
    /// The dispatcher ends after the attempts that it has assigned; it assigns no more.
    Drains,
    /// Assigns an attempt to the extra slot of a worker of the previous version. Its lease is saved; it consumes no
    /// credit.
    AssignExtra(PlainAssignment),
    /// Assigns attempts whose leases are saved.
    Run {
        /// The attempts.
        attempts: Vec<Assignment>,
        /// True if they are for the extra slot, which consumes no credit.
        extra: bool,
    },
}

impl FromDispatcher {
    /// Returns the protocol version that introduced this message; peers of older versions do not know it.
    #[must_use]
    pub const fn since(&self) -> u16 {
        match self {
            Self::Run { .. } | Self::Piece { form: Form::Files, .. } => SETUP_SINCE,
            Self::Answer { answer: Ok(HostAnswer::Keys { .. } | HostAnswer::Configs(_)), .. } => LISTS_SINCE,
            _ => PROTOCOL_OLDEST,
        }
    }
}

/// Form in which a module is transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Form {
    /// Compiled code, sealed with the link's artifact key, which proves that its maker knows the join token.
    Artifact {
        /// Hash of the engine's version and settings.
        engine: u64,
    },
    /// Wasm as registered, verified against its digest.
    Wasm,
    /// Archive of a version's files, verified against its digest, which stands in place of the module's.
    Files,
}

impl Form {
    /// Returns the word used in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Artifact { .. } => "artifact",
            Self::Wasm => "wasm",
            Self::Files => "files",
        }
    }
}

/// Introduction of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// Incarnation of the worker.
    pub worker: WorkerId,
    /// Mode in which the worker receives attempts.
    pub mode: Mode,
    /// Name of the worker for people.
    pub name: String,
    /// Fusebox version of the worker.
    pub version: String,
    /// Number of runs that it executes concurrently.
    pub slots: u32,
    /// Number of attempts that it can hold, waiting and running.
    pub capacity: u32,
    /// Attempts that it already holds, including those whose reports are not yet acknowledged.
    pub held: Vec<HeldAttempt>,
}

/// Identifies one attempt of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The task.
    pub task: TaskId,
    /// Number of the attempt.
    pub attempt: Attempt,
}

/// Attempt held by a worker, with the proof of its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAttempt {
    /// The attempt.
    pub id: AttemptId,
    /// Token of its lease.
    pub token: LeaseToken,
}

/// An attempt to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The attempt, with its lease token.
    pub held: HeldAttempt,
    /// The run.
    pub invocation: Invocation,
}

/// Report of an attempt that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptReport {
    /// The attempt, with its lease token.
    pub held: HeldAttempt,
    /// CPU time of the run in microseconds.
    pub cpu_us: u64,
    /// End of the attempt.
    pub end: End,
}

/// End of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The run ended by itself or at a limit; to be recorded.
    Ended(Ended),
    /// The run was stopped or never started; the attempt is not consumed.
    Interrupted,
    /// The worker could not run the attempt; another worker may succeed.
    Broken {
        /// Reason, for the log.
        reason: String,
    },
}

impl From<Ended> for End {
    fn from(ended: Ended) -> Self {
        if ended.is_interrupted() { Self::Interrupted } else { Self::Ended(ended) }
    }
}

/// Error of decoding a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The layout byte is unknown.
    #[error("the message has an unknown layout")]
    Layout,
    /// The bytes do not match the layout.
    #[error("the message does not match its layout")]
    Malformed,
    /// Bytes follow the message.
    #[error("extra bytes follow the message")]
    TooLong,
}

/// Encodes a message.
///
/// # Errors
/// Returns [`WireError::Malformed`] if postcard cannot encode it, which is the case for none of the types above.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    postcard::to_extend(message, [LAYOUT].to_vec()).map_err(|_| WireError::Malformed)
}

/// Decodes a received message.
///
/// # Errors
/// Returns an error if the bytes are not exactly one message. Lengths in it are trusted only as far as bytes follow.
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
