//! Child's side of compilation. The child limits itself before it reads a byte, gives up every right except computing
//! before it parses one, compiles, and exits.

use std::io::{Read as _, Write as _};

use fusebox_core::limits::{COMPILE_CPU_S_MAX, COMPILE_MEMORY_BYTES_MAX, MODULE_BYTES_MAX};
use fusebox_jail::{Inmate, Plan, Setting, User};
use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};

use crate::{SandboxError, engine};

/// Lower priority than running functions, so that compilation uses only idle processor time.
const NICENESS: i32 = 10;
/// Maximum number of descriptors: three pipes and a few opened by the runtime.
const DESCRIPTORS_MAX: u64 = 32;

/// Entry point of a compile child: limits and locks up its own process, reads wasm from stdin and writes the artifact
/// to stdout. Must be called before any thread starts.
///
/// # Errors
/// Returns a message for stderr if the process cannot be limited or the module does not compile; the process should
/// exit with code 1.
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
