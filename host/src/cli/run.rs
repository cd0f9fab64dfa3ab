//! The way from a parsed command to its end: what must come before any thread starts, the runtime, the command itself.

use std::{process::ExitCode, thread::available_parallelism};

use fusebox_core::dispatch::Mode;
use fusebox_ui::{OutputChoice, OutputFormat, lines};
use tokio::runtime::Builder;

use crate::{
    cli::{
        Command, batch, dead_letters, deploy, doctor, drill, functions, invoke, keys, logs, project, reload::Reload,
        report, settings, store, tasks, tenants, workers,
    },
    node::{compile_module, confine, dispatcher, egress_proxy, helper, init, serve, slot, up, worker},
};

/// Handles the commands that must run before anything else starts: some processes enter their jail first, and a server
/// that is a container's first process becomes two. Returns `None` if the command is still to be run.
#[must_use]
pub fn first(command: &Command) -> Option<ExitCode> {
    match command {
        Command::CompileModule(args) => Some(compile_module::run(*args)),
        Command::Helper(args) => Some(helper::run(args)),
        Command::EgressProxy(args) => Some(egress_proxy::run(args)),
        Command::Slot(args) => Some(slot::run_slot(*args)),
        Command::Drill(args) => Some(drill::run(args)),
        command if command.is_server() => {
            fusebox_jail::ignore_hangup();
            if init::is_first() {
                return Some(init::run().unwrap_or_else(|error| report::report(&error, OutputFormat::Text)));
            }
            lines::queue();
            None
        }
        _ => None,
    }
}

/// Runs a command to its end. A server reloads its settings through `reload` at SIGHUP.
///
/// # Errors
/// Fails if the command failed; [`crate::cli::report`] prints the error and picks the exit code.
pub fn run(command: Command, output: OutputChoice, reload: Reload) -> anyhow::Result<()> {
    // A worker confines itself before the runtime starts threads.
    let confined = match &command {
        Command::PushWorker(args) | Command::PullWorker(args) => Some(confine::worker(args)?),
        _ => None,
    };
    lines::start();
    let runtime = runtime(&command).enable_all().build()?;
    let ran = runtime.block_on(async {
        if command.is_server() {
            tokio::spawn(reload.follow());
        }
        match (command, confined) {
            (Command::PushWorker(args), Some(confined)) => worker::run(args, confined, Mode::Push).await,
            (Command::PullWorker(args), Some(confined)) => worker::run(args, confined, Mode::Pull).await,
            (command, _) => others(command, output).await,
        }
    });
    // Work on a blocking thread, such as a compilation, must not delay the end.
    runtime.shutdown_background();
    ran
}

fn runtime(command: &Command) -> Builder {
    match command {
        // One state machine with its links: on one thread, no step waits for another thread to wake up.
        Command::Dispatcher(_) | Command::PushWorker(_) | Command::PullWorker(_) => Builder::new_current_thread(),
        // One thread accepts more tasks than one Redis can store. Fewer threads wake each other less and hand in more
        // tasks at once: on two cores, one thread accepts 1.1 times as many tasks as two.
        Command::Serve(_) => {
            let mut runtime = Builder::new_multi_thread();
            runtime.worker_threads(available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)));
            runtime
        }
        _ => Builder::new_multi_thread(),
    }
}

async fn others(command: Command, output: OutputChoice) -> anyhow::Result<()> {
    let format = output.format();
    match command {
        Command::Up(args) => up::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Dispatcher(args) => dispatcher::run(args).await,
        Command::New(args) => project::new::run(&args),
        Command::Build(args) => project::build::run(&args, format),
        Command::Test(args) => project::test::run(&args, format),
        Command::Dev(args) => project::dev::run(args).await,
        Command::Run(args) => project::once::run(args, format).await,
        Command::Schema(args) => project::schema::run(&args),
        Command::Deploy(args) => deploy::run(args, format).await,
        Command::Invoke(args) => invoke::run(args, format).await,
        Command::Batch(args) => batch::run(args, format).await,
        Command::Functions(args) => functions::run(args, format).await,
        Command::Config(args) => settings::config(args, format).await,
        Command::Secrets(args) => settings::secrets(args, format).await,
        Command::Tasks(args) => tasks::run(args, output).await,
        Command::DeadLetters(args) => dead_letters::run(args, format).await,
        Command::Workers(args) => workers::run(args, format).await,
        Command::Logs(args) => logs::run(args, format).await,
        Command::Keys(args) => keys::run(args, format).await,
        Command::Tenants(args) => tenants::run(args, format).await,
        Command::Store(args) => store::run(args, format).await,
        #[cfg(feature = "lab")]
        Command::Lab(command) => fusebox_lab::run(command, format).await,
        #[cfg(not(feature = "lab"))]
        Command::Lab { .. } => Err(report::WrongUsage(
            "this build has no lab: build with the feature `lab`, a default one, for demo, bench and chaos",
        )
        .into()),
        Command::Doctor(args) => doctor::run(args, format).await,
        Command::CompileModule(_)
        | Command::Helper(_)
        | Command::EgressProxy(_)
        | Command::Slot(_)
        | Command::Drill(_)
        | Command::PushWorker(_)
        | Command::PullWorker(_) => anyhow::bail!("this command starts before the runtime does"),
    }
}
