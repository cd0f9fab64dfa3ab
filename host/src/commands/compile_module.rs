//! `fusebox compile-module`: one module from stdin to stdout, compiled, in a process that limits itself first. Run by the
//! host; not for people.

use std::process::ExitCode;

use clap::Args;

use super::jail::JailArg;
use crate::ui;

/// How it is locked up.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompileArgs {
    /// Whether it may start where the kernel lacks a part of the jail
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
