//! `fusebox compile-module`: compiles one module from stdin to stdout, in a process that limits itself first. Started
//! by the host, not by people.

use std::process::ExitCode;

use clap::Args;
use fusebox_ui as ui;

use crate::node::jail::JailArg;

/// Settings of the compile child's jail.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompileArgs {
    /// How strictly to require the jail where the kernel lacks a part of it
    #[arg(long, value_enum, default_value_t)]
    pub jail: JailArg,
}

/// Compiles the module on stdin.
#[must_use]
pub fn run(args: CompileArgs) -> ExitCode {
    match fusebox_sandbox::compile_child(args.jail.into()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui::note(error.to_string());
            ExitCode::FAILURE
        }
    }
}
