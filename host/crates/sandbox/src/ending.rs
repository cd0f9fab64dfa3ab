//! Outcome of a run, derived from error types and never from error texts, and the frames at its end.

use std::fmt::{self, Write as _};

use bytes::Bytes;
use fusebox_core::outcome::{Outcome, StopReason, Traces};
use wasmtime::{FrameInfo, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::{harmless, host::Host, log::Log};

/// Maximum length of a frame's name. Names come from the module and may have 100,000 bytes; demangled names of generic
/// code have a few hundred.
const FRAME_NAME_CHARS_MAX: usize = 500;
/// Longest name that is demangled; longer ones are shown as they are.
const MANGLED_BYTES_MAX: usize = 4 << 10;

/// Reason for which the host ended a run; passes through the engine as an error.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Ending {
    #[error("the wall time has passed")]
    Deadline,
    #[error("the CPU time is used up")]
    Cpu,
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
    #[error("{0}")]
    BadExport(String),
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
    let outcome = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return (Outcome::OutOfFuel { limit: host.limits.fuel }, true),
        Some(Trap::StackOverflow) => Outcome::StackOverflow,
        _ if host.limiter.refused() => Outcome::OutOfMemory { limit: host.limits.memory_bytes },
        Some(trap) => Outcome::Trapped { kind: trap.to_string() },
        // WASI errors without an error number, above all pointers outside the memory, "shall trap".
        None if is_made => Outcome::Trapped { kind: refusal(error) },
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
        Ending::Cpu => (Outcome::OutOfCpu { limit_ms: host.limits.cpu_ms }, false),
        Ending::Stopped(reason) => (Outcome::Stopped(*reason), false),
        Ending::Failed(error) => (Outcome::GuestError { error: error.clone(), exit_code: None }, true),
        Ending::OutputTooLarge { bytes } => {
            (Outcome::OutputTooLarge { bytes: *bytes, limit: host.limits.output_bytes }, true)
        }
        Ending::LogFlood => (Outcome::LogFlood { limit: host.limits.log_bytes }, true),
        Ending::BadPointer(reason) => (Outcome::BadPointer { reason: reason.clone() }, true),
        Ending::BadModule(reason) => (Outcome::BadModule { reason: (*reason).to_owned() }, true),
        Ending::BadExport(reason) => (Outcome::BadModule { reason: reason.clone() }, true),
    }
}

/// Returns the traces of a run that ended like this.
pub(crate) fn traces(ended: &wasmtime::Result<Option<Outcome>>, log: &Log) -> Traces {
    match ended {
        Ok(Some(Outcome::Returned(_)) | None) => Traces::default(),
        Ok(Some(_)) => Traces { stderr: log.stderr_tail(), backtrace: Vec::new() },
        Err(error) => Traces { stderr: log.stderr_tail(), backtrace: backtrace(error) },
    }
}

/// Returns the frames at the end of a run as text, innermost first, with demangled function names if the module contains
/// names. A command that exits has none: its code and stderr explain it.
fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    if error.is::<I32Exit>() {
        return Vec::new();
    }
    let frames = error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames).unwrap_or_default();
    let text = |frame: &FrameInfo| {
        let name = match frame.func_name() {
            Some(name) => demangled(name),
            None => format!("function {}", frame.func_index()),
        };
        match frame.func_offset() {
            Some(offset) => format!("{name} +{offset:#x}"),
            None => name,
        }
    };
    frames.iter().map(text).collect()
}

/// Returns a function's name as its author wrote it, without the hash that Rust appends. A mangled name can stand for a
/// text that is exponentially longer, so it is written only as far as it is shown.
fn demangled(name: &str) -> String {
    let Some(mangled) = (name.len() <= MANGLED_BYTES_MAX).then(|| rustc_demangle::try_demangle(name).ok()).flatten()
    else {
        return harmless(name, FRAME_NAME_CHARS_MAX);
    };
    let mut shown = Shown(String::new());
    // The error says that the rest is not shown.
    let _ = write!(shown, "{mangled:#}");
    harmless(&shown.0, FRAME_NAME_CHARS_MAX)
}

/// Text that ends a write once it is long enough to be shown.
struct Shown(String);

impl fmt::Write for Shown {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(text);
        if self.0.len() < FRAME_NAME_CHARS_MAX { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_demangled_without_their_hash_and_bounded() {
        for (mangled, shown) in [
            ("_ZN4core9panicking5panic17h0123456789abcdefE", "core::panicking::panic"),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
            ("plain_c", "plain_c"),
            ("a\u{1b}[31m\nb", "a[31mb"),
        ] {
            assert_eq!(demangled(mangled), shown);
        }
        // Each back reference repeats the tuple before it, twice: 2^20 times the innermost type.
        let pairs: String = (0..20).map(|_| "TB6_B6_E").collect();
        for long in ["x".repeat(100_000), format!("_RINvC1a1b{pairs}E"), format!("_ZN{}E", "1a".repeat(50_000))] {
            assert!(demangled(&long).chars().count() <= FRAME_NAME_CHARS_MAX, "{long:.40}");
        }
    }
}
