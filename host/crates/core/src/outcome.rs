//! Ways in which a run ends, and the receipt of the resources it used.

use alloc::{format, string::String, vec::Vec};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    error::ErrorCode,
    http,
    id::{Attempt, WorkerId},
};

/// End of one run. Every end that a guest can cause is one of these variants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The function returned these bytes.
    Returned(Bytes),
    /// The function returned an error or panicked, or a command exited with a code other than 0.
    GuestError {
        /// Error bytes of the guest; of a command, its stdout.
        error: Bytes,
        /// Exit code of a command.
        exit_code: Option<i32>,
    },
    /// A wasm trap, such as `unreachable` or a division by zero.
    Trapped {
        /// WebAssembly's name of the trap.
        kind: String,
        /// Frames, innermost first, at most 16.
        backtrace: Vec<String>,
    },
    /// Recursion beyond the wasm stack.
    StackOverflow {
        /// Frames, innermost first, at most 16.
        backtrace: Vec<String>,
    },
    /// The run reached its fuel limit.
    OutOfFuel {
        /// Limit in fuel units.
        limit: u64,
    },
    /// The run reached its wall time limit.
    DeadlineExceeded {
        /// Limit in milliseconds.
        limit_ms: u32,
    },
    /// The guest was refused memory or table elements without which it cannot continue.
    OutOfMemory {
        /// Limit in bytes.
        limit: u64,
    },
    /// The output exceeds its limit.
    OutputTooLarge {
        /// Size claimed or written by the guest, in bytes.
        bytes: u64,
        /// Limit in bytes.
        limit: u64,
    },
    /// The guest logged [`crate::limits::LOG_FLOOD_FACTOR`] times its log limit.
    LogFlood {
        /// Log limit in bytes.
        limit: u64,
    },
    /// The guest passed a pointer or length outside its memory.
    BadPointer {
        /// Name of the call and the offending range.
        reason: String,
    },
    /// The module cannot be instantiated, or an export does not have the type required by its ABI.
    BadModule {
        /// Description of the defect.
        reason: String,
    },
    /// The run's stop flag was raised.
    Stopped(StopReason),
}

/// Reason for stopping a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// The task was cancelled.
    Cancelled,
    /// The lease is lost or the host drains; another attempt may follow.
    Interrupted,
}

/// Failure of a run, as stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable code for programs.
    pub code: ErrorCode,
    /// Sentence for people.
    pub message: String,
    /// Wasm frames, innermost first; empty unless the run trapped.
    pub backtrace: Vec<String>,
}

impl Failure {
    /// Returns a failure without a backtrace.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), backtrace: Vec::new() }
    }

    /// Returns the size of its texts, in bytes.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        self.backtrace.iter().chain([&self.message]).map(|text| text.len() as u64).sum()
    }
}

/// Ended run, from the slot to the store or to the caller that waits. Part of [`crate::wire::End`], so its fields keep
/// their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Failure of the run, if any.
    pub failure: Option<Failure>,
    /// Output, or the guest's error bytes.
    pub output: Bytes,
    /// Retained log.
    pub log: Bytes,
    /// Resources used.
    pub receipt: Receipt,
}

impl Ended {
    /// Returns the end of a run with this outcome.
    #[must_use]
    pub fn new(outcome: Outcome, log: Bytes, receipt: Receipt) -> Self {
        let (failure, output) = outcome.into_parts();
        Self { failure, output, log, receipt }
    }

    /// Returns the receipt with the sizes of this output and log, whatever its sender wrote there.
    #[must_use]
    pub fn measured(&self) -> Receipt {
        let (output_bytes, log_bytes) = (self.output.len() as u64, self.log.len() as u64);
        Receipt { output_bytes, log_bytes, ..self.receipt.clone() }
    }

    /// Returns whether the host stopped the run for its own reasons, so that another attempt may follow.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.code == ErrorCode::Interrupted)
    }
}

impl Outcome {
    /// Splits the outcome into the failure, if any, and the bytes to store: the output or the guest's error.
    #[must_use]
    pub fn into_parts(self) -> (Option<Failure>, Bytes) {
        let failure = self.failure();
        match self {
            Self::Returned(bytes) | Self::GuestError { error: bytes, .. } => (failure, bytes),
            _ => (failure, Bytes::new()),
        }
    }

    /// Returns the failure, or `None` if the function returned.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        let (code, message) = match self {
            Self::Returned(_) => return None,
            Self::GuestError { error, exit_code } => (ErrorCode::GuestError, guest_error_message(error, *exit_code)),
            Self::Trapped { kind, .. } => (ErrorCode::Trap, format!("the function trapped: {kind}")),
            Self::StackOverflow { .. } => {
                (ErrorCode::StackOverflow, "the function recursed beyond its stack of 512 KiB".into())
            }
            Self::OutOfFuel { limit } => {
                (ErrorCode::OutOfFuel, format!("the function used up its fuel of {limit} units"))
            }
            Self::DeadlineExceeded { limit_ms } => {
                (ErrorCode::DeadlineExceeded, format!("the function did not end within its wall time of {limit_ms} ms"))
            }
            Self::OutOfMemory { limit } => {
                (ErrorCode::OutOfMemory, format!("the function needed more memory than its {limit} bytes"))
            }
            Self::OutputTooLarge { bytes, limit } => (
                ErrorCode::OutputTooLarge,
                format!("the function's output of {bytes} bytes is above its limit of {limit} bytes"),
            ),
            Self::LogFlood { limit } => (
                ErrorCode::LogFlood,
                format!("the function logged far more than its log limit of {limit} bytes and was ended"),
            ),
            Self::BadPointer { reason } => (ErrorCode::BadPointer, reason.clone()),
            Self::BadModule { reason } => (ErrorCode::BadModule, reason.clone()),
            Self::Stopped(StopReason::Cancelled) => (ErrorCode::Cancelled, "the task was cancelled".into()),
            Self::Stopped(StopReason::Interrupted) => {
                (ErrorCode::Interrupted, "the host stopped the run before it ended".into())
            }
        };
        let backtrace = match self {
            Self::Trapped { backtrace, .. } | Self::StackOverflow { backtrace } => backtrace.clone(),
            _ => Vec::new(),
        };
        Some(Failure { code, message, backtrace })
    }
}

/// Returns the first line of the guest's error if it is text, which is the most useful message to its author; of an HTTP
/// response, the status.
fn guest_error_message(error: &Bytes, exit_code: Option<i32>) -> String {
    const SHOWN_CHARS_MAX: usize = 300;
    if let Some(response) = http::Response::parse(error).ok().filter(http::Response::is_fault) {
        return format!("the function answered with status {}", response.status);
    }
    let text: String = core::str::from_utf8(error)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(SHOWN_CHARS_MAX)
        .collect();
    match (exit_code, text.is_empty()) {
        (Some(code), _) => format!("the command exited with code {code}"),
        (None, false) => text,
        (None, true) => format!("the function returned an error of {} bytes", error.len()),
    }
}

/// Resources used by an ended run. Every ended task carries a receipt. Times are in microseconds, sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Fuel units used; `None` if the engine lost the count, as on traps and interrupts.
    pub fuel: Option<u64>,
    /// Time from the start of the run to its end.
    pub wall_us: u64,
    /// CPU time of the slot since its previous run, at most the wall time. For most runs below 50 us it equals the wall
    /// time.
    pub cpu_us: u64,
    /// Time from acceptance to the start of the run.
    pub queue_us: u64,
    /// Time to load the compiled module; 0 if it was in memory.
    pub load_us: u64,
    /// Time to instantiate the module, including its start function.
    pub instantiate_us: u64,
    /// Largest linear memory during the run.
    pub memory_bytes: u64,
    /// Size of the output.
    pub output_bytes: u64,
    /// Size of the retained log.
    pub log_bytes: u64,
    /// Number of the attempt.
    pub attempt: Attempt,
    /// Worker that ran the attempt; `None` for a sync invoke on the short path.
    pub worker: Option<WorkerId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_error_shows_its_first_line() {
        let outcome = Outcome::GuestError { error: Bytes::from_static(b"no such user\nat line 3"), exit_code: None };
        let (failure, bytes) = outcome.into_parts();
        let failure = failure.unwrap();
        assert_eq!((failure.code, failure.message.as_str()), (ErrorCode::GuestError, "no such user"));
        assert_eq!(&bytes[..], b"no such user\nat line 3");
    }

    #[test]
    fn a_response_that_is_an_error_shows_its_status() {
        let error = Bytes::from_static(b"503\nretry-after: 7\n\nbusy");
        let failure = Outcome::GuestError { error, exit_code: None }.failure().unwrap();
        assert_eq!(failure.message, "the function answered with status 503");
    }

    #[test]
    fn only_a_returned_outcome_is_no_failure() {
        assert!(Outcome::Returned(Bytes::new()).failure().is_none());
        let stopped = Outcome::Stopped(StopReason::Interrupted).failure().unwrap();
        assert_eq!(stopped.code, ErrorCode::Interrupted);
    }
}
