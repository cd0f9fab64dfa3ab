//! Runs one guest call in wasmtime, on its own fuse. Knows no network, store or tenant's data; the only crate that
//! names wasmtime.
//!
//! | module | holds |
//! |---|---|
//! | `engine` | the one function that makes the engine's configuration, for the host and the compile child |
//! | `epoch` | the ticker that lets a run notice its deadline and its stop flag |
//! | `inspect` | structural caps and the ABI, before anything is compiled |
//! | `compile` | the compile child, seen from both sides |
//! | `prepare` | from a module to its artifact, and who may learn that it was there |
//! | `artifact`, `disk`, `cache` | compiled modules: authenticated, on disk within a bound, and in memory |
//! | `limiter` | memory and tables of a run |
//! | `host` | what a run carries with it: limits, log, stop flag, deadline |
//! | `metered` | the one way to give a guest a function: with its cost in fuel |
//! | `imports` | what a guest may call, one capability a file |
//! | `host_calls` | the seam to what only grants give: configuration, secrets, key-value namespace, other hosts |
//! | `wasi` | WASI preview 1 for the command ABI |
//! | `run`, `ending`, `cpu` | one run: instantiate, call, how it ended, and the CPU time it is charged |

mod artifact;
mod cache;
mod compile;
mod cpu;
mod disk;
mod ending;
mod engine;
mod epoch;
mod host;
mod host_calls;
mod imports;
mod inspect;
mod limiter;
mod log;
mod metered;
mod prepare;
mod run;
mod wasi;

use std::{
    ffi::OsString,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use fusebox_core::{
    capability::{Capability, Grants},
    error::ErrorCode,
    function::{Abi, RunLimits},
    id::{Attempt, ModuleDigest, TaskId},
    name::{FunctionName, TenantId},
    outcome::{Outcome, StopReason},
    time::Millis,
};
use wasmtime::Engine;

pub use artifact::ArtifactKey;
pub use cache::LoadedModule;
pub use compile::compile_child;
pub use host_calls::{HostCalls, Patience};
pub use prepare::digest;

use cache::Cache;

/// How a sandbox is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Runs that may go on at once: sizes the instance pool.
    pub slots: u32,
    /// The most any run may use.
    pub ceiling: RunLimits,
    /// Where compiled modules are kept; made with mode 0700.
    pub cache_dir: PathBuf,
    /// Bytes that compiled modules may take on disk; the oldest go first.
    pub cache_bytes_max: u64,
    /// The program that compiles one module, in a process of its own.
    pub compile_command: CompileCommand,
}

/// A program whose `main` calls [`compile_child`].
#[derive(Clone, Debug)]
pub struct CompileCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// Compiles one module where that can be bounded and ended: native code for this crate's engine, or why there is none.
pub trait Compiler: Send + Sync {
    /// Compiles a module that has been inspected. Blocks.
    ///
    /// # Errors
    /// Why it does not compile within its limits.
    fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, ModuleError>;
}

/// Why a module is no function of this host: a code for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ModuleError {
    /// What programs branch on.
    pub code: ErrorCode,
    /// A sentence that says what to do.
    pub message: String,
}

impl ModuleError {
    /// Names from the module, which may be of any length and hold anything, are among what is said.
    fn bounded(self) -> Self {
        Self { message: harmless(&self.message, MESSAGE_CHARS_MAX), ..self }
    }
}

/// A sentence about a module needs no more, the names of what is offered included.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// Text for people that was made by others: cut, and without control characters, which could drive a terminal.
pub(crate) fn harmless(text: &str, chars_max: usize) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(chars_max).collect()
}

/// The sandbox itself cannot do its work: a broken cache directory, no address space.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SandboxError(pub String);

impl From<SandboxError> for ModuleError {
    fn from(error: SandboxError) -> Self {
        Self { code: ErrorCode::Internal, message: error.0 }
    }
}

/// What a module says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// SHA-256 of the wasm bytes.
    pub digest: ModuleDigest,
    /// How it is called.
    pub abi: Abi,
    /// What it must be granted to run, each once.
    pub needs: Vec<Capability>,
}

/// A module whose compiled artifact is in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// What the module says of itself.
    pub inspected: Inspected,
    /// Time the compile child took, or would have taken for whoever must not learn that the artifact was there; zero where it
    /// was.
    pub compile: Duration,
    /// Whether a compile child ran.
    pub is_compiled: bool,
}

/// Tells one run to stop. Cheap to clone; raised once.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicU8>);

impl StopFlag {
    /// Stops the run at its next tick or wait. The first reason stays.
    pub fn raise(&self, reason: StopReason) {
        let value = match reason {
            StopReason::Cancelled => 1,
            StopReason::Interrupted => 2,
        };
        let _ = self.0.compare_exchange(0, value, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Why the run should stop, if it should.
    #[must_use]
    pub fn reason(&self) -> Option<StopReason> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            1 => Some(StopReason::Cancelled),
            _ => Some(StopReason::Interrupted),
        }
    }
}

/// What is known of a call: the guest may ask about it, but for its grants.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// The task; `None` for a sync invoke, which is not stored.
    pub task: Option<TaskId>,
    /// Which attempt this is.
    pub attempt: Attempt,
    /// Whose function runs.
    pub tenant: TenantId,
    /// The function's name.
    pub function: FunctionName,
    /// When the run is ended.
    pub deadline: Millis,
    /// What the function was granted.
    pub grants: Grants,
}

/// One call of a function.
#[derive(Clone)]
pub struct Call {
    /// The input.
    pub input: Bytes,
    /// What the run may use; capped by the sandbox's ceiling.
    pub limits: RunLimits,
    /// What the guest may ask about.
    pub context: CallContext,
    /// Ends the run from outside.
    pub stop: StopFlag,
    /// Answers what the run is granted to ask for; where there is none, each question is answered as unavailable.
    pub host_calls: Option<Arc<dyn HostCalls>>,
}

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Run {
    /// How it ended.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// The log kept, as text lines; ends with a note where more was logged than may be kept.
    pub log: Bytes,
}

/// What a run used. Times are microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel units; `None` where the engine lost the count.
    pub fuel: Option<u64>,
    /// Wall time.
    pub wall_us: u64,
    /// CPU time of the thread since its run before, at most the wall time. Of most runs below 50 us it is the wall time.
    pub cpu_us: u64,
    /// Time to instantiate, the start function included.
    pub instantiate_us: u64,
    /// Largest linear memory in bytes.
    pub memory_bytes: u64,
}

/// Compiles and runs modules. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    engine: Engine,
    cache: Arc<Cache>,
    compiler: Arc<dyn Compiler>,
    ceiling: RunLimits,
}

/// Where no module is ever compiled.
struct NoCompiler;

impl Compiler for NoCompiler {
    fn compile(&self, _: &[u8]) -> Result<Vec<u8>, ModuleError> {
        let message = "this process runs what was compiled elsewhere".to_owned();
        Err(ModuleError { code: ErrorCode::Internal, message })
    }
}

/// A sandbox all of whose files are open and none of whose threads run: what comes between may lock the process up.
pub struct Unstarted(Sandbox);

impl Unstarted {
    /// Has modules compiled by this, and not by a child of this process.
    #[must_use]
    pub fn compile_with(mut self, compiler: Arc<dyn Compiler>) -> Self {
        self.0.compiler = compiler;
        self
    }

    /// Starts the engine's ticker.
    ///
    /// # Errors
    /// Where the system has no room for its thread.
    pub fn start(self) -> Result<Sandbox, SandboxError> {
        epoch::start(&self.0.engine)?;
        Ok(self.0)
    }
}

impl Sandbox {
    /// Makes the engine, its ticker and its cache.
    ///
    /// # Errors
    /// Where the cache directory or the engine cannot be made.
    pub fn new(options: Options) -> Result<Self, SandboxError> {
        Self::open(options)?.start()
    }

    /// Makes the engine and its cache, and starts no thread.
    ///
    /// # Errors
    /// As [`Sandbox::new`].
    pub fn open(options: Options) -> Result<Unstarted, SandboxError> {
        let engine = engine::pooled(options.slots, &options.ceiling)?;
        let cache = Arc::new(Cache::open(&options.cache_dir, options.cache_bytes_max, &engine)?);
        Ok(Unstarted(Self { engine, cache, compiler: Arc::new(options.compile_command), ceiling: options.ceiling }))
    }

    /// Makes an engine of one slot without a directory or a compiler, for a process that is locked up: it runs what
    /// [`Sandbox::admit`] is given.
    ///
    /// # Errors
    /// Where the engine cannot be made.
    pub fn bare(ceiling: RunLimits) -> Result<Unstarted, SandboxError> {
        let engine = engine::pooled(1, &ceiling)?;
        let cache = Arc::new(Cache::in_memory(&engine)?);
        Ok(Unstarted(Self { engine, cache, compiler: Arc::new(NoCompiler), ceiling }))
    }

    /// Takes a module's compiled code, which [`Sandbox::code`] of the process that started this one gave.
    ///
    /// # Errors
    /// Where it is of another engine, or cannot be linked.
    pub fn admit(&self, digest: &ModuleDigest, code: &[u8]) -> Result<(), ModuleError> {
        self.cache.insert(digest, code, Duration::ZERO)
    }

    /// The compiled code of a module, for a process that this one starts; `None` where no authentic artifact is in the
    /// cache directory. Blocks for a disk read.
    ///
    /// # Errors
    /// Where the cache directory cannot be read.
    pub fn code(&self, digest: &ModuleDigest) -> Result<Option<Vec<u8>>, SandboxError> {
        self.cache.code(digest)
    }

    /// Checks a module's structure against the caps and finds its ABI, without compiling it.
    ///
    /// # Errors
    /// Why it is no function of this host.
    pub fn inspect(&self, wasm: &[u8]) -> Result<Inspected, ModuleError> {
        inspect::inspect(wasm, self.ceiling.memory_bytes).map_err(ModuleError::bounded)
    }

    /// The module with this digest, from memory or from the cache directory; `None` where no authentic artifact is.
    /// Blocks for a disk read where it is not in memory.
    ///
    /// # Errors
    /// Where the cache directory cannot be read.
    pub fn load(&self, digest: &ModuleDigest) -> Result<Option<LoadedModule>, SandboxError> {
        self.cache.load(digest)
    }

    /// The engine's version and settings, which compiled code must match; equal on hosts that can use each other's.
    #[must_use]
    pub fn engine_hash(&self) -> u64 {
        self.cache.engine_hash()
    }

    /// The compiled code of a module for another host, sealed with a key that both know; `None` where no authentic
    /// artifact is in the cache directory. Blocks for a disk read.
    ///
    /// # Errors
    /// Where the cache directory cannot be read.
    pub fn export(&self, digest: &ModuleDigest, key: &ArtifactKey) -> Result<Option<Vec<u8>>, SandboxError> {
        self.cache.export(digest, key)
    }

    /// Adds what [`Sandbox::export`] of another host gave. Blocks for a disk write.
    ///
    /// # Errors
    /// Where it is not authentic for this key, module and engine, or cannot be kept.
    pub fn import(&self, digest: &ModuleDigest, key: &ArtifactKey, sealed: &[u8]) -> Result<(), ModuleError> {
        self.cache.import(digest, key, sealed)
    }

    /// Runs one call on this thread, which needs [`fusebox_core::limits::SLOT_STACK_BYTES`] of stack. Never panics on
    /// what a guest does.
    #[must_use]
    pub fn run(&self, module: &LoadedModule, call: Call) -> Run {
        run::run(&self.engine, module, call, &self.ceiling)
    }
}
