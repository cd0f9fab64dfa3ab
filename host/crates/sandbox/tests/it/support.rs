//! A sandbox in a temporary directory, and modules written as text.

use std::{
    path::Path,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    function::{Grants, RunLimits},
    id::{ModuleDigest, TaskId},
    invocation::Invocation,
    limits::{ARTIFACTS_BYTES_MAX, SLOT_STACK_BYTES},
    name::TenantId,
    outcome::Outcome,
    time::Millis,
};
use fusebox_sandbox::{Call, CompileCommand, ModuleError, ModuleLimits, Options, Run, Sandbox};
use tempfile::TempDir;

/// Sandbox shared by most tests, since an engine reserves much address space.
static SHARED: LazyLock<(Sandbox, TempDir)> = LazyLock::new(|| {
    let home = tempfile::tempdir().unwrap();
    (open(home.path()), home)
});

pub(crate) fn sandbox() -> &'static Sandbox {
    &SHARED.0
}

/// Returns a sandbox with its artifacts in this directory.
pub(crate) fn open(dir: &Path) -> Sandbox {
    Sandbox::new(options(dir)).unwrap()
}

pub(crate) fn options(dir: &Path) -> Options {
    Options {
        slots: 8,
        ceiling: RunLimits::CEILING,
        modules: ModuleLimits::default(),
        cache_dir: dir.join("artifacts"),
        cache_bytes_max: ARTIFACTS_BYTES_MAX,
        compile_command: CompileCommand { program: env!("CARGO_BIN_EXE_compile-child").into(), args: Vec::new() },
    }
}

/// Returns limits that no test reaches by accident.
pub(crate) fn ample() -> RunLimits {
    let RunLimits { fuel, cpu_ms, .. } = RunLimits::CEILING;
    RunLimits { wall_ms: 60_000, fuel, cpu_ms, ..RunLimits::default() }
}

pub(crate) fn call(input: &[u8], limits: RunLimits) -> Call {
    let invocation = Invocation::plain(
        TenantId::default_tenant(),
        "tested".parse().unwrap(),
        ModuleDigest([0; 32]),
        limits,
        Grants::default(),
        Bytes::copy_from_slice(input),
    );
    let task = Some(TaskId::new(Millis(1_000), [7; 10]));
    Call { task, attempt: 3, deadline: Millis(99), ..Call::new(invocation) }
}

/// Runs a module given as text.
pub(crate) fn run(text: &str, input: &[u8], limits: RunLimits) -> Run {
    run_call(sandbox(), &wasm(text), call(input, limits))
}

/// Runs a module as a slot does, on a separate thread with a slot's stack.
pub(crate) fn run_call(sandbox: &Sandbox, wasm: &[u8], call: Call) -> Run {
    let prepared = sandbox.prepare(wasm).unwrap();
    let module = sandbox.load(&prepared.inspected.digest).unwrap().unwrap();
    thread::scope(|scope| {
        let slot = thread::Builder::new().stack_size(SLOT_STACK_BYTES);
        slot.spawn_scoped(scope, || sandbox.run(&module, call)).unwrap().join().unwrap()
    })
}

pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    (work(), started.elapsed())
}

/// Returns the error of a rejected module.
pub(crate) fn refused(wasm: &[u8]) -> ModuleError {
    sandbox().prepare(wasm).unwrap_err()
}

pub(crate) fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// Returns a core function whose `fusebox_handle` executes `handle` with the input's pointer (local 0) and length
/// (local 1), and then returns the result record at address 0, by default an empty output.
pub(crate) fn core(handle: &str) -> String {
    core_with(handle, "")
}

pub(crate) fn core_with(handle: &str, more: &str) -> String {
    format!(
        r#"(module {more} (memory (export "memory") 2)
            (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
            (func $handle (export "fusebox_handle") (param i32 i32) (result i32) {handle} (i32.const 0)))"#
    )
}

/// Returns code that sets the result record to a tag, pointer and length.
pub(crate) fn answer(tag: &str, ptr: &str, len: &str) -> String {
    format!("(i32.store (i32.const 0) {tag}) (i32.store (i32.const 4) {ptr}) (i32.store (i32.const 8) {len})")
}

/// Returns a function that outputs its input.
pub(crate) fn echo() -> String {
    core(&answer("(i32.const 0)", "(local.get 0)", "(local.get 1)"))
}

#[track_caller]
pub(crate) fn returned(run: &Run) -> &[u8] {
    match &run.outcome {
        Outcome::Returned(output) => output,
        other => panic!("the run should have returned: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn code(run: &Run) -> ErrorCode {
    run.outcome.failure().unwrap_or_else(|| panic!("the run should have failed: {:?}", run.outcome)).code
}
