//! A trial of the whole sandbox with one module: checked, compiled in a child process, run.

use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;
use fusebox_core::{
    function::{Grants, RunLimits},
    invocation::Invocation,
    limits::{ARTIFACTS_BYTES_MAX, SLOT_STACK_BYTES},
    name::TenantId,
    outcome::Outcome,
};
use fusebox_sandbox::{Call, ModuleLimits, Options, Sandbox};

use super::parts;

/// A command that does nothing: `(module (func (export "_start")))`.
const NOTHING: [u8; 36] =
    *b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

/// Runs the trial; returns its steps and their duration.
///
/// # Errors
/// Fails at the first step that this machine does not allow.
pub(super) fn run() -> anyhow::Result<String> {
    let home = tempfile::tempdir().context("make a directory")?;
    let sandbox = Sandbox::new(Options {
        slots: 1,
        ceiling: RunLimits::CEILING,
        modules: ModuleLimits::default(),
        cache_dir: home.path().join("artifacts"),
        cache_bytes_max: ARTIFACTS_BYTES_MAX,
        compile_command: parts::compile_command()?,
    })?;
    let started = Instant::now();
    let prepared = sandbox.prepare(&NOTHING)?;
    let compiled = started.elapsed();
    let module = sandbox.load(&prepared.inspected.digest)?.context("the compiled module is not there")?;
    let call = Call::new(Invocation::plain(
        TenantId::default_tenant(),
        "nothing".parse()?,
        prepared.inspected.digest,
        RunLimits::default(),
        Grants::default(),
        Bytes::new(),
    ));
    let slot = std::thread::Builder::new().stack_size(SLOT_STACK_BYTES);
    let run = slot.spawn(move || sandbox.run(&module, call))?.join();
    let run = run.map_err(|_| anyhow::anyhow!("the run panicked"))?;
    anyhow::ensure!(matches!(run.outcome, Outcome::Returned(_)), "the trial function failed: {:?}", run.outcome);
    Ok(format!("compiles (in {} ms) and runs (in {} µs) a module", compiled.as_millis(), run.receipt.wall_us))
}
