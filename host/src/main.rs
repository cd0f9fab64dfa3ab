//! The `fusebox` program: reads the command line and the settings, starts the log, runs the command and returns its
//! exit code.

use std::process::ExitCode;

use fusebox::cli::{Cli, config, environment, reload::Reload, report, run};
use fusebox_ui::{self as ui, OutputFormat, lines};

/// A request makes about a hundred small allocations; this allocator serves them with a third of the system allocator's
/// work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    environment::forget_empty();
    let config::Parsed { cli, dump, settings } = match config::parse() {
        Ok(parsed) => parsed,
        Err(error) => return report::report(&error, OutputFormat::Text),
    };
    if let Some(settings) = dump {
        return ui::say(settings.trim_end()).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    // Must come before any thread or runtime is started: some processes lock themselves up first.
    if let Some(code) = run::first(&cli.command) {
        return code;
    }
    let Cli { log, command, output, .. } = cli;
    let started = log.start(command.log_filter());
    let ran = started.and_then(|log| run::run(command, output, Reload { settings, log }));
    let code = ran.map_or_else(|error| report::report(&error, output.format()), |()| ExitCode::SUCCESS);
    lines::flush();
    code
}
