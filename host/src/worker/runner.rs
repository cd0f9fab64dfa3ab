//! Runner of a slot's calls: the sandbox of this process, or a separate process.

use std::time::Instant;

use fusebox_core::id::ModuleDigest;
use fusebox_sandbox::{Call, Run, Sandbox};

/// Runs calls on the caller's thread.
pub trait Runner: Send + Sync {
    /// Runs one call of a module to its end.
    fn run(&self, module: &ModuleDigest, call: Call) -> Attempted;
}

/// Result of a call.
pub enum Attempted {
    /// The call ran.
    Ran {
        /// Its run.
        run: Run,
        /// Time to load the compiled module; 0 if it was in memory.
        load_us: u64,
    },
    /// The module has no compiled artifact.
    Missing,
    /// The process that ran the call is gone.
    Lost(String),
    /// The sandbox failed.
    Broken(String),
}

impl Runner for Sandbox {
    fn run(&self, module: &ModuleDigest, call: Call) -> Attempted {
        let started = Instant::now();
        match self.load(module) {
            Ok(Some(module)) => {
                let load_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                Attempted::Ran { run: Self::run(self, &module, call), load_us }
            }
            Ok(None) => Attempted::Missing,
            Err(error) => Attempted::Broken(error.to_string()),
        }
    }
}
