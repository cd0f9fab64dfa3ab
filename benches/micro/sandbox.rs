//! A complete run of a guest: a fresh instance with all limits, called and dropped. `benches/sandbox.rs` compares the
//! same with bare wasmtime.

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use fusebox_core::{
    function::{Grants, RunLimits},
    id::ModuleDigest,
    invocation::Invocation,
    limits::ARTIFACTS_BYTES_MAX,
    name::TenantId,
    outcome::Outcome,
};
use fusebox_harness::guests;
use fusebox_sandbox::{Call, CompileCommand, LoadedModule, ModuleLimits, Options, Sandbox};

/// A command that returns at once.
const COMMAND: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

pub(crate) fn bench(criterion: &mut Criterion) {
    let home = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::new(Options {
        slots: 2,
        ceiling: RunLimits::CEILING,
        modules: ModuleLimits::default(),
        cache_dir: home.path().to_owned(),
        cache_bytes_max: ARTIFACTS_BYTES_MAX,
        compile_command: CompileCommand {
            program: env!("CARGO_BIN_EXE_fusebox").into(),
            args: vec!["compile-module".into()],
        },
    })
    .unwrap();
    let load = |wasm: &[u8]| {
        let prepared = sandbox.prepare(wasm).unwrap();
        sandbox.load(&prepared.inspected.digest).unwrap().unwrap()
    };
    let (echo, command) = (load(&guests::echo()), load(&guests::wasm(COMMAND)));
    let mut group = criterion.benchmark_group("sandbox");
    for bytes in [128, 64 << 10] {
        let input = Bytes::from(vec![7; bytes]);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("core ABI, {bytes} bytes in and out"), |bencher| {
            bencher.iter(|| assert_eq!(run(&sandbox, &echo, input.clone()), input));
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("WASI command", |bencher| {
        bencher.iter(|| assert_eq!(run(&sandbox, &command, Bytes::new()), Bytes::new()));
    });
    group.finish();
}

fn run(sandbox: &Sandbox, module: &LoadedModule, input: Bytes) -> Bytes {
    let invocation = Invocation::plain(
        TenantId::default_tenant(),
        "bench".parse().unwrap(),
        ModuleDigest([0; 32]),
        RunLimits::default(),
        Grants::default(),
        input,
    );
    match sandbox.run(module, Call::new(invocation)).outcome {
        Outcome::Returned(output) => output,
        other => panic!("{other:?}"),
    }
}
