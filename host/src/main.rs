//! The `fusebox` program: parse, start the log, run the command, exit code.

use std::process::ExitCode;

use clap::Parser as _;
use fusebox::{
    cli::{Cli, Command},
    commands, ui,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The compile child limits its own process first: nothing may be started before.
    if let Command::CompileModule = cli.command {
        return commands::compile_module::run();
    }
    let ran = cli.log.start(cli.command.log_filter()).and_then(|()| commands::run(cli.command, cli.output));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ui::report(&error, cli.output),
    }
}
