//! Takes the image of a runtime: instantiates a WASI command, runs its initialization, and writes a module that starts
//! with the memory and globals that this left. Clocks stand still and random bytes are the same each time, so that equal
//! inputs give equal images; what must differ between runs is read again in each run.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Parser;
use futures_util::FutureExt as _;
use wasmtime::{Config, Engine, Instance, Linker, Module, Result, Store, Val, error::Context as _, format_err};
use wasmtime_wasi::{
    Deterministic, FsPerms, HostMonotonicClock, HostWallClock, WasiCtxBuilder,
    p1::{self, WasiP1Ctx},
};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

/// Export that initializes the module; the image lacks it.
const INITIALIZE: &str = "wizer-initialize";
/// Stack of the initialization, which nests its imports deeper than runs may recurse.
const STACK_BYTES: usize = 4 << 20;
/// Cycle of the random bytes; any will do.
const RANDOM: [u8; 8] = *b"snapshot";
/// Paths of the root directory, in the order in which runs find them open.
const ROOTS: [&str; 2] = ["/", "."];

/// Saves the memory that a module has after its initialization as a new module.
#[derive(Parser)]
struct Args {
    /// Directory that the initialization has as its root, and may write to
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Module: a command that exports `wizer-initialize`
    module: PathBuf,
    /// File to write
    image: PathBuf,
}

/// A clock that stands at its start.
struct Stopped;

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Stopped {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let wasm = fs::read(&args.module).with_context(|| args.module.display().to_string())?;
    let image = image(&wasm, args.root.as_deref())?;
    fs::write(&args.image, image).with_context(|| args.image.display().to_string())
}

/// Returns the image of a module.
fn image(wasm: &[u8], root: Option<&Path>) -> Result<Vec<u8>> {
    let mut wizer = Wizer::new();
    wizer.init_func(INITIALIZE);
    let (module, instrumented) = wizer.instrument(wasm)?;
    let mut state = initialized(&instrumented, root)?;
    // The state is here, so nothing waits.
    wizer.snapshot(&module, &mut state).now_or_never().ok_or_else(|| format_err!("the snapshot waits"))?
}

/// Instantiates a module and runs its initialization.
fn initialized(wasm: &[u8], root: Option<&Path>) -> Result<State> {
    let mut config = Config::new();
    config.max_wasm_stack(STACK_BYTES).async_stack_size(2 * STACK_BYTES);
    let engine = Engine::new(&config)?;
    let module = Module::new(&engine, wasm)?;
    let mut wasi = WasiCtxBuilder::new();
    wasi.inherit_stderr().wall_clock(Stopped).monotonic_clock(Stopped);
    wasi.secure_random(Deterministic::new(RANDOM.to_vec()));
    if let Some(root) = root {
        for path in ROOTS {
            wasi.preopened_dir(root, path, FsPerms::ReadWrite)?;
        }
    }
    let mut linker = Linker::new(&engine);
    p1::add_to_linker_sync(&mut linker, |wasi: &mut WasiP1Ctx| wasi)?;
    // There is no host yet whose functions the module could call.
    linker.define_unknown_imports_as_traps(&module)?;
    let mut store = Store::new(&engine, wasi.build_p1());
    let instance = linker.instantiate(&mut store, &module)?;
    instance.get_typed_func::<(), ()>(&mut store, INITIALIZE)?.call(&mut store, ())?;
    Ok(State { store, instance })
}

/// An initialized instance.
struct State {
    store: Store<WasiP1Ctx>,
    instance: Instance,
}

impl InstanceState for State {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        let value = self.instance.get_global(&mut self.store, name).map(|global| global.get(&mut self.store));
        match value {
            Some(Val::I32(number)) => SnapshotVal::I32(number),
            Some(Val::I64(number)) => SnapshotVal::I64(number),
            Some(Val::F32(bits)) => SnapshotVal::F32(bits),
            Some(Val::F64(bits)) => SnapshotVal::F64(bits),
            Some(Val::V128(bits)) => SnapshotVal::V128(bits.as_u128()),
            _ => unreachable!("the module was instrumented to export its globals, which are numbers"),
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        let memory = self.instance.get_memory(&mut self.store, name);
        contents(memory.map(|memory| memory.data(&self.store)).unwrap_or_default());
    }
}
