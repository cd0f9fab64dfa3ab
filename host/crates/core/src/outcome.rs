//! How a run ended, and the receipt of what it used.

use alloc::{format, string::String, vec::Vec};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    error::ErrorCode,
    id::{Attempt, WorkerId},
};

/// How one run ended. Every way has its own variant; nothing a guest does is anything else than one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The function returned these bytes.
    Returned(Bytes),
    /// The function returned an error or panicked with these bytes, or a command exited with another code than 0.
    GuestError {
        /// The guest's error bytes; for a command, what it wrote to stdout.
        error: Bytes,
        /// The exit code of a command.
        exit_code: Option<i32>,
    },
    /// A wasm trap, such as `unreachable` or a division by zero.
    Trapped {
        /// What wasm calls the trap.
        kind: String,
        /// Innermost frame first, at most 16.
        backtrace: Vec<String>,
    },
    /// Recursion beyond the wasm stack.
    StackOverflow {
        /// Innermost frame first, at most 16.
        backtrace: Vec<String>,
    },
    /// The fuel limit was reached.
    OutOfFuel {
        /// The limit, in fuel units.
        limit: u64,
    },
    /// The wall time limit was reached.
    DeadlineExceeded {
        /// The limit, in milliseconds.
        limit_ms: u32,
    },
    /// A memory or table the guest cannot go on without was refused.
    OutOfMemory {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The output is larger than its limit.
    OutputTooLarge {
        /// What the guest claimed or wrote, in bytes.
        bytes: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The guest logged [`crate::limits::LOG_FLOOD_FACTOR`] times its log limit.
    LogFlood {
        /// The limit, in bytes.
        limit: u64,
    },
    /// A pointer or length outside the guest's memory.
    BadPointer {
        /// Which call and what was wrong.
        reason: String,
    },
    /// The module cannot be instantiated, or an export has another type than its ABI says.
    BadModule {
        /// What is wrong.
        reason: String,
    },
    /// The run's stop flag was raised.
    Stopped(StopReason),
}

/// Why a run was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// Someone cancelled the task.
    Cancelled,
    /// The lease is lost or the host drains: another attempt may follow.
    Interrupted,
}

/// A failed run as records and surfaces hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What programs branch on.
    pub code: ErrorCode,
    /// A sentence for people.
    pub message: String,
    /// Wasm frames, innermost first; empty where the run did not trap.
    pub backtrace: Vec<String>,
}

impl Failure {
    /// A failure without a backtrace.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), backtrace: Vec::new() }
    }
}

impl Outcome {
    /// Splits the outcome into what is stored: the failure, if it is one, and the bytes (output or the guest's error).
    #[must_use]
    pub fn into_parts(self) -> (Option<Failure>, Bytes) {
        let failure = self.failure();
        match self {
            Self::Returned(bytes) | Self::GuestError { error: bytes, .. } => (failure, bytes),
            _ => (failure, Bytes::new()),
        }
    }

    /// The failure, or `None` where the function returned.
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

/// The first line of the guest's own error, where it is text, since that is what its author wants to read.
fn guest_error_message(error: &[u8], exit_code: Option<i32>) -> String {
    const SHOWN_CHARS_MAX: usize = 300;
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

/// What an ended run used. Every ended task carries one. Times are microseconds, sizes bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Fuel units used; `None` where the engine lost the count, which it does on traps and interrupts.
    pub fuel: Option<u64>,
    /// From the start of the run to its end.
    pub wall_us: u64,
    /// CPU time of the slot since its run before, at most the wall time. Of most runs below 50 us it is the wall time.
    pub cpu_us: u64,
    /// From acceptance to the start of the run.
    pub queue_us: u64,
    /// Time to load the compiled module: 0 where it was in memory.
    pub load_us: u64,
    /// Time to instantiate the module, its start function included.
    pub instantiate_us: u64,
    /// Largest linear memory during the run.
    pub memory_bytes: u64,
    /// Size of the output.
    pub output_bytes: u64,
    /// Size of the log kept.
    pub log_bytes: u64,
    /// Which attempt this was.
    pub attempt: Attempt,
    /// Who ran it; `None` for a sync invoke on the short path.
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
    fn only_a_returned_outcome_is_no_failure() {
        assert!(Outcome::Returned(Bytes::new()).failure().is_none());
        let stopped = Outcome::Stopped(StopReason::Interrupted).failure().unwrap();
        assert_eq!(stopped.code, ErrorCode::Interrupted);
    }
}
