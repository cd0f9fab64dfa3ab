//! One complete call of each kind of function: a fresh store and instance with every limit, and its answer. Prints the CPU
//! time of the slot's thread, so that a busy machine disturbs the figures little; calls of all kinds take turns.
//!
//! Run by `cargo bench --workspace --bench kinds`; `-- --smoke` for a short run, `-- FILE…` to add modules or components,
//! `-- --write-http FILE` to write the component that answers HTTP, for comparisons with other hosts.
#![expect(clippy::print_stdout, reason = "the figures are the result")]

use std::{thread, time::Duration};

use bytes::Bytes;
use fusebox_core::{
    function::{Abi, Grants, RunLimits},
    id::ModuleDigest,
    invocation::Invocation,
    limits::{ARTIFACTS_BYTES_MAX, SLOT_STACK_BYTES},
    name::TenantId,
    outcome::Outcome,
};
use fusebox_hostile::component;
use fusebox_sandbox::{Call, CompileCommand, LoadedModule, ModuleLimits, Options, Sandbox};
use rustix::time::{ClockId, clock_gettime};

type Outcomes<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const CORE: &str = r#"(module (memory (export "memory") 2)
    (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
    (func (export "fusebox_handle") (param i32 i32) (result i32)
        (i32.store (i32.const 4) (local.get 0)) (i32.store (i32.const 8) (local.get 1)) (i32.const 0)))"#;
const COMMAND: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 64) "hello")
    (func (export "_start") (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 5))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
const PLUGIN: &str = r#"(module
    (import "extism:host/env" "input_offset" (func $input (result i64)))
    (import "extism:host/env" "input_length" (func $length (result i64)))
    (import "extism:host/env" "output_set" (func $output (param i64 i64)))
    (memory (export "memory") 1)
    (func (export "run") (result i32) (call $output (call $input) (call $length)) (i32.const 0)))"#;
const INPUT: &[u8] = br#"{"name":"Ada"}"#;
const REQUEST: &[u8] = b"GET /\nhost: localhost\n\n";

/// Function whose calls are measured.
struct Kind {
    name: String,
    module: LoadedModule,
    is_http: bool,
    /// CPU time of a call in each round, in microseconds.
    rounds: Vec<f64>,
}

fn main() -> Outcomes<()> {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let (mut smoke, mut files) = (false, Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--smoke" => smoke = true,
            "--write-http" => {
                let path = args.next().ok_or("--write-http needs a file")?;
                return Ok(std::fs::write(path, wat::parse_str(component::http_echo())?)?);
            }
            _ => files.push(arg),
        }
    }
    let (rounds, calls) = if smoke { (3, 20) } else { (31, 500) };
    // Runs like a slot, on a separate thread with a slot's stack.
    let bench = thread::Builder::new().stack_size(SLOT_STACK_BYTES).spawn(move || bench(rounds, calls, &files))?;
    bench.join().map_err(|_| "the bench panicked")?
}

fn bench(rounds: usize, calls: u32, files: &[String]) -> Outcomes<()> {
    let home = tempfile::tempdir()?;
    let sandbox = Sandbox::new(Options {
        slots: 2,
        ceiling: RunLimits::CEILING,
        modules: ModuleLimits::default(),
        cache_dir: home.path().join("artifacts"),
        cache_bytes_max: ARTIFACTS_BYTES_MAX,
        compile_command: CompileCommand { program: env!("CARGO_BIN_EXE_compile-child").into(), args: Vec::new() },
    })?;
    let texts = [
        ("core function", CORE.to_owned()),
        ("command", COMMAND.to_owned()),
        ("plug-in for Extism", PLUGIN.to_owned()),
        ("component, handler of bytes", component::echo()),
        ("component, two linked by adapters", component::nested()),
        ("component, wasi:http 0.2", component::http_echo()),
    ];
    let mut kinds = Vec::new();
    for (name, text) in texts {
        kinds.push(kind(&sandbox, name, &wat::parse_str(text)?)?);
    }
    for file in files {
        kinds.push(kind(&sandbox, file, &std::fs::read(file)?)?);
    }
    for _ in 0..rounds {
        for kind in &mut kinds {
            let before = cpu();
            for _ in 0..calls {
                call(&sandbox, kind)?;
            }
            kind.rounds.push((cpu() - before).as_secs_f64() * 1e6 / f64::from(calls));
        }
    }
    println!("CPU time of a call, every limit on, median and least of {rounds} rounds of {calls} calls:");
    for Kind { name, rounds, .. } in &mut kinds {
        rounds.sort_by(f64::total_cmp);
        println!("{name}: {:.2} µs, {:.2} µs", rounds[rounds.len() / 2], rounds[0]);
    }
    Ok(())
}

fn kind(sandbox: &Sandbox, name: &str, wasm: &[u8]) -> Outcomes<Kind> {
    let inspected = sandbox.prepare(wasm)?.inspected;
    let module = sandbox.load(&inspected.digest)?.ok_or("the artifact is not there")?;
    Ok(Kind { name: name.to_owned(), module, is_http: inspected.abi == Abi::Http, rounds: Vec::new() })
}

fn call(sandbox: &Sandbox, kind: &Kind) -> Outcomes<()> {
    let input = if kind.is_http { REQUEST } else { INPUT };
    let mut invocation = Invocation::plain(
        TenantId::default_tenant(),
        "bench".parse().unwrap_or_else(|_| unreachable!("a name")),
        ModuleDigest([0; 32]),
        RunLimits::CEILING,
        Grants::default(),
        Bytes::from_static(input),
    );
    invocation.is_http = kind.is_http;
    if kind.name == "plug-in for Extism" {
        invocation.export = Some("run".into());
    }
    match sandbox.run(&kind.module, Call::new(invocation)).outcome {
        Outcome::Returned(_) => Ok(()),
        other => Err(format!("{}: {other:?}", kind.name).into()),
    }
}

/// Returns the CPU time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanoseconds)
}
