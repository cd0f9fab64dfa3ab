//! `fusebox compile-module`: one module from stdin to stdout, compiled, in a process that limits itself first. Run by the
//! host; not for people.

use std::process::ExitCode;

use crate::ui;

/// Compiles the module on stdin.
#[must_use]
pub fn run() -> ExitCode {
    match fusebox_sandbox::compile_child() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui::note(error.to_string());
            ExitCode::FAILURE
        }
    }
}
