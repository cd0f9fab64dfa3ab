//! Runs single calls of guests in wasmtime, each within its limits. The crate knows no network, no store and no
//! tenant's data, and no other crate names wasmtime.
//!
//! | module | holds |
//! |---|---|
//! | `engine` | configuration of the engine, for the host and the compile child |
//! | `epoch` | ticker that lets runs notice their deadline and stop flag |
//! | `inspect` | limits, validity and ABI, checked before compilation |
//! | `trim`, `segments`, `sections` | what compilation does not need: custom sections, boundaries of data segments |
//! | `component` | components: checks, imports, runs |
//! | `compile` | compile child, both sides |
//! | `prepare` | from a module to its artifact, without revealing that another tenant has it |
//! | `options`, `abis` | settings of a sandbox; calling conventions that the operator allows |
//! | `artifact`, `code`, `key`, `disk`, `cache`, `loaded` | compiled modules: authenticated, mapped, on disk within a limit, and in memory |
//! | `limiter` | memory and tables of a run |
//! | `call` | calls of functions, their stop flags, and the resulting runs |
//! | `host` | data of a run: limits, log, stop flag, deadline |
//! | `metered` | links host functions to guests, each with its cost in fuel |
//! | `imports` | functions that guests may call, one file for each capability |
//! | `files` | files of runs: archives, read-only trees, a scratch for each run |
//! | `time` | clocks of guests |
//! | `host_calls` | interface to services that require grants: configuration, secrets, key-value namespace, HTTP |
//! | `exchange`, `reply` | HTTP bodies that are passed on while a run reads or writes them |
//! | `web`, `wasi` | HTTP requests to functions, in the form of each ABI; WASI preview 1, for commands and for core functions that import it |
//! | `extism` | functions and shared memory of plug-ins for Extism |
//! | `named` | calls of exported functions by their name |
//! | `run`, `ending`, `cpu` | one run: instantiation, call, outcome, and CPU time charged |
//!
//! # Example
//! Compiles a function that returns its input, and runs it. The program is its own compile child, as the host is.
//!
//! ```standalone_crate
//! use std::thread;
//!
//! use fusebox_core::{
//!     capability::Grants, function::RunLimits, invocation::Invocation, limits, name::TenantId, outcome::Outcome,
//! };
//! use fusebox_sandbox::{Call, CompileCommand, ModuleLimits, Options, Sandbox, compile_child};
//!
//! const ECHO: &str = r#"
//!     (module
//!         (memory (export "memory") 2)
//!         (func (export "fusebox_alloc") (param $bytes i32) (result i32) (i32.const 1024))
//!         (func (export "fusebox_handle") (param $ptr i32) (param $len i32) (result i32)
//!             ;; The result record at address 0: tag 0 (returned), pointer, length.
//!             (i32.store (i32.const 4) (local.get $ptr))
//!             (i32.store (i32.const 8) (local.get $len))
//!             (i32.const 0)))"#;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     if std::env::args().nth(1).as_deref() == Some("compile-child") {
//!         return Ok(compile_child(fusebox_jail::Setting::Auto)?);
//!     }
//!     let cache = tempfile::tempdir()?;
//!     let sandbox = Sandbox::new(Options {
//!         slots: 1,
//!         ceiling: RunLimits::CEILING,
//!         modules: ModuleLimits::default(),
//!         cache_dir: cache.path().into(),
//!         cache_bytes_max: limits::ARTIFACTS_BYTES_MAX,
//!         compile_command: CompileCommand {
//!             program: std::env::current_exe()?,
//!             args: vec!["compile-child".into()],
//!         },
//!     })?;
//!     let prepared = sandbox.prepare(&wat::parse_str(ECHO)?)?;
//!     let module = sandbox.load(&prepared.inspected.digest)?.ok_or("no artifact")?;
//!
//!     let call = Call::new(Invocation::plain(
//!         TenantId::default_tenant(),
//!         "echo".parse()?,
//!         prepared.inspected.digest,
//!         RunLimits { fuel: 100_000, ..RunLimits::default() },
//!         Grants::default(),
//!         "hello".into(),
//!     ));
//!     let slot = thread::Builder::new().stack_size(limits::SLOT_STACK_BYTES);
//!     let run = slot.spawn(move || sandbox.run(&module, call))?.join().expect("a run never panics");
//!     assert_eq!(run.outcome, Outcome::Returned("hello".into()));
//!     assert!(run.receipt.fuel.is_some_and(|fuel| fuel < 100));
//!     Ok(())
//! }
//! ```

mod abis;
mod artifact;
mod cache;
mod call;
mod code;
mod compile;
mod component;
mod cpu;
mod disk;
mod ending;
mod engine;
mod epoch;
mod exchange;
mod extism;
mod files;
mod host;
mod host_calls;
mod imports;
mod inspect;
mod key;
mod limiter;
mod loaded;
mod log;
mod metered;
mod named;
mod options;
mod prepare;
mod reply;
mod run;
mod sections;
mod segments;
mod time;
mod trim;
mod wasi;
mod web;

use std::{sync::Arc, time::Duration};

use fusebox_core::{
    capability::Capability,
    error::ErrorCode,
    function::{Abi, RunLimits},
    id::ModuleDigest,
};
use wasmtime::Engine;

pub use abis::{AbiSet, AbiSetError};
pub use artifact::ArtifactKey;
pub use call::{Call, Run, StopFlag};
pub use compile::{compile_child, compile_time_max};
pub use exchange::{BrokenBody, CLIENT_STALL, Exchange, Piece, Pieces, RequestBody};
pub use files::{
    archive::{FilesArchive, FilesError},
    store::AddError,
};
pub use host_calls::{Guest, HostCalls, WaitLimit};
pub use loaded::LoadedModule;
pub use options::{CompileCommand, ModuleLimits, Options};
pub use prepare::digest;
pub use trim::stripped;

use cache::Cache;

/// Compiles single modules, bounded and abortable, to native code for this crate's engine.
pub trait Compiler: Send + Sync {
    /// Compiles a module that has been inspected, and returns the CPU time that this took, also if it failed; zero if
    /// that is unknown. Fails if the module does not compile within its limits. Blocks.
    fn compile(&self, wasm: &[u8]) -> (Result<Vec<u8>, ModuleError>, Duration);
}

/// Time that a compilation took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompileTime {
    /// Wall time.
    pub wall: Duration,
    /// CPU time; zero if it is unknown or too short to be counted.
    pub cpu: Duration,
}

impl CompileTime {
    /// No time: the artifact came from elsewhere, or was there.
    pub const NONE: Self = Self { wall: Duration::ZERO, cpu: Duration::ZERO };

    /// Returns the time that a tenant is charged: that of the CPU, which does not depend on what else the machine does,
    /// or wall time where it is unknown.
    #[must_use]
    pub const fn charged(self) -> Duration {
        if self.cpu.is_zero() { self.wall } else { self.cpu }
    }
}

/// Error of a module that this host cannot run, with a code for programs and a message for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ModuleError {
    /// Code for programs.
    pub code: ErrorCode,
    /// Sentence that describes the problem and the remedy.
    pub message: String,
}

impl ModuleError {
    /// Sanitizes the message, which may contain names from the module, of any length and content.
    fn bounded(self) -> Self {
        Self { message: harmless(&self.message, MESSAGE_CHARS_MAX), ..self }
    }
}

/// Maximum length of a message about a module, including the names of all functions provided.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// Truncates text that was supplied by others and removes control characters, which could control a terminal.
pub(crate) fn harmless(text: &str, chars_max: usize) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(chars_max).collect()
}

/// Failure of the sandbox itself, for example a broken cache directory or lack of address space.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SandboxError(pub String);

impl From<SandboxError> for ModuleError {
    fn from(error: SandboxError) -> Self {
        Self { code: ErrorCode::Internal, message: error.0 }
    }
}

/// Properties of a module found by inspection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// SHA-256 of the wasm bytes.
    pub digest: ModuleDigest,
    /// Calling convention.
    pub abi: Abi,
    /// Capabilities that it must be granted, without duplicates.
    pub needs: Vec<Capability>,
    /// Size of its code.
    pub code_bytes: u64,
}

/// A module whose compiled artifact is in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Properties of the module.
    pub inspected: Inspected,
    /// Time that the compile child took, or would have taken if the caller must not learn that the artifact existed;
    /// zero if it existed.
    pub compile: Duration,
    /// True if a compile child ran.
    pub is_compiled: bool,
}

/// Compiles and runs modules. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    engine: Engine,
    cache: Arc<Cache>,
    compiler: Arc<dyn Compiler>,
    ceiling: RunLimits,
    modules: ModuleLimits,
}

/// Compiler of a process that never compiles.
struct NoCompiler;

impl Compiler for NoCompiler {
    fn compile(&self, _: &[u8]) -> (Result<Vec<u8>, ModuleError>, Duration) {
        let message = "this process does not compile modules".to_owned();
        (Err(ModuleError { code: ErrorCode::Internal, message }), Duration::ZERO)
    }
}

/// A sandbox with all files open and no threads started, which leaves the process free to lock itself up first.
pub struct Unstarted(Sandbox);

impl Unstarted {
    /// Replaces the compile child of this process by another compiler.
    #[must_use]
    pub fn compile_with(mut self, compiler: Arc<dyn Compiler>) -> Self {
        self.0.compiler = compiler;
        self
    }

    /// Starts the engine's ticker.
    ///
    /// # Errors
    /// Fails if the system cannot create its thread.
    pub fn start(self) -> Result<Sandbox, SandboxError> {
        epoch::start(&self.0.engine)?;
        Ok(self.0)
    }
}

impl Sandbox {
    /// Creates the engine, its ticker and its cache.
    ///
    /// # Errors
    /// Fails if the cache directory or the engine cannot be created.
    pub fn new(options: Options) -> Result<Self, SandboxError> {
        Self::open(options)?.start()
    }

    /// Creates the engine and its cache without starting a thread.
    ///
    /// # Errors
    /// Same as [`Sandbox::new`].
    pub fn open(options: Options) -> Result<Unstarted, SandboxError> {
        let engine = engine::pooled(options.slots, &options.ceiling)?;
        let mut cache = Cache::open(&options.cache_dir, options.cache_bytes_max, &engine)?;
        cache.abis = options.modules.abis;
        let cache = Arc::new(cache);
        let compiler = Arc::new(options.compile_command);
        Ok(Unstarted(Self { engine, cache, compiler, ceiling: options.ceiling, modules: options.modules }))
    }

    /// Creates an engine with a single slot and neither a directory nor a compiler, for a jailed process that runs
    /// modules passed to [`Sandbox::admit`].
    ///
    /// # Errors
    /// Fails if the engine cannot be created.
    pub fn bare(ceiling: RunLimits) -> Result<Unstarted, SandboxError> {
        let engine = engine::pooled(1, &ceiling)?;
        let cache = Arc::new(Cache::in_memory(&engine)?);
        Ok(Unstarted(Self { engine, cache, compiler: Arc::new(NoCompiler), ceiling, modules: ModuleLimits::default() }))
    }

    /// Adds a module's compiled code, obtained by [`Sandbox::code`] in the process that started this one.
    ///
    /// # Errors
    /// Fails if the code belongs to another engine or cannot be linked.
    pub fn admit(&self, digest: &ModuleDigest, code: &[u8]) -> Result<(), ModuleError> {
        self.cache.insert(digest, code, CompileTime::NONE)
    }

    /// Returns the compiled code of a module, for a process started by this one; `None` if the cache directory contains
    /// no authentic artifact. Blocks for a disk read.
    ///
    /// # Errors
    /// Fails if the cache directory cannot be read.
    pub fn code(&self, digest: &ModuleDigest) -> Result<Option<Vec<u8>>, SandboxError> {
        self.cache.code(digest)
    }

    /// Keeps a module's compiled code in the cache directory while this process lives, however much is added.
    pub fn pin(&self, digest: &ModuleDigest) {
        self.cache.pin(digest);
    }

    /// Checks a module's structure and determines its ABI without compiling it.
    ///
    /// # Errors
    /// Returns an error if this host cannot run the module.
    pub fn inspect(&self, wasm: &[u8]) -> Result<Inspected, ModuleError> {
        let inspected = inspect::inspect(wasm, self.modules, self.ceiling.memory_bytes);
        let inspected = inspected.map_err(ModuleError::bounded)?;
        self.modules.abis.check(inspected.abi, inspect::is_component(wasm))?;
        Ok(inspected)
    }

    /// Returns the module with this digest from memory or the cache directory; `None` if there is no authentic
    /// artifact. Blocks for a disk read unless the module is in memory.
    ///
    /// # Errors
    /// Fails if the cache directory cannot be read.
    pub fn load(&self, digest: &ModuleDigest) -> Result<Option<LoadedModule>, SandboxError> {
        self.cache.load(digest)
    }

    /// Returns whether runs of a module read the body of an HTTP request as it arrives, and have their response passed
    /// on as it is written; `None` if the module is not in memory.
    #[must_use]
    pub fn streams(&self, digest: &ModuleDigest) -> Option<bool> {
        self.cache.loaded(digest).map(|module| web::streams(&module))
    }

    /// Returns the hash of the engine's version and settings, which compiled code must match. Hosts with equal hashes
    /// can exchange artifacts.
    #[must_use]
    pub fn engine_hash(&self) -> u64 {
        self.cache.engine_hash()
    }

    /// Returns the compiled code of a module for another host, authenticated with a shared key; `None` if the cache
    /// directory contains no authentic artifact. Blocks for a disk read.
    ///
    /// # Errors
    /// Fails if the cache directory cannot be read.
    pub fn export(&self, digest: &ModuleDigest, key: &ArtifactKey) -> Result<Option<Vec<u8>>, SandboxError> {
        self.cache.export(digest, key)
    }

    /// Adds the result of [`Sandbox::export`] on another host. Blocks for a disk write.
    ///
    /// # Errors
    /// Fails if the artifact is not authentic for this key, module and engine, or cannot be stored.
    pub fn import(&self, digest: &ModuleDigest, key: &ArtifactKey, sealed: &[u8]) -> Result<(), ModuleError> {
        self.cache.import(digest, key, sealed)
    }

    /// Runs one call, whose files must be here, on the current thread, which needs
    /// [`fusebox_core::limits::SLOT_STACK_BYTES`] of stack. Never panics, whatever the guest does.
    #[must_use]
    pub fn run(&self, module: &LoadedModule, call: Call) -> Run {
        web::run(module, call, &self.ceiling, |call| match self.tree_of(&call) {
            Ok(tree) => run::run(&self.engine, module, tree, call, &self.ceiling),
            Err(interrupted) => *interrupted,
        })
    }
}
