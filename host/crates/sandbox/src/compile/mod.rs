//! Parent's side of compilation in a child process, which can be killed, since no compiler setting bounds the cost of a
//! hostile module. Sends the module, limits the size of the answer, and kills the child at its time limit.
//!
//! The same module always gets the same verdict. The limits of inspection bound what a module costs, and the child's
//! CPU time grows with its code to about twice what that much code takes; only a module that inspection misjudges meets
//! it, and its refusal is remembered. Wall time depends on what else the machine does, so its limit is several times
//! that of CPU time, and a module that meets it is not refused but can be sent again.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use fusebox_core::{
    error::ErrorCode,
    limits::{
        ARTIFACT_BYTES_MAX, COMPILE_CPU_S_MIN, COMPILE_CPU_S_PER_MIB, COMPILE_MEMORY_BYTES_MAX, COMPILE_THREADS_MAX,
        MIB,
    },
};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use crate::{CompileCommand, Compiler, ModuleError, sections};

mod child;

pub use child::compile_child;

/// Maximum size of a child's message on stderr.
const MESSAGE_BYTES_MAX: u64 = 2 << 10;
/// Exit code of a process that panicked.
const PANICKED: i32 = 101;
/// Clock tick of Linux's process times, on every architecture that the engine compiles for. A jailed helper may not ask.
const TICK_MS: u64 = 10;
/// Wall time for each second of CPU time: the child has a lower priority than runs, and 2 of them compile at a time.
const WALL_PER_CPU: u32 = 4;

impl Compiler for CompileCommand {
    fn compile(&self, wasm: &[u8]) -> (Result<Vec<u8>, ModuleError>, Duration) {
        let mut cpu = Duration::ZERO;
        let compiled = in_child(self, wasm, &mut cpu);
        (compiled, cpu)
    }
}

/// Returns the limit of CPU time for the compilation of a module or component.
fn cpu_max(wasm: &[u8]) -> Duration {
    let code_mib = sections::code_bytes(wasm).div_ceil(MIB);
    Duration::from_secs(COMPILE_CPU_S_MIN + COMPILE_CPU_S_PER_MIB * code_mib)
}

/// Returns the longest time that the compilation of a module or component takes; on a busy machine it fails then.
#[must_use]
pub fn compile_time_max(wasm: &[u8]) -> Duration {
    cpu_max(wasm) * WALL_PER_CPU
}

/// Compiles a module and returns the native code; sets the CPU time of the child, also if it fails.
fn in_child(command: &CompileCommand, wasm: &[u8], cpu: &mut Duration) -> Result<Vec<u8>, ModuleError> {
    let failed = |error: std::io::Error| internal(&format!("cannot run the compile child: {error}"));
    let threads = thread::available_parallelism().map_or(1, usize::from).min(COMPILE_THREADS_MAX);
    let mut child = Command::new(&command.program)
        .args(&command.args)
        .env_clear()
        .env("RAYON_NUM_THREADS", threads.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let answer = converse(&mut child, wasm);
    // Ensures that no child outlives this call.
    let _ = child.kill();
    *cpu = cpu_time(&child).unwrap_or_default();
    let status = child.wait().map_err(failed)?;
    match answer {
        Some(ChildOutput { code, .. }) if status.success() && code.len() as u64 <= ARTIFACT_BYTES_MAX => Ok(code),
        Some(answer) => Err(refused(status, &answer, wasm)),
        None => Err(overloaded("did not get to compile the module in time")),
    }
}

/// Returns the CPU time of a child at its end, for which it waits; `None` where the system does not tell. No process of a
/// compiler starts others.
fn cpu_time(child: &Child) -> Option<Duration> {
    let id = Pid::from_child(child);
    waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).ok()?;
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).ok()?;
    ticks(&stat).map(|ticks| Duration::from_millis(ticks.saturating_mul(TICK_MS)))
}

/// Returns the clock ticks in user and system mode of a process, of its line in `/proc`: fields 14 and 15. Its name, field
/// 2, may contain anything, in parentheses.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut field = || fields.next()?.parse::<u64>().ok();
    Some(field()?.saturating_add(field()?))
}

struct ChildOutput {
    code: Vec<u8>,
    message: Vec<u8>,
}

/// Sends the module and reads the answer in separate threads, so that neither side blocks on a full pipe; returns
/// `None` if the wall time runs out first.
fn converse(child: &mut Child, wasm: &[u8]) -> Option<ChildOutput> {
    let (mut stdin, stdout, stderr) = (child.stdin.take()?, child.stdout.take()?, child.stderr.take()?);
    let (done, answered) = mpsc::channel();
    let order = child::order(cpu_max(wasm));
    thread::scope(|scope| {
        // A child that exits early breaks the pipe; the exit status gives the reason.
        scope.spawn(move || drop(stdin.write_all(&order).and_then(|()| stdin.write_all(wasm))));
        scope.spawn(move || {
            let (mut code, mut message) = (Vec::new(), Vec::new());
            let _ = stdout.take(ARTIFACT_BYTES_MAX + 1).read_to_end(&mut code);
            let _ = stderr.take(MESSAGE_BYTES_MAX).read_to_end(&mut message);
            let _ = done.send(ChildOutput { code, message });
        });
        let answer = answered.recv_timeout(compile_time_max(wasm)).ok();
        if answer.is_none() {
            let _ = child.kill();
        }
        answer
    })
}

/// Returns the error of a child that failed.
fn refused(status: ExitStatus, answer: &ChildOutput, wasm: &[u8]) -> ModuleError {
    let message = String::from_utf8_lossy(&answer.message);
    let error = |code, message| ModuleError { code, message };
    let is_signal = |signal: Signal| status.signal() == Some(signal.as_raw());
    if status.success() {
        let message = format!("the module's compiled code has more than {} MiB: split it", ARTIFACT_BYTES_MAX / MIB);
        error(ErrorCode::ModuleTooComplex, message)
    } else if status.code() == Some(1) {
        error(ErrorCode::InvalidModule, format!("the module does not compile: {}", message.trim()))
    } else if is_signal(Signal::XCPU) {
        let limit = cpu_max(wasm).as_secs();
        let message = format!("the module takes more than {limit} s of CPU time to compile: {SMALLER}");
        error(ErrorCode::CompileLimit, message)
    } else if is_signal(Signal::ABORT) {
        let limit = COMPILE_MEMORY_BYTES_MAX / MIB;
        error(ErrorCode::CompileLimit, format!("the module takes more than {limit} MiB to compile: {SMALLER}"))
    } else if is_signal(Signal::KILL) {
        overloaded("stopped the compilation of the module, probably for lack of memory")
    } else if status.code() == Some(PANICKED) || is_signal(Signal::SEGV) || is_signal(Signal::ILL) {
        tracing::error!(%status, message = %crate::harmless(&message, 500), "the compiler failed on a module");
        let message = "the compiler fails on this module, which is an error of the compiler: report it, and build the \
                       module with another optimisation level";
        error(ErrorCode::InvalidModule, message.to_owned())
    } else {
        internal(&format!("the compile child ended with {status}"))
    }
}

const SMALLER: &str = "split large functions, or build it with optimisation for size";

fn internal(message: &str) -> ModuleError {
    ModuleError { code: ErrorCode::Internal, message: message.to_owned() }
}

fn overloaded(what: &str) -> ModuleError {
    ModuleError { code: ErrorCode::Overloaded, message: format!("this host {what}: send it again later") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_of_a_child_has_its_own_code() {
        let answer = || ChildOutput { code: Vec::new(), message: b"offset 7".to_vec() };
        let cases = [
            (Signal::XCPU.as_raw(), ErrorCode::CompileLimit, "more than 10 s of CPU time"),
            (Signal::ABORT.as_raw(), ErrorCode::CompileLimit, "2048 MiB"),
            (Signal::KILL.as_raw(), ErrorCode::Overloaded, "lack of memory"),
            (Signal::SEGV.as_raw(), ErrorCode::InvalidModule, "the compiler fails"),
            (PANICKED << 8, ErrorCode::InvalidModule, "the compiler fails"),
            (1 << 8, ErrorCode::InvalidModule, "does not compile: offset 7"),
            (3 << 8, ErrorCode::Internal, "ended with"),
        ];
        for (status, code, text) in cases {
            let error = refused(ExitStatus::from_raw(status), &answer(), b"");
            assert_eq!(error.code, code, "{status}: {error}");
            assert!(error.message.contains(text), "{status}: {error}");
        }
    }

    #[test]
    fn the_cpu_time_of_a_process_is_read_whatever_its_name_is() {
        let line = "7 (a) b (c 9) Z 1 2 3 4 5 6 7 8 9 10 250 31 0 0 20";
        assert_eq!(ticks(line), Some(281));
        assert_eq!((ticks(""), ticks("7 (a) Z 1 2")), (None, None));
    }
}
