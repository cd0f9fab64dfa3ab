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
    },
    /// Recursion beyond the wasm stack.
    StackOverflow,
    /// The run reached its fuel limit.
    OutOfFuel {
        /// Limit in fuel units.
        limit: u64,
    },
    /// The run reached its CPU time limit.
    OutOfCpu {
        /// Limit in milliseconds.
        limit_ms: u32,
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

/// Traces that a failed run leaves for its author, beside its outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traces {
    /// Last lines of stderr, at most [`crate::limits::STDERR_TAIL_BYTES`] and [`crate::limits::STDERR_TAIL_LINES`],
    /// without control characters; empty if nothing was written there.
    pub stderr: String,
    /// Frames at the end of the run, innermost first, at most [`crate::limits::BACKTRACE_FRAMES_MAX`].
    pub backtrace: Vec<String>,
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
    /// Sentence for people; of a run that wrote to stderr, followed by the last lines of it.
    pub message: String,
    /// Wasm frames, innermost first; empty unless the run ended within the guest's code.
    pub backtrace: Vec<String>,
}

impl Failure {
    /// Part of a message between its sentence and the last lines of stderr.
    pub const STDERR_FOLLOWS: &'static str = "; stderr ends with:\n";

    /// Returns a failure without a backtrace.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), backtrace: Vec::new() }
    }

    /// Adds the traces, unless the host stopped the run for reasons of its own.
    #[must_use]
    fn explained(mut self, traces: Traces) -> Self {
        if matches!(self.code, ErrorCode::Cancelled | ErrorCode::Interrupted) {
            return self;
        }
        if !traces.stderr.is_empty() {
            self.message = [&self.message, Self::STDERR_FOLLOWS, &traces.stderr].concat();
        }
        Self { backtrace: traces.backtrace, ..self }
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
    /// Returns the end of a run with this outcome; a failure is explained by the traces.
    #[must_use]
    pub fn new(outcome: Outcome, traces: Traces, log: Bytes, receipt: Receipt) -> Self {
        let (failure, output) = outcome.into_parts();
        Self { failure: failure.map(|failure| failure.explained(traces)), output, log, receipt }
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
            Self::Trapped { kind } => (ErrorCode::Trap, format!("the function trapped: {kind}")),
            Self::StackOverflow => {
                let message = "the function recursed beyond its stack of 512 KiB, which no flag raises: recurse less \
                               deeply, or keep large values on the heap";
                (ErrorCode::StackOverflow, message.into())
            }
            Self::OutOfFuel { limit } => (
                ErrorCode::OutOfFuel,
                format!("the function used up its fuel of {limit} units; --fuel (REST: fuel) raises it"),
            ),
            Self::OutOfCpu { limit_ms } => (
                ErrorCode::OutOfCpu,
                format!("the function used up its CPU time of {limit_ms} ms; --cpu (REST: cpu_ms) raises it"),
            ),
            Self::DeadlineExceeded { limit_ms } => (
                ErrorCode::DeadlineExceeded,
                format!(
                    "the function did not end within its wall time of {limit_ms} ms; --wall (REST: wall_ms) raises it"
                ),
            ),
            Self::OutOfMemory { limit } => (
                ErrorCode::OutOfMemory,
                format!(
                    "the function needed more memory than its {limit} bytes; --memory (REST: memory_bytes) raises them"
                ),
            ),
            Self::OutputTooLarge { bytes, limit } => (
                ErrorCode::OutputTooLarge,
                format!(
                    "the function's output of {bytes} bytes is above its limit of {limit} bytes; --output-size (REST: \
                     output_bytes) raises it"
                ),
            ),
            Self::LogFlood { limit } => (
                ErrorCode::LogFlood,
                format!(
                    "the function logged far more than its log limit of {limit} bytes and was ended; --log-size (REST: \
                     log_bytes) raises it"
                ),
            ),
            Self::BadPointer { reason } => (ErrorCode::BadPointer, reason.clone()),
            Self::BadModule { reason } => (ErrorCode::BadModule, reason.clone()),
            Self::Stopped(StopReason::Cancelled) => (ErrorCode::Cancelled, "the task was cancelled".into()),
            Self::Stopped(StopReason::Interrupted) => {
                (ErrorCode::Interrupted, "the host stopped the run before it ended".into())
            }
        };
        Some(Failure::new(code, message))
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
    fn a_failure_ends_with_the_last_lines_of_stderr_and_has_the_frames() {
        let traces = Traces { stderr: "panicked at a.rs:1:\nboom".into(), backtrace: alloc::vec!["f".into()] };
        let ended = |outcome| Ended::new(outcome, traces.clone(), Bytes::new(), Receipt::default()).failure;
        let exited = ended(Outcome::GuestError { error: Bytes::new(), exit_code: Some(101) }).unwrap();
        let message = "the command exited with code 101; stderr ends with:\npanicked at a.rs:1:\nboom";
        assert_eq!((exited.message.as_str(), &exited.backtrace), (message, &traces.backtrace));
        let stopped = Outcome::Stopped(StopReason::Cancelled);
        assert_eq!(ended(stopped.clone()), stopped.failure());
        assert_eq!(ended(Outcome::Returned(Bytes::new())), None);
    }

    #[test]
    fn each_fuse_names_the_flag_that_raises_it() {
        for (outcome, flag) in [
            (Outcome::OutOfFuel { limit: 1 }, "--fuel"),
            (Outcome::OutOfCpu { limit_ms: 1 }, "--cpu"),
            (Outcome::DeadlineExceeded { limit_ms: 1 }, "--wall"),
            (Outcome::OutOfMemory { limit: 1 }, "--memory"),
            (Outcome::OutputTooLarge { bytes: 2, limit: 1 }, "--output-size"),
            (Outcome::LogFlood { limit: 1 }, "--log-size"),
            (Outcome::StackOverflow, "no flag"),
        ] {
            let message = outcome.failure().unwrap().message;
            assert!(message.contains(flag), "{message}");
        }
    }

    #[test]
    fn only_a_returned_outcome_is_no_failure() {
        assert!(Outcome::Returned(Bytes::new()).failure().is_none());
        let stopped = Outcome::Stopped(StopReason::Interrupted).failure().unwrap();
        assert_eq!(stopped.code, ErrorCode::Interrupted);
    }
}
