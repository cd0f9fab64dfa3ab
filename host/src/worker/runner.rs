//! What runs a slot's call: the sandbox of this process, or a process of its own.

use std::time::Instant;

use fusebox_core::id::ModuleDigest;
use fusebox_sandbox::{Call, Run, Sandbox};

/// Runs calls, on the thread that asks.
pub trait Runner: Send + Sync {
    /// Runs one call of a module to its end.
    fn run(&self, module: &ModuleDigest, call: Call) -> Attempted;
}

/// What came of a call.
pub enum Attempted {
    /// It ran.
    Ran {
        /// The run.
        run: Run,
        /// Time to load the compiled module; 0 where it was in memory.
        load_us: u64,
    },
    /// There is no compiled artifact of the module.
    Missing,
    /// The process that ran it is gone.
    Lost(String),
    /// The sandbox cannot do its work.
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
