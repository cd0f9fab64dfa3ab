//! Nanoseconds per unit of fuel of each function that a guest may call, beside loops of its own. A call that took
//! longer per unit of fuel than the instructions that a guest could run instead would make limits in fuel ineffective.
//! Measures time and fuel of runs with calls, less those of runs without, each the minimum of interleaved rounds.
//!
//! Run by `cargo bench --workspace --bench host_calls`; `-- --smoke` for a short run.
#![expect(clippy::print_stdout, reason = "the figures are the result")]

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fusebox_core::{
    capability::{HostAnswer, HostCall, Refusal},
    function::{Grants, RunLimits},
    id::ModuleDigest,
    invocation::Invocation,
    limits::{ARTIFACTS_BYTES_MAX, SLOT_STACK_BYTES},
    name::TenantId,
};
use fusebox_hostile::{fusebox_functions, wasi_functions};
use fusebox_sandbox::{
    Call, CompileCommand, Guest, HostCalls, LoadedModule, ModuleLimits, Options, Sandbox, WaitLimit,
};

type Done<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Number of calls in a run: few enough that no output, log or clock limit ends it.
const CALLS: u32 = 400;
/// Size of calls that handle many bytes, and the number of such calls in a run.
const LARGE: (u32, u32) = (65_536, 16);

/// Calls with arguments other than zeros: label, function, arguments, number of calls in a run. A vector at 0 points at
/// 64 KiB from 1,024 on, one at 8 at 16 bytes there; 262,144 holds 8,192 empty ones.
const CHOSEN: &[(&str, &str, &str, u32)] = &[
    ("answer, 64 KiB", "answer", "i32.const 1024 i32.const 65536", LARGE.1),
    ("context, in full", "context", "i32.const 1024 i32.const 256", CALLS),
    ("log, 16 bytes", "log", "i32.const 3 i32.const 1024 i32.const 16", CALLS),
    ("log, 32 KiB", "log", "i32.const 3 i32.const 1024 i32.const 32768", 4),
    ("log, 32 KiB of control characters", "log", "i32.const 3 i32.const 131072 i32.const 32768", 4),
    ("random, 16 bytes", "random", "i32.const 1024 i32.const 16", CALLS),
    ("random, 64 KiB", "random", "i32.const 1024 i32.const 65536", LARGE.1),
    ("kv_get, a key", "kv_get", "i32.const 1024 i32.const 16", CALLS),
    (
        "kv_set, 64 KiB",
        "kv_set",
        "i32.const 1024 i32.const 16 i32.const 1024 i32.const 65536 i64.const 0 i64.const -1",
        LARGE.1,
    ),
    ("http, 64 KiB", "http", "i32.const 1024 i32.const 65536", LARGE.1),
    ("fd_read, stdin, 64 KiB", "fd_read", "i32.const 0 i32.const 0 i32.const 1 i32.const 16", LARGE.1),
    ("fd_write, stdout, 16 bytes", "fd_write", "i32.const 1 i32.const 8 i32.const 1 i32.const 16", CALLS),
    ("fd_write, stdout, 64 KiB", "fd_write", "i32.const 1 i32.const 0 i32.const 1 i32.const 16", LARGE.1),
    ("fd_write, stderr, 16 bytes", "fd_write", "i32.const 2 i32.const 8 i32.const 1 i32.const 16", CALLS),
    ("fd_write, stderr, 64 KiB", "fd_write", "i32.const 2 i32.const 0 i32.const 1 i32.const 16", 2),
    ("fd_write, 8,192 empty vectors", "fd_write", "i32.const 1 i32.const 262144 i32.const 8192 i32.const 16", CALLS),
    ("fd_fdstat_get, stdout", "fd_fdstat_get", "i32.const 1 i32.const 1024", CALLS),
    ("fd_filestat_get, stdout", "fd_filestat_get", "i32.const 1 i32.const 1024", CALLS),
    (
        "path_open, 64 KiB",
        "path_open",
        "i32.const 3 i32.const 0 i32.const 1024 i32.const 65536 i32.const 0 i64.const 0 i64.const 0 i32.const 0 i32.const 512",
        LARGE.1,
    ),
    (
        "path_open of stdin",
        "path_open",
        "i32.const 0 i32.const 0 i32.const 1024 i32.const 65536 i32.const 0 i64.const 0 i64.const 0 i32.const 0 i32.const 512",
        LARGE.1,
    ),
    (
        "poll_oneoff, 1,024 clocks",
        "poll_oneoff",
        "i32.const 262144 i32.const 1024 i32.const 1024 i32.const 512",
        LARGE.1,
    ),
    ("random_get, 16 bytes", "random_get", "i32.const 1024 i32.const 16", CALLS),
    ("random_get, 64 KiB", "random_get", "i32.const 1024 i32.const 65536", LARGE.1),
    ("random_get, 1 MiB", "random_get", "i32.const 1024 i32.const 1048576", 4),
];

/// Functions that end a run and can be called only once.
const ENDING: [&str; 2] = ["fail", "proc_exit"];

/// Loops of a guest's own instructions: label and body of a loop.
const LOOPS: &[(&str, &str)] = &[
    ("loop: additions", "(local.set $x (i32.add (local.get $x) (i32.const 7)))"),
    (
        "loop: divisions",
        "(local.set $x (i32.add (i32.div_u (i32.const 1000000007) (i32.or (local.get $x) (i32.const 1))) (i32.const 1)))",
    ),
    ("loop: square roots", "(local.set $f (f64.sqrt (f64.add (local.get $f) (f64.const 2))))"),
    ("loop: 64 KiB copied", "(memory.copy (i32.const 131072) (i32.const 1024) (i32.const 65536))"),
];

/// Answers every call at once with 64 KiB.
struct AtOnce;

impl HostCalls for AtOnce {
    fn call(&self, _: Guest<'_>, asked: HostCall, _: &WaitLimit) -> Result<HostAnswer, Refusal> {
        match asked {
            HostCall::KvGet(_) => Ok(HostAnswer::Value { revision: 1, value: Bytes::from_static(&[7; 65_536]) }),
            HostCall::KvSet { .. } => Ok(HostAnswer::Set(1)),
            HostCall::Configs => Ok(HostAnswer::Configs(Vec::new())),
            HostCall::Http(_) => Ok(HostAnswer::Http(Bytes::from_static(&[7; 65_536]))),
            _ => Err(Refusal::Absent),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rounds = if std::env::args().any(|argument| argument == "--smoke") { 2 } else { 25 };
    // Runs like a slot, on a separate thread with a slot's stack.
    let bench = thread::Builder::new().stack_size(SLOT_STACK_BYTES).spawn(move || bench(rounds))?;
    bench.join().map_err(|_| "the bench panicked")?.map_err(|error| error.to_string().into())
}

/// A call or loop to measure.
struct Measured {
    name: String,
    with: LoadedModule,
    without: LoadedModule,
    calls: u32,
}

fn bench(rounds: u32) -> Done<()> {
    let home = tempfile::tempdir()?;
    let sandbox = Sandbox::new(Options {
        slots: 2,
        ceiling: RunLimits::CEILING,
        modules: ModuleLimits::default(),
        cache_dir: home.path().join("artifacts"),
        cache_bytes_max: ARTIFACTS_BYTES_MAX,
        compile_command: CompileCommand { program: env!("CARGO_BIN_EXE_compile-child").into(), args: Vec::new() },
    })?;
    let functions: Vec<(&str, (&str, &str, &str))> = fusebox_functions()
        .into_iter()
        .map(|function| ("fusebox", function))
        .chain(wasi_functions().into_iter().map(|function| ("wasi_snapshot_preview1", function)))
        .collect();
    let mut measured = Vec::new();
    for (name, body) in LOOPS {
        let calls = if name.contains("copied") { LARGE.1 } else { 20_000 };
        let module = |count| load(&sandbox, &guest("", body, count));
        measured.push(Measured { name: (*name).to_owned(), with: module(calls)?, without: module(0)?, calls });
    }
    let mut add = |name: &str, module: &str, (function, params, result): (&str, &str, &str), arguments: &str, calls| {
        let import = import(module, function, params, result);
        let body =
            if result.is_empty() { format!("{arguments} call $call") } else { format!("{arguments} call $call drop") };
        let module = |count| load(&sandbox, &guest(&import, &body, count));
        measured.push(Measured { name: name.to_owned(), with: module(calls)?, without: module(0)?, calls });
        Done::Ok(())
    };
    for (module, function) in functions.iter().filter(|(_, function)| !ENDING.contains(&function.0)) {
        let zero = |letter| if letter == 'I' { "i64.const 0 " } else { "i32.const 0 " };
        let zeros: String = function.1.chars().map(zero).collect();
        add(&format!("{}, zeros", function.0), module, *function, &zeros, CALLS)?;
        for (name, _, arguments, calls) in CHOSEN.iter().filter(|(_, chosen, ..)| *chosen == function.0) {
            add(name, module, *function, arguments, *calls)?;
        }
    }
    println!("{:<36} {:>12} {:>10} {:>10}", "call", "ns a call", "fuel", "ns a unit");
    let mut least = vec![[(Duration::MAX, 0); 2]; measured.len()];
    for _ in 0..rounds {
        for (row, least) in measured.iter().zip(&mut least) {
            for (module, least) in [&row.with, &row.without].into_iter().zip(least) {
                let found = run(&sandbox, module)?;
                if found.0 < least.0 {
                    *least = found;
                }
            }
        }
    }
    for (row, [(with, fuel), (without, base)]) in measured.iter().zip(least) {
        let (ns, calls) = (with.saturating_sub(without).as_secs_f64() * 1e9, f64::from(row.calls));
        #[expect(clippy::cast_precision_loss, reason = "fuel of a few calls is far below 2^52")]
        let fuel = fuel.saturating_sub(base) as f64;
        println!("{:<36} {:>12.1} {:>10.1} {:>10.2}", row.name, ns / calls, fuel / calls, ns / fuel);
    }
    Ok(())
}

fn import(module: &str, function: &str, params: &str, result: &str) -> String {
    let params: String = params.chars().map(|letter| if letter == 'I' { " i64" } else { " i32" }).collect();
    format!("(import \"{module}\" \"{function}\" (func $call (param{params}) {result}))")
}

/// Returns a command that runs `body` `count` times.
fn guest(import: &str, body: &str, count: u32) -> String {
    format!(
        r#"(module {import} (memory (export "memory") 32)
            (data (i32.const 0) "\00\04\00\00\00\00\01\00\00\04\00\00\10\00\00\00")
            (func (export "_start") (local $n i32) (local $x i32) (local $f f64)
                (memory.fill (i32.const 1024) (i32.const 97) (i32.const 120000))
                (local.set $n (i32.const {count}))
                (block (br_if 0 (i32.eqz (local.get $n)))
                    (loop {body} (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))))"#
    )
}

fn load(sandbox: &Sandbox, text: &str) -> Done<LoadedModule> {
    let prepared = sandbox.prepare(&wat::parse_str(text)?)?;
    sandbox.load(&prepared.inspected.digest)?.ok_or_else(|| "the artifact is not there".into())
}

fn run(sandbox: &Sandbox, module: &LoadedModule) -> Done<(Duration, u64)> {
    let invocation = Invocation::plain(
        TenantId::default_tenant(),
        "bench".parse()?,
        ModuleDigest([0; 32]),
        RunLimits::CEILING,
        Grants::parse_list("config,secrets,kv,http=a.example.com")?,
        // As much stdin as is read.
        Bytes::from(vec![7; 1 << 20]),
    );
    let call = Call { host_calls: Some(Arc::new(AtOnce)), ..Call::new(invocation) };
    let started = Instant::now();
    let run = sandbox.run(module, call);
    let time = started.elapsed();
    if let Some(failure) = run.outcome.failure() {
        return Err(format!("a guest failed: {failure:?}").into());
    }
    Ok((time, run.receipt.fuel.ok_or("a run without its fuel")?))
}
