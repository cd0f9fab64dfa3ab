//! Runs in processes of their own, each locked up and each of one tenant: where a guest breaks out of WebAssembly, it finds
//! a process that has nothing but the input of its own run and the memory of its own tenant's.
//!
//! | module | holds |
//! |---|---|
//! | `messages` | what parent and slot say to each other |
//! | `cell` | one process, seen from its parent: fed, watched, ended in time |
//! | [`slot`] | the process itself |
//!
//! A process is started for a tenant's first run, kept for its next ones, and ended when others need its place. It is never
//! given to another tenant.

mod cell;
mod messages;
pub mod slot;

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use fusebox_core::{function::RunLimits, id::ModuleDigest, name::TenantId};
use fusebox_sandbox::{Call, Sandbox};

use super::runner::{Attempted, Runner};
use cell::{Cell, End};

/// How a slot's process is started.
#[derive(Clone, Debug)]
pub struct Start {
    /// This program.
    pub program: PathBuf,
    /// What makes it a slot.
    pub arguments: Vec<String>,
    /// The most any run may use.
    pub ceiling: RunLimits,
}

/// See the module's documentation.
pub struct Apart {
    /// Keeps the compiled modules; runs nothing.
    sandbox: Sandbox,
    start: Start,
    /// Processes that run nothing now; the one that was used last comes last.
    idle: Mutex<Vec<Cell>>,
    idle_max: usize,
}

impl Apart {
    /// Starts and tries one process, so that what is wrong is seen before any run. At most `slots` run, and as many wait.
    ///
    /// # Errors
    /// Why slots cannot be processes of their own here.
    pub fn new(sandbox: Sandbox, start: Start, slots: u32) -> std::io::Result<Self> {
        let cell = Cell::start(&start, TenantId::default_tenant())?;
        let (holds, lacks) = cell.report();
        match lacks.is_empty() {
            true => tracing::info!(holds, "each tenant's runs are in processes of their own, which are locked up"),
            false => {
                tracing::warn!(holds, lacks, "each tenant's runs are in processes of their own, which lack a wall")
            }
        }
        Ok(Self {
            sandbox,
            start,
            idle: Mutex::new(vec![cell]),
            idle_max: usize::try_from(slots).unwrap_or(usize::MAX),
        })
    }

    /// A process that this tenant has used before, or a new one.
    fn take(&self, tenant: &TenantId) -> std::io::Result<Cell> {
        let own = {
            let mut idle = self.idle();
            let at = idle.iter().rposition(|cell| cell.tenant() == tenant);
            at.map(|at| idle.remove(at))
        };
        match own {
            Some(cell) => Ok(cell),
            None => Cell::start(&self.start, tenant.clone()),
        }
    }

    fn give_back(&self, cell: Cell) {
        let leaving = {
            let mut idle = self.idle();
            idle.push(cell);
            (idle.len() > self.idle_max).then(|| idle.remove(0))
        };
        // Killed and buried without the lock.
        drop(leaving);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Cell>> {
        // The list is sound at every moment a holder could panic, so a poisoned lock is still a good one.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runner for Apart {
    fn run(&self, module: &ModuleDigest, call: Call) -> Attempted {
        let mut cell = match self.take(&call.context.tenant) {
            Ok(cell) => cell,
            Err(error) => return Attempted::Broken(format!("a slot's process cannot be started: {error}")),
        };
        let end = cell.run(&self.sandbox, &self.start.ceiling, module, &call);
        match end {
            End::Ran { run, load_us } => {
                self.give_back(cell);
                Attempted::Ran { run, load_us }
            }
            End::Missing => {
                self.give_back(cell);
                Attempted::Missing
            }
            End::Broken(reason) => {
                self.give_back(cell);
                Attempted::Broken(reason)
            }
            // It is killed, whatever it is doing.
            End::Overdue(run) => Attempted::Ran { run, load_us: 0 },
            End::Lost(reason) => Attempted::Lost(reason),
        }
    }
}
