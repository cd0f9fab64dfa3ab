//! Runs guests in separate processes, each locked up and of one tenant: a guest that breaks out of WebAssembly finds a
//! process with nothing but the input of its own run and the memory of its own tenant's.
//!
//! | module | holds |
//! |---|---|
//! | `messages` | messages between parent and process |
//! | `process` | the parent's side of one process |
//! | `relay` | bodies of an exchange, passed between its client and the process |
//! | [`slot`] | the process itself |
//! | `bodies` | the exchange of a run in the process |
//!
//! A process starts for a tenant's first run, is kept for the next ones, and ends when another tenant needs its place.
//! It never changes its tenant.

mod bodies;
mod messages;
mod process;
mod relay;
pub mod slot;

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use fusebox_core::{function::RunLimits, name::TenantId};
use fusebox_sandbox::{Call, Run, Sandbox};

use super::runner::{NotRun, Runner};
use process::GuestProcess;

/// Command that starts a slot's process.
#[derive(Clone, Debug)]
pub struct Start {
    /// This program.
    pub program: PathBuf,
    /// Arguments that make it a slot.
    pub arguments: Vec<String>,
    /// Largest limits of any run.
    pub ceiling: RunLimits,
}

/// Runner that uses separate processes.
pub struct ProcessPool {
    /// Holds the compiled modules; runs nothing.
    sandbox: Sandbox,
    start: Start,
    /// Processes without a run, the most recently used one last.
    idle: Mutex<Vec<GuestProcess>>,
    idle_max: usize,
}

impl ProcessPool {
    /// Starts one process as a trial, so that faults show before the first run. At most `slots` run, and as many are
    /// kept idle.
    ///
    /// # Errors
    /// Fails if a process cannot be started or locked up here.
    pub fn new(sandbox: Sandbox, start: Start, slots: u32) -> std::io::Result<Self> {
        let process = GuestProcess::start(&start, TenantId::default_tenant())?;
        let (holds, lacks) = process.report();
        match lacks.is_empty() {
            true => tracing::info!(holds, "runs of each tenant are isolated in jailed processes"),
            false => {
                tracing::warn!(holds, lacks, "runs of each tenant are isolated in processes whose jail is incomplete")
            }
        }
        Ok(Self {
            sandbox,
            start,
            idle: Mutex::new(vec![process]),
            idle_max: usize::try_from(slots).unwrap_or(usize::MAX),
        })
    }

    /// Takes an idle process of this tenant, or starts a new one.
    fn take(&self, tenant: &TenantId) -> std::io::Result<GuestProcess> {
        let own = {
            let mut idle = self.idle();
            let at = idle.iter().rposition(|process| process.tenant() == tenant);
            at.map(|at| idle.remove(at))
        };
        match own {
            Some(process) => Ok(process),
            None => GuestProcess::start(&self.start, tenant.clone()),
        }
    }

    fn give_back(&self, process: GuestProcess) {
        let leaving = {
            let mut idle = self.idle();
            idle.push(process);
            (idle.len() > self.idle_max).then(|| idle.remove(0))
        };
        // Killed and reaped without the lock.
        drop(leaving);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<GuestProcess>> {
        // The list is consistent wherever a holder could panic, so poisoning can be ignored.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runner for ProcessPool {
    fn run(&self, call: Call) -> Result<Run, NotRun<Call>> {
        let mut process = self
            .take(&call.invocation.tenant)
            .map_err(|error| NotRun::Broken(format!("a slot's process cannot be started: {error}")))?;
        let ran = process.run(&self.sandbox, &self.start.ceiling, &call);
        // Dropping a process kills it.
        if process.is_usable() {
            self.give_back(process);
        }
        ran.map_err(|error| match error {
            NotRun::ModuleMissing(_) => NotRun::ModuleMissing(Box::new(call)),
            NotRun::Lost(reason) => NotRun::Lost(reason),
            NotRun::Broken(reason) => NotRun::Broken(reason),
        })
    }
}

#[cfg(test)]
mod tests;
