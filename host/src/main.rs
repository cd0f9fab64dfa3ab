//! The `fusebox` program: read the command line and the settings, start the log, run the command, exit code.

use std::process::ExitCode;

use fusebox::{
    cli::{Command, OutputFormat},
    commands, config, ui,
};

fn main() -> ExitCode {
    let config::Parsed { cli, dump } = match config::parse() {
        Ok(parsed) => parsed,
        Err(error) => return ui::report(&error, OutputFormat::Text),
    };
    if let Some(settings) = dump {
        return ui::say(settings.trim_end()).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
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
