//! Child's side of compilation. The child limits itself before it reads a byte of the module, gives up every right
//! except computing before it parses one, compiles, and exits.

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use fusebox_core::limits::{COMPILE_MEMORY_BYTES_MAX, MODULE_BYTES_CEILING};
use fusebox_jail::{Inmate, Plan, Setting, User};
use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};
use wasmparser::Parser;

use crate::{SandboxError, component, engine, trim::trimmed};

/// Lower priority than running functions, so that compilation uses only idle processor time.
const NICENESS: i32 = 10;
/// Maximum number of descriptors: three pipes and a few opened by the runtime.
const DESCRIPTORS_MAX: u64 = 32;

/// Returns what precedes a module on a child's stdin: its limit of CPU time.
pub(super) fn order(cpu_max: Duration) -> [u8; 8] {
    cpu_max.as_secs().to_le_bytes()
}

/// Entry point of a compile child: limits and locks up its own process, reads wasm from stdin and writes the artifact
/// to stdout. Must be called before any thread starts.
///
/// # Errors
/// Returns a message for stderr if the process cannot be limited or the module does not compile; the process should
/// exit with code 1.
pub fn compile_child(jail: Setting) -> Result<(), SandboxError> {
    fusebox_jail::close_inherited();
    fusebox_jail::ignore_hangup();
    let unread = |error| SandboxError(format!("cannot read the module: {error}"));
    let mut stdin = std::io::stdin().lock();
    let mut order = [0; 8];
    stdin.read_exact(&mut order).map_err(unread)?;
    let limited = limit_this_process(u64::from_le_bytes(order));
    limited.map_err(|error| SandboxError(format!("cannot limit the compile child: {error}")))?;
    let mut wasm = Vec::new();
    stdin.take(MODULE_BYTES_CEILING + 1).read_to_end(&mut wasm).map_err(unread)?;
    let plan = Plan { inmate: Inmate::Compiler, user: User::NOBODY, limits: Vec::new() };
    plan.enter(jail).map_err(|error| SandboxError(error.to_string()))?;
    let code = compiled(&wasm).map_err(|error| SandboxError(format!("{error:#}")))?;
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(&code).and_then(|()| stdout.flush());
    written.map_err(|error| SandboxError(format!("cannot write the artifact: {error}")))
}

fn compiled(wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
    let engine = engine::compiling().map_err(|error| wasmtime::Error::msg(error.0))?;
    let trimmed = trimmed(wasm);
    match Parser::is_component(wasm) {
        true => engine.precompile_component(&component::with_final_names(&trimmed)),
        false => engine.precompile_module(&trimmed),
    }
}

fn limit_this_process(cpu_s_max: u64) -> rustix::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    nice(NICENESS)?;
    let limits = [
        // The first sends a signal by which the parent knows the limit, the second one that cannot be ignored.
        (Resource::Cpu, cpu_s_max, cpu_s_max + 1),
        (Resource::As, COMPILE_MEMORY_BYTES_MAX, COMPILE_MEMORY_BYTES_MAX),
        (Resource::Core, 0, 0),
        (Resource::Nofile, DESCRIPTORS_MAX, DESCRIPTORS_MAX),
        (Resource::Fsize, 0, 0),
    ];
    for (resource, current, maximum) in limits {
        setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) })?;
    }
    Ok(())
}
