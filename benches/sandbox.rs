//! One complete run compared with bare wasmtime in one process: a fresh instance with all limits, 128 bytes in and out,
//! and the same module with the same pooling, copy-on-write and `InstancePre` but without fuel, epochs or a limiter.
//! Rounds are interleaved, so that a noisy machine disturbs both alike. Also measures the delay with which limits end a
//! loop and a wait, and the CPU time of a unit of fuel in several loops, from which the default fuel was chosen.
//!
//! Run by `cargo bench --workspace --bench sandbox`; `-- --smoke` for a short run.
#![expect(clippy::print_stdout, reason = "the figures are the result")]

use std::{
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    function::{Grants, RunLimits},
    id::ModuleDigest,
    invocation::Invocation,
    limits::{ARTIFACTS_BYTES_MAX, FUEL_DEFAULT, SLOT_STACK_BYTES},
    name::TenantId,
    outcome::Outcome,
};
use fusebox_sandbox::{Call, CompileCommand, LoadedModule, ModuleLimits, Options, Run, Sandbox};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, InstancePre, Linker, Memory, Module, PoolingAllocationConfig,
    Store,
};

const ECHO: &str = r#"(module (memory (export "memory") 2)
    (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
    (func (export "fusebox_handle") (param i32 i32) (result i32)
        (i32.store (i32.const 4) (local.get 0)) (i32.store (i32.const 8) (local.get 1)) (i32.const 0)))"#;
const SPIN: &str = r#"(module (memory (export "memory") 1)
    (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
    (func (export "fusebox_handle") (param i32 i32) (result i32) (loop (br 0)) (i32.const 0)))"#;
const SLEEP: &str = r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start") (i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const 3600000000000))
        (drop (call $poll (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 256)))))"#;
/// Loops by which fuel is calibrated: name, and body with the locals `$x`, `$y` (i64), `$f` (f64) and a counter `$n`. The
/// first are as fast for their fuel as a compiler can make them: independent operations, many of them in an iteration.
const CALIBRATION: &[(&str, &str)] = &[
    (
        "16 multiply-adds, two chains",
        "(local.set $x (i64.add (i64.mul (local.get $x) (i64.const 7)) (local.get $n)))
         (local.set $y (i64.add (i64.mul (local.get $y) (i64.const 5)) (local.get $n)))",
    ),
    ("16 additions", "(local.set $x (i64.add (local.get $x) (local.get $n)))"),
    (
        "16 loads",
        "(local.set $x (i64.add (local.get $x) (i64.load (i32.and (i32.wrap_i64 (local.get $n)) (i32.const 65528)))))",
    ),
    ("16 square roots", "(local.set $f (f64.sqrt (f64.add (local.get $f) (f64.const 2))))"),
    ("16 divisions", "(local.set $x (i64.div_u (local.get $n) (i64.or (local.get $x) (i64.const 3))))"),
];
const INPUT: [u8; 128] = [7; 128];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let smoke = std::env::args().any(|arg| arg == "--smoke");
    let (rounds, runs, cut_offs) = if smoke { (3, 200, 2) } else { (31, 5_000, 50) };
    // Runs like a slot, on a separate thread with a slot's stack.
    let bench = thread::Builder::new().stack_size(SLOT_STACK_BYTES).spawn(move || bench(rounds, runs, cut_offs))?;
    bench.join().map_err(|_| "the bench panicked")?.map_err(|error| error.to_string().into())
}

fn bench(rounds: usize, runs: u32, cut_offs: u32) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let home = tempfile::tempdir()?;
    let sandbox = Sandbox::new(Options {
        slots: 2,
        ceiling: RunLimits::CEILING,
        modules: ModuleLimits::default(),
        cache_dir: home.path().join("artifacts"),
        cache_bytes_max: ARTIFACTS_BYTES_MAX,
        compile_command: CompileCommand { program: env!("CARGO_BIN_EXE_compile-child").into(), args: Vec::new() },
    })?;
    let echo = load(&sandbox, ECHO)?;
    let bare = Bare::new()?;
    let (mut full_us, mut bare_us) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        bare_us.push(mean_us(runs, || bare.run())?);
        full_us.push(mean_us(runs, || match run(&sandbox, &echo, RunLimits::default()).outcome {
            Outcome::Returned(output) if output == INPUT.as_slice() => Ok(()),
            other => Err(format!("{other:?}").into()),
        })?);
    }
    let (full, base) = (median(full_us), median(bare_us));
    println!("full run, every limit on, 128 B in and out: {full:.2} µs (median of {rounds} rounds of {runs} runs)");
    println!("bare wasmtime, instantiate and call:        {base:.2} µs");
    println!("ratio: {:.2}", full / base);

    let limits = RunLimits { wall_ms: 100, fuel: RunLimits::CEILING.fuel, ..RunLimits::default() };
    for (what, text) in [("loop {}", SPIN), ("an hour's poll_oneoff", SLEEP)] {
        let module = load(&sandbox, text)?;
        let mut longest = Duration::ZERO;
        for _ in 0..cut_offs {
            let started = Instant::now();
            let code = run(&sandbox, &module, limits).outcome.failure().map(|failure| failure.code);
            longest = longest.max(started.elapsed());
            if code != Some(ErrorCode::DeadlineExceeded) {
                return Err(format!("{what} ended with {code:?}").into());
            }
        }
        println!("{what} under a limit of 100 ms ended within {longest:.1?} (the longest of {cut_offs})");
    }
    for (what, body) in CALIBRATION {
        calibrate(&sandbox, what, &calibrating(&body.repeat(16)), cut_offs)?;
    }
    calibrate(&sandbox, "an empty loop", &calibrating(""), cut_offs)
}

/// Prints the least CPU time of a unit of fuel in a loop, and the time for which the default fuel lasts there.
fn calibrate(
    sandbox: &Sandbox,
    what: &str,
    text: &str,
    rounds: u32,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let module = load(sandbox, text)?;
    let limits = RunLimits { fuel: FUEL_DEFAULT / 20, ..RunLimits::CEILING };
    let mut least_us = u64::MAX;
    for _ in 0..rounds {
        let run = run(sandbox, &module, limits);
        if !matches!(run.outcome, Outcome::OutOfFuel { .. }) {
            return Err(format!("{what} ended with {:?}", run.outcome).into());
        }
        least_us = least_us.min(run.receipt.cpu_us);
    }
    #[expect(clippy::cast_precision_loss, reason = "both are far below 2^52")]
    let ns = least_us as f64 * 1e3 / limits.fuel as f64;
    #[expect(clippy::cast_precision_loss, reason = "it is far below 2^52")]
    let lasts = ns * FUEL_DEFAULT as f64 / 1e9;
    println!("fuel, {what}: {ns:.3} ns a unit, the default fuel lasts {lasts:.1} s");
    Ok(())
}

/// Returns a core function that repeats `body` without end.
fn calibrating(body: &str) -> String {
    format!(
        r#"(module (memory (export "memory") 2)
            (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
            (func (export "fusebox_handle") (param i32 i32) (result i32)
                (local $x i64) (local $y i64) (local $n i64) (local $f f64)
                (loop {body} (local.set $n (i64.add (local.get $n) (i64.const 8))) (br 0)) (i32.const 0)))"#
    )
}

fn load(sandbox: &Sandbox, text: &str) -> Result<LoadedModule, Box<dyn std::error::Error + Send + Sync>> {
    let prepared = sandbox.prepare(&wat::parse_str(text)?)?;
    sandbox.load(&prepared.inspected.digest)?.ok_or_else(|| "the artifact is not there".into())
}

fn run(sandbox: &Sandbox, module: &LoadedModule, limits: RunLimits) -> Run {
    let invocation = Invocation::plain(
        TenantId::default_tenant(),
        "bench".parse().unwrap_or_else(|_| unreachable!("a name")),
        ModuleDigest([0; 32]),
        limits,
        Grants::default(),
        Bytes::from_static(&INPUT),
    );
    sandbox.run(module, Call::new(invocation))
}

/// wasmtime without any limits.
struct Bare {
    engine: Engine,
    echo: InstancePre<()>,
}

impl Bare {
    fn new() -> wasmtime::Result<Self> {
        // Configured like the sandbox's pool: the default clears a slot by a system call, which costs more than a run.
        let mut pool = PoolingAllocationConfig::new();
        pool.linear_memory_keep_resident(1 << 20).table_keep_resident(1 << 20).pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        config.memory_init_cow(true);
        let engine = Engine::new(&config)?;
        let module = Module::from_binary(&engine, &wat::parse_str(ECHO).map_err(wasmtime::Error::new)?)?;
        let echo = Linker::new(&engine).instantiate_pre(&module)?;
        Ok(Self { engine, echo })
    }

    fn run(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut store = Store::new(&self.engine, ());
        let instance = self.echo.instantiate(&mut store)?;
        let memory: Memory = instance.get_memory(&mut store, "memory").ok_or("memory")?;
        let alloc = instance.get_typed_func::<u32, u32>(&mut store, "fusebox_alloc")?;
        let handle = instance.get_typed_func::<(u32, u32), u32>(&mut store, "fusebox_handle")?;
        let ptr = alloc.call(&mut store, 128)?;
        memory.write(&mut store, ptr as usize, &INPUT)?;
        let record = handle.call(&mut store, (ptr, 128))?;
        let mut output = vec![0; 128];
        memory.read(&store, record as usize + 1_024, &mut output)?;
        if output == INPUT { Ok(()) } else { Err("another output".into()) }
    }
}

fn mean_us(
    runs: u32,
    mut run: impl FnMut() -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
) -> Result<f64, Box<dyn std::error::Error + Send + Sync>> {
    let started = Instant::now();
    for _ in 0..runs {
        run()?;
    }
    Ok(started.elapsed().as_secs_f64() * 1e6 / f64::from(runs))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
