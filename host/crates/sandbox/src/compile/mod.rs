//! Parent's side of compilation in a child process, which can be killed, since no compiler setting bounds the cost of a
//! hostile module. Sends the module, limits the size of the answer, and kills the child at its time limit.

use std::{
    io::{Read as _, Write as _},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use fusebox_core::{
    error::ErrorCode,
    limits::{ARTIFACT_BYTES_MAX, COMPILE_CPU_S_MAX, COMPILE_WALL_MS_MAX},
};

use crate::{CompileCommand, Compiler, ModuleError};

mod child;

pub use child::compile_child;

/// Maximum size of a child's message on stderr.
const MESSAGE_BYTES_MAX: u64 = 2 << 10;

impl Compiler for CompileCommand {
    fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, ModuleError> {
        in_child(self, wasm)
    }
}

/// Compiles a module and returns the native code.
fn in_child(command: &CompileCommand, wasm: &[u8]) -> Result<Vec<u8>, ModuleError> {
    let failed = |error: std::io::Error| ModuleError {
        code: ErrorCode::Internal,
        message: format!("cannot run the compile child: {error}"),
    };
    let mut child = Command::new(&command.program)
        .args(&command.args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let answer = converse(&mut child, wasm);
    // Ensures that no child outlives this call.
    let _ = child.kill();
    let status = child.wait().map_err(failed)?;
    match answer {
        Some(ChildOutput { code, .. }) if status.success() && code.len() as u64 <= ARTIFACT_BYTES_MAX => Ok(code),
        Some(answer) => Err(refused(status, &answer.message)),
        None => Err(too_costly("the module did not compile in time")),
    }
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
    thread::scope(|scope| {
        // A child that exits early breaks the pipe; the exit status gives the reason.
        scope.spawn(move || drop(stdin.write_all(wasm)));
        scope.spawn(move || {
            let (mut code, mut message) = (Vec::new(), Vec::new());
            let _ = stdout.take(ARTIFACT_BYTES_MAX + 1).read_to_end(&mut code);
            let _ = stderr.take(MESSAGE_BYTES_MAX).read_to_end(&mut message);
            let _ = done.send(ChildOutput { code, message });
        });
        let answer = answered.recv_timeout(Duration::from_millis(COMPILE_WALL_MS_MAX)).ok();
        if answer.is_none() {
            let _ = child.kill();
        }
        answer
    })
}

fn refused(status: ExitStatus, message: &[u8]) -> ModuleError {
    match status.code() {
        Some(1) => ModuleError {
            code: ErrorCode::InvalidModule,
            message: format!("the module does not compile: {}", String::from_utf8_lossy(message).trim()),
        },
        _ => too_costly("the module's compilation was stopped"),
    }
}

fn too_costly(what: &str) -> ModuleError {
    let message = format!(
        "{what}: the limits are {COMPILE_CPU_S_MAX} s of CPU time and {} s in total; split large functions, or build \
         with optimisation for size",
        COMPILE_WALL_MS_MAX / 1_000
    );
    ModuleError { code: ErrorCode::CompileLimit, message }
}
