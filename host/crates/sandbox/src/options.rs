//! Settings of a sandbox, and the limits of modules that an operator may set.

use std::{ffi::OsString, path::PathBuf};

use fusebox_core::{function::RunLimits, limits};

use crate::AbiSet;

/// Settings of a sandbox.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of concurrent runs; determines the size of the instance pool.
    pub slots: u32,
    /// Ceiling of the limits of every run.
    pub ceiling: RunLimits,
    /// Limits of modules.
    pub modules: ModuleLimits,
    /// Directory of compiled modules, created with mode 0700.
    pub cache_dir: PathBuf,
    /// Maximum size of compiled modules on disk in bytes; the oldest are removed first.
    pub cache_bytes_max: u64,
    /// Program that compiles one module in a separate process.
    pub compile_command: CompileCommand,
}

/// Limits of modules that an operator may set; all others are in `fusebox_core::limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleLimits {
    /// Size of a module.
    pub bytes: u64,
    /// Size of its code, which determines the time of its compilation.
    pub code_bytes: u64,
    /// Calling conventions that are run; a component requires that of its world and [`fusebox_core::function::Abi::Component`].
    pub abis: AbiSet,
}

impl ModuleLimits {
    /// Limits of a process that takes no uploads: other processes have accepted its modules, with limits of their own.
    pub const CEILING: Self =
        Self { bytes: limits::MODULE_BYTES_CEILING, code_bytes: limits::CODE_BYTES_CEILING, abis: AbiSet::ALL };

    /// Returns another bound on the cost of compilation, which grows with the size of the code that is allowed: an
    /// operator who allows for more code allows for as much more of everything.
    pub(crate) fn scaled(&self, bound: u64) -> u64 {
        bound * self.code_bytes.max(limits::CODE_BYTES_MAX) / limits::CODE_BYTES_MAX
    }
}

impl Default for ModuleLimits {
    fn default() -> Self {
        Self { bytes: limits::MODULE_BYTES_MAX, code_bytes: limits::CODE_BYTES_MAX, abis: AbiSet::ALL }
    }
}

/// A program whose `main` calls [`crate::compile_child`].
#[derive(Clone, Debug)]
pub struct CompileCommand {
    /// Path of the program.
    pub program: PathBuf,
    /// Arguments of the program.
    pub args: Vec<OsString>,
}
