//! The `fusebox` program: read the command line and the settings, start the log, run the command, exit code.

use std::process::ExitCode;

use fusebox::{
    cli::{Command, OutputFormat},
    commands, config, ui,
};

/// A request is some hundred small allocations, which this one does with a third of the system's work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config::Parsed { cli, dump } = match config::parse() {
        Ok(parsed) => parsed,
        Err(error) => return ui::report(&error, OutputFormat::Text),
    };
    if let Some(settings) = dump {
        return ui::say(settings.trim_end()).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    // These lock their own process up first: nothing may be started before.
    match &cli.command {
        Command::CompileModule(args) => return commands::compile_module::run(*args),
        Command::Helper(args) => return commands::helper::run(args),
        Command::EgressProxy(args) => return commands::egress_proxy::run(args),
        Command::Slot(args) => return commands::isolate::run_slot(*args),
        Command::Drill(args) => return commands::drill::run(args),
        _ => {}
    }
    let ran = cli.log.start(cli.command.log_filter()).and_then(|()| commands::run(cli.command, cli.output));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ui::report(&error, cli.output),
    }
}
