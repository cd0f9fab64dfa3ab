//! Isolation of runs in this process's own slots: on its threads, or in jailed processes.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use fusebox_core::function::RunLimits;
use fusebox_jail::{Setting, User};
use fusebox_sandbox::Sandbox;

use crate::{
    node::{jail::JailArg, parts},
    worker::{
        isolate::{ProcessPool, Start},
        runner::Runner,
        slots::EXTRA_SLOTS,
    },
};

/// Boundary between a guest and the rest of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum IsolateArg {
    /// WebAssembly alone: slots are threads of this process
    #[default]
    None,
    /// Also a jailed process, which serves one tenant, one run at a time
    Process,
}

/// Isolation of runs.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Isolation")]
pub struct IsolateArgs {
    /// Boundary between guests and the rest of the host, in local mode
    #[arg(long, env = "FUSEBOX_ISOLATE", value_enum, default_value_t, value_name = "HOW")]
    pub isolate: IsolateArg,
    /// How strictly to require the jail of a run's process where the kernel lacks a part of it
    #[arg(long, env = "FUSEBOX_JAIL", value_enum, default_value_t)]
    pub jail: JailArg,
}

impl IsolateArgs {
    /// Returns the runner for the calls of `slots` slots.
    ///
    /// # Errors
    /// Fails if processes cannot be started, or a layer of a required jail is missing.
    pub fn runner(&self, sandbox: &Sandbox, slots: u32, ceiling: RunLimits) -> anyhow::Result<Arc<dyn Runner>> {
        if self.isolate == IsolateArg::None {
            return Ok(Arc::new(sandbox.clone()));
        }
        let jail = Setting::from(self.jail).to_string();
        let arguments = ["slot", "--jail", &jail].map(str::to_owned).to_vec();
        let start = Start { program: parts::program()?, arguments, ceiling };
        let apart = ProcessPool::new(sandbox.clone(), start, slots + EXTRA_SLOTS);
        let apart = apart.map_err(|error| anyhow::anyhow!("cannot start separate processes for runs: {error}"))?;
        Ok(Arc::new(apart))
    }

    /// Warns if different tenants' guests share this process: a host with keys likely has more than one tenant.
    pub fn warn_where_shared(&self, has_keys: bool) {
        if has_keys && self.isolate == IsolateArg::None {
            tracing::warn!(
                "there are API keys, and all tenants' functions run in this process: --isolate=process puts a second wall \
                 between them, and workers of other processes have one of their own"
            );
        }
    }
}

/// Settings of a slot's process; started by the host, not by people.
#[derive(Clone, Copy, Debug, Args)]
pub struct SlotArgs {
    /// How strictly to require the jail where the kernel lacks a part of it
    #[arg(long, value_enum, default_value_t)]
    pub jail: JailArg,
}

/// Runs the calls that the parent process sends.
#[must_use]
pub fn run_slot(args: SlotArgs) -> std::process::ExitCode {
    match crate::worker::isolate::slot::run(args.jail.into(), User::NOBODY) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            fusebox_ui::note(format!("the process of a slot ends: {error}"));
            std::process::ExitCode::FAILURE
        }
    }
}
