//! Outcome of a run, derived from error types and never from error texts.

use bytes::Bytes;
use fusebox_core::outcome::{Outcome, StopReason};
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::{harmless, host::Host};

/// Maximum length of a frame's name. Names come from the module and may have 100,000 bytes; demangled names of generic
/// code have a few hundred.
const FRAME_NAME_CHARS_MAX: usize = 500;

/// Reason for which the host ended a run; passes through the engine as an error.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Ending {
    #[error("the wall time has passed")]
    Deadline,
    #[error("the run was stopped")]
    Stopped(StopReason),
    #[error("the guest reported an error")]
    Failed(Bytes),
    #[error("the output is too large")]
    OutputTooLarge { bytes: u64 },
    #[error("the log is flooded")]
    LogFlood,
    #[error("{0}")]
    BadPointer(String),
    #[error("{0}")]
    BadModule(&'static str),
}

/// Returns the outcome of a run that did not return, and whether the engine's fuel count is valid: it is lost on traps
/// and interrupts, and correct if a host call ended the run. `is_made` is true if the instance was created.
pub(crate) fn classify(error: &wasmtime::Error, host: &Host, is_made: bool, stdout: Bytes) -> (Outcome, bool) {
    if let Some(ending) = error.downcast_ref::<Ending>() {
        return host_ended(ending, host);
    }
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        let outcome = match code {
            0 => Outcome::Returned(stdout),
            code => Outcome::GuestError { error: stdout, exit_code: Some(*code) },
        };
        return (outcome, true);
    }
    let frames = || error.downcast_ref::<WasmBacktrace>().map(backtrace).unwrap_or_default();
    let outcome = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return (Outcome::OutOfFuel { limit: host.limits.fuel }, true),
        Some(Trap::StackOverflow) => Outcome::StackOverflow { backtrace: frames() },
        _ if host.limiter.refused() => Outcome::OutOfMemory { limit: host.limits.memory_bytes },
        Some(trap) => Outcome::Trapped { kind: trap.to_string(), backtrace: frames() },
        // WASI errors without an error number, above all pointers outside the memory, "shall trap".
        None if is_made => Outcome::Trapped { kind: refusal(error), backtrace: frames() },
        None => Outcome::BadModule { reason: format!("the module cannot be run: {error:#}") },
    };
    (outcome, false)
}

/// Returns the message of a host call's error without the frames that led to it.
fn refusal(error: &wasmtime::Error) -> String {
    let said = error.chain().map(ToString::to_string).filter(|said| !said.starts_with("error while executing"));
    harmless(&said.collect::<Vec<_>>().join(": "), FRAME_NAME_CHARS_MAX)
}

fn host_ended(ending: &Ending, host: &Host) -> (Outcome, bool) {
    match ending {
        Ending::Deadline => (Outcome::DeadlineExceeded { limit_ms: host.limits.wall_ms }, false),
        Ending::Stopped(reason) => (Outcome::Stopped(*reason), false),
        Ending::Failed(error) => (Outcome::GuestError { error: error.clone(), exit_code: None }, true),
        Ending::OutputTooLarge { bytes } => {
            (Outcome::OutputTooLarge { bytes: *bytes, limit: host.limits.output_bytes }, true)
        }
        Ending::LogFlood => (Outcome::LogFlood { limit: host.limits.log_bytes }, true),
        Ending::BadPointer(reason) => (Outcome::BadPointer { reason: reason.clone() }, true),
        Ending::BadModule(reason) => (Outcome::BadModule { reason: (*reason).to_owned() }, true),
    }
}

/// Returns the frames as text, innermost first, with function names if the module contains them.
fn backtrace(trace: &WasmBacktrace) -> Vec<String> {
    trace
        .frames()
        .iter()
        .map(|frame| {
            let name = match frame.func_name() {
                Some(name) => harmless(name, FRAME_NAME_CHARS_MAX),
                None => format!("function {}", frame.func_index()),
            };
            match frame.func_offset() {
                Some(offset) => format!("{name} +{offset:#x}"),
                None => name,
            }
        })
        .collect()
}
