//! Runs functions in a sandbox of this process, without a server: the same checks, limits and receipts. Compiled modules
//! are kept in a folder of the user, so that the next command finds them.
//!
//! | file | holds |
//! |---|---|
//! | `calls` | answers to host calls: from what a person supplies, and from memory |
//! | `entries` | the key-value namespace of one run, in memory |
//! | `web` | prepared answers to HTTP requests |

use std::{path::PathBuf, sync::Arc, thread};

use anyhow::Context as _;
use bytes::Bytes;
use fusebox_api::functions::LimitParams;
use fusebox_core::{
    capability::Grants,
    function::RunLimits,
    invocation::Invocation,
    limits::{ARTIFACTS_BYTES_MAX, SLOT_STACK_BYTES},
    name::{FunctionName, TenantId},
    outcome::{Ended, Outcome, Receipt},
    setup::{Setup, Start},
};
use fusebox_sandbox::{
    Call, FilesArchive, HostCalls, Inspected, LoadedModule, ModuleError, ModuleLimits, Options, Sandbox,
};
use fusebox_system::clock::Clock;
use tempfile::TempDir;

use crate::node::parts;

pub(crate) mod calls;
mod entries;
mod web;

/// A sandbox for one run at a time.
pub(crate) struct Local {
    sandbox: Sandbox,
    /// The folder of compiled modules, if it belongs to this process alone.
    _home: Option<TempDir>,
}

/// Function that is ready to run.
#[derive(Clone)]
pub(crate) struct Function {
    /// Its name, which its runs can read.
    pub(crate) name: FunctionName,
    /// Its module, compiled.
    pub(crate) module: LoadedModule,
    /// Properties of the module that inspection found.
    pub(crate) inspected: Inspected,
    /// Limits of each run.
    pub(crate) limits: RunLimits,
    /// Capabilities of each run.
    pub(crate) grants: Grants,
    /// Way to start it.
    pub(crate) setup: Setup,
}

impl Local {
    /// Opens the sandbox. The folder of compiled modules is `FUSEBOX_CACHE`, or `fusebox` in the user's folder for caches;
    /// for a user without one, it lasts as long as this process.
    ///
    /// # Errors
    /// Fails if the folder or the engine cannot be made.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let (dir, home) = match cache_dir() {
            Some(dir) => (dir, None),
            None => {
                let home = tempfile::tempdir().context("make a folder for compiled modules")?;
                (home.path().to_owned(), Some(home))
            }
        };
        std::fs::create_dir_all(&dir).with_context(|| {
            format!("make the folder of compiled modules {}: set FUSEBOX_CACHE to another", dir.display())
        })?;
        let sandbox = Sandbox::new(Options {
            slots: 1,
            ceiling: RunLimits::CEILING,
            // One's own module harms nobody else, and a host may take larger ones than by default.
            modules: ModuleLimits::CEILING,
            cache_dir: dir.join("artifacts"),
            cache_bytes_max: ARTIFACTS_BYTES_MAX,
            compile_command: parts::compile_command()?,
        })?;
        Ok(Self { sandbox, _home: home })
    }

    /// Checks and compiles a module, unless it was compiled before.
    ///
    /// # Errors
    /// Fails with the server's own sentence if the module is not a valid function.
    pub(crate) fn load(&self, wasm: &[u8]) -> anyhow::Result<(Inspected, LoadedModule)> {
        let prepared = self.sandbox.prepare(wasm).map_err(told)?;
        let module = self.sandbox.load(&prepared.inspected.digest)?;
        Ok((prepared.inspected, module.context("the compiled module is gone: try again")?))
    }

    /// Adds a tar of files, and returns the setup that shows them to runs.
    ///
    /// # Errors
    /// Fails with what to change if they cannot be deployed.
    pub(crate) fn with_files(&self, setup: Setup, tar: Option<Vec<u8>>) -> anyhow::Result<Setup> {
        let Some(tar) = tar else { return Ok(setup) };
        let archive = FilesArchive::of(&tar.into())?;
        self.sandbox.add_files(&archive.digest, &archive.bytes)?;
        Ok(Setup { files: Some(archive.digest), files_bytes: archive.bytes.len() as u64, ..setup })
    }

    /// Runs a function to its end.
    ///
    /// # Errors
    /// Fails if the system cannot start a thread.
    pub(crate) fn run(
        &self,
        function: &Function,
        start: Start,
        input: Bytes,
        calls: Arc<dyn HostCalls>,
    ) -> anyhow::Result<Ended> {
        let Function { name, module, inspected, limits, grants, setup } = function.clone();
        let (start, input) = start.entering(inspected.abi, input);
        let tenant = TenantId::default_tenant();
        let invocation = Invocation::plain(tenant, name, inspected.digest, limits, grants, input).started(setup, start);
        let deadline = Clock::System.now().plus(limits.wall_ms.into());
        let call = Call { deadline, host_calls: Some(calls), ..Call::new(invocation) };
        let sandbox = self.sandbox.clone();
        let slot = thread::Builder::new().name("slot".to_owned()).stack_size(SLOT_STACK_BYTES);
        let run = slot.spawn(move || sandbox.run(&module, call))?.join();
        let run =
            run.map_err(|_| anyhow::anyhow!("the run ended with a fault of the host: report it with the module"))?;
        let output_bytes = match &run.outcome {
            Outcome::Returned(output) | Outcome::GuestError { error: output, .. } => output.len() as u64,
            _ => 0,
        };
        let receipt = Receipt { output_bytes, log_bytes: run.log.len() as u64, attempt: 1, ..run.receipt };
        Ok(Ended::new(run.outcome, run.traces, run.log, receipt))
    }
}

/// Checks a module as a host with default settings does at its registration.
///
/// # Errors
/// Fails with the server's own sentence.
pub(crate) fn inspect(wasm: &[u8]) -> anyhow::Result<Inspected> {
    let sandbox = Sandbox::bare(RunLimits::CEILING)?.start()?;
    sandbox.inspect(wasm).map_err(told)
}

/// Returns a refusal as the server gives it: its code and its sentence.
fn told(error: ModuleError) -> anyhow::Error {
    anyhow::anyhow!("{}: {}", error.code, error.message)
}

/// Returns the limits of runs, completed from a host's defaults.
///
/// # Errors
/// Fails with the first limit that no host allows.
pub(crate) fn limits(params: LimitParams) -> anyhow::Result<RunLimits> {
    Ok(params.over(RunLimits::default(), &RunLimits::CEILING)?)
}

fn cache_dir() -> Option<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    var("FUSEBOX_CACHE")
        .or_else(|| var("XDG_CACHE_HOME").map(|dir| dir.join("fusebox")))
        .or_else(|| var("HOME").map(|dir| dir.join(".cache/fusebox")))
}
