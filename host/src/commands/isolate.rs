//! Where runs happen that no worker of another process does: on threads of this one, or in processes that are locked up.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use fusebox_core::function::RunLimits;
use fusebox_jail::{Setting, User};
use fusebox_sandbox::Sandbox;

use super::{jail::JailArg, parts};
use crate::worker::{
    apart::{Apart, Start},
    runner::Runner,
    slots::EXTRA_SLOTS,
};

/// What is between a guest and the rest of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum IsolateArg {
    /// WebAssembly alone: slots are threads of this process
    #[default]
    None,
    /// Also a process that is locked up, for each tenant and run
    Process,
}

/// How runs are kept apart.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Isolation")]
pub struct IsolateArgs {
    /// The wall between guests and the rest of the host, in local mode
    #[arg(long, env = "FUSEBOX_ISOLATE", value_enum, default_value_t, value_name = "HOW")]
    pub isolate: IsolateArg,
    /// Whether a process of a run may start where the kernel lacks a part of its jail
    #[arg(long, env = "FUSEBOX_JAIL", value_enum, default_value_t)]
    pub jail: JailArg,
}

impl IsolateArgs {
    /// What runs the calls of `slots` slots.
    ///
    /// # Errors
    /// Where processes of their own cannot be started, or lack a part of a jail that is required.
    pub fn runner(&self, sandbox: &Sandbox, slots: u32, ceiling: RunLimits) -> anyhow::Result<Arc<dyn Runner>> {
        if self.isolate == IsolateArg::None {
            return Ok(Arc::new(sandbox.clone()));
        }
        let jail = Setting::from(self.jail).to_string();
        let arguments = ["slot", "--jail", &jail].map(str::to_owned).to_vec();
        let start = Start { program: parts::program()?, arguments, ceiling };
        let apart = Apart::new(sandbox.clone(), start, slots + EXTRA_SLOTS);
        let apart = apart.map_err(|error| anyhow::anyhow!("runs cannot have processes of their own here: {error}"))?;
        Ok(Arc::new(apart))
    }

    /// Says so where strangers share this process: whoever gives out keys expects more than one kind of guest.
    pub fn warn_where_shared(&self, has_keys: bool) {
        if has_keys && self.isolate == IsolateArg::None {
            tracing::warn!(
                "there are API keys, and all tenants' functions run in this process: --isolate=process puts a second wall \
                 between them, and workers of other processes have one of their own"
            );
        }
    }
}

/// How a slot's process is started; run by the host, not for people.
#[derive(Clone, Copy, Debug, Args)]
pub struct SlotArgs {
    /// Whether it may start where the kernel lacks a part of the jail
    #[arg(long, value_enum, default_value_t)]
    pub jail: JailArg,
}

/// Runs what the parent process sends.
#[must_use]
pub fn run_slot(args: SlotArgs) -> std::process::ExitCode {
    match crate::worker::apart::slot::run(args.jail.into(), User::NOBODY) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            crate::ui::note(format!("the process of a slot ends: {error}"));
            std::process::ExitCode::FAILURE
        }
    }
}
