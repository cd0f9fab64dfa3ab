//! Runner of a slot's calls: the sandbox of this process, or a separate process.

use std::time::Instant;

use fusebox_sandbox::{Call, Run, Sandbox};

/// Runs calls on the caller's thread.
pub trait Runner: Send + Sync {
    /// Runs a call to its end. The run's receipt has the time to load the module, 0 if it was in memory.
    ///
    /// # Errors
    /// Fails with the reason why there is no run.
    fn run(&self, call: Call) -> Result<Run, NotRun<Call>>;
}

/// Reason why a call has no run.
#[derive(Debug)]
pub enum NotRun<C> {
    /// The module has no compiled artifact, or the files are not here: get them and run the call, which is given back,
    /// again.
    ModuleMissing(Box<C>),
    /// The process that ran the call is gone; another attempt may succeed.
    Lost(String),
    /// The sandbox failed.
    Broken(String),
}

impl Runner for Sandbox {
    fn run(&self, call: Call) -> Result<Run, NotRun<Call>> {
        let started = Instant::now();
        match self.has_files(call.invocation.files.as_ref()) {
            Ok(true) => {}
            Ok(false) => return Err(NotRun::ModuleMissing(Box::new(call))),
            Err(error) => return Err(NotRun::Broken(error.to_string())),
        }
        match self.load(&call.invocation.module) {
            Ok(Some(module)) => {
                let load_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                let mut run = Self::run(self, &module, call);
                run.receipt.load_us = load_us;
                Ok(run)
            }
            Ok(None) => Err(NotRun::ModuleMissing(Box::new(call))),
            Err(error) => Err(NotRun::Broken(error.to_string())),
        }
    }
}
