//! Compilation in a child process: the child's side. It limits itself before it reads a byte, gives up everything but
//! computing before it looks at one, compiles, and ends.

use std::io::{Read as _, Write as _};

use fusebox_core::limits::{COMPILE_CPU_S_MAX, COMPILE_MEMORY_BYTES_MAX, MODULE_BYTES_MAX};
use fusebox_jail::{Inmate, Plan, Setting, User};
use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};

use crate::{SandboxError, engine};

/// Who calls a function goes before who registers one: a compilation takes what runs leave of the processors.
const NICENESS: i32 = 10;
/// Descriptors of the child: its three pipes, and a few that its runtime opens.
const DESCRIPTORS_MAX: u64 = 32;

/// The `main` of a compile child: limits and locks up its own process, reads wasm on stdin, writes the artifact to stdout.
/// To be called before any thread starts.
///
/// # Errors
/// A sentence for stderr; the process should exit with code 1.
pub fn compile_child(jail: Setting) -> Result<(), SandboxError> {
    fusebox_jail::close_inherited();
    fusebox_jail::ignore_hangup();
    limit_this_process().map_err(|error| SandboxError(format!("cannot limit the compile child: {error}")))?;
    let mut wasm = Vec::new();
    let mut stdin = std::io::stdin().lock().take(MODULE_BYTES_MAX + 1);
    stdin.read_to_end(&mut wasm).map_err(|error| SandboxError(format!("cannot read the module: {error}")))?;
    let plan = Plan { inmate: Inmate::Compiler, user: User::NOBODY, limits: Vec::new() };
    plan.enter(jail).map_err(|error| SandboxError(error.to_string()))?;
    let compiled = engine::compiling()?.precompile_module(&wasm);
    let code = compiled.map_err(|error| SandboxError(format!("{error:#}")))?;
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(&code).and_then(|()| stdout.flush());
    written.map_err(|error| SandboxError(format!("cannot write the artifact: {error}")))
}

fn limit_this_process() -> rustix::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    nice(NICENESS)?;
    let limits = [
        (Resource::Cpu, COMPILE_CPU_S_MAX),
        (Resource::As, COMPILE_MEMORY_BYTES_MAX),
        (Resource::Core, 0),
        (Resource::Nofile, DESCRIPTORS_MAX),
        (Resource::Fsize, 0),
    ];
    for (resource, most) in limits {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}
