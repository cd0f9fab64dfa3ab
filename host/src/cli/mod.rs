//! The command line: its commands and help texts. Each command of a person is a file of this folder, with its arguments
//! beside it; the commands that serve, and those that processes start, are in `node`.
//!
//! | file | holds |
//! |---|---|
//! | `args`, `filter` | arguments that several commands have; filters of tasks |
//! | `config`, `environment`, `reload` | the settings file, variables, and reading the file again at SIGHUP |
//! | `run` | what each command runs on, and in which order |
//! | `report` | errors and exit codes |
//! | `project` | folders with `fusebox.toml`: made, built, tested and run without a host |
//! | `script` | scripts: read, their packages packed, their faults shown |
//! | `waiting` | the wait of a command for the end of a task |

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use fusebox_ui::OutputChoice;

use self::{
    args::{EVERYWHERE, LogArgs},
    batch::BatchArgs,
    dead_letters::DeadLettersArgs,
    deploy::DeployArgs,
    doctor::DoctorArgs,
    drill::DrillArgs,
    functions::FunctionsArgs,
    invoke::InvokeArgs,
    keys::KeysArgs,
    logs::LogsArgs,
    project::{build::BuildArgs, dev::DevArgs, new::NewArgs, once::RunArgs, schema::SchemaArgs, test::TestArgs},
    settings::{ConfigArgs, SecretArgs},
    store::StoreArgs,
    tasks::TasksArgs,
    tenants::TenantsArgs,
    workers::WorkersArgs,
};
use crate::node::{
    compile_module::CompileArgs, dispatcher::DispatcherArgs, egress_proxy::EgressProxyArgs, helper::HelperArgs,
    serve::ServeArgs, slot::SlotArgs, up::UpArgs, worker::WorkArgs,
};

pub mod args;
pub mod batch;
pub mod bulk;
pub mod config;
pub mod dead_letters;
pub mod deletion;
pub mod deploy;
pub mod doctor;
pub mod drill;
pub mod environment;
pub mod files;
pub mod filter;
pub mod functions;
mod input;
pub mod invoke;
pub mod keys;
pub mod logs;
pub mod project;
pub mod quotas;
pub mod reload;
pub mod report;
pub mod run;
pub mod script;
pub mod settings;
pub mod store;
pub mod tasks;
pub mod tenants;
mod waiting;
pub mod workers;

const EXAMPLES: &str = "\
Examples:
  fusebox up                                      a host on http://127.0.0.1:8000, its store in ./fusebox-data
  fusebox new hello --lang rust                   a project: a function, its samples and settings
  fusebox test                                    build it and run its samples, without a host
  fusebox deploy hello.wasm --name hello          register a function
  fusebox invoke hello --data Ada                 run it now: its output on stdout
  fusebox invoke hello --data Ada --task          run it as a durable task, and wait for its end
  fusebox batch hello names.txt --wait            a task for each line
  fusebox tasks                                   tasks and their states, newest first
  fusebox dead-letters replay --all               retry all failed tasks
";

/// Examples of the lab's commands.
const LAB_EXAMPLES: &str = if cfg!(feature = "lab") {
    "  fusebox demo                                    a tour in half a minute, on a private host
  fusebox bench --out bench-output                throughput and latency on this machine, with charts
  fusebox chaos --mode push                       40 faults in a private cluster, and a check of every task
"
} else {
    ""
};

const EXIT_CODES: &str = "
Exit codes:
  0  done
  1  failed
  2  the command line is invalid
  3  the function failed: its own error, a trap, or a limit
  4  there is no such function or task
  5  the host does not answer or is too busy, or --timeout has passed: try again";

/// Runs other people's functions, compiled to WebAssembly, each run in its own sandbox with its own limits
#[derive(Debug, Parser)]
#[command(name = "fusebox", version, after_help = [EXAMPLES, LAB_EXAMPLES, EXIT_CODES].concat(), max_term_width = 110)]
pub struct Cli {
    /// Log settings.
    #[command(flatten)]
    pub log: LogArgs,
    /// Format of output
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = EVERYWHERE)]
    pub output: OutputChoice,
    /// Settings file for every command, in TOML; flags and the environment take precedence
    #[arg(long, global = true, env = "FUSEBOX_CONFIG", value_name = "FILE", help_heading = EVERYWHERE)]
    pub config: Option<PathBuf>,
    /// Print the command's settings as a settings file, with the source of each, instead of running it
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub dump_config: bool,
    /// Command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// Commands of `fusebox`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a whole host in this process: REST, queue and slots on an embedded store
    Up(UpArgs),
    /// Serve REST over Redis; dispatchers and workers run beside it
    Serve(ServeArgs),
    /// Move tasks from Redis to workers: slots of this process, push workers or pull workers
    Dispatcher(DispatcherArgs),
    /// Run tasks that a push dispatcher sends
    PushWorker(WorkArgs),
    /// Run tasks requested from a pull dispatcher
    PullWorker(WorkArgs),
    /// Make a project: a folder with a function, its samples and settings
    New(NewArgs),
    /// Build a project, and check its module as a host does
    Build(BuildArgs),
    /// Run a project's samples in a sandbox of this process, and compare their ends with golden files
    Test(TestArgs),
    /// Build and test a project at each change, and deploy it to a host
    Dev(DevArgs),
    /// Run a file once in a sandbox of this process
    Run(RunArgs),
    /// Print the JSON Schema of fusebox.toml, for editors
    Schema(SchemaArgs),
    /// Register a function, or the next version of one
    Deploy(DeployArgs),
    /// Run a function: input in, output out
    Invoke(InvokeArgs),
    /// Run a function as a task on each line of a file
    Batch(BatchArgs),
    /// List functions, show one, or delete one
    Functions(FunctionsArgs),
    /// Set, list and unset a function's configuration
    Config(ConfigArgs),
    /// Set, list and unset a function's secrets, which only its runs can read
    Secrets(SecretArgs),
    /// Find tasks; show, watch, cancel, retry or delete one or many
    Tasks(TasksArgs),
    /// List failed tasks, and retry them
    DeadLetters(DeadLettersArgs),
    /// List workers
    Workers(WorkersArgs),
    /// Print the log of a task's run
    Logs(LogsArgs),
    /// Create, list, revoke and rotate API keys
    Keys(KeysArgs),
    /// Create, list and delete tenants; show and set their quotas
    Tenants(TenantsArgs),
    /// Commands of the lab.
    #[cfg(feature = "lab")]
    #[command(flatten)]
    Lab(fusebox_lab::Command),
    /// Commands of the lab in a build without it, which answers with an error that says so.
    #[cfg(not(feature = "lab"))]
    #[command(name = "demo", aliases = ["bench", "chaos"], hide = true, disable_help_flag = true)]
    Lab {
        /// Any arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        _rest: Vec<std::ffi::OsString>,
    },
    /// Migrate a store after an upgrade
    Store(StoreArgs),
    /// Check this machine: available features, missing ones and how to get them
    Doctor(DoctorArgs),
    /// Compile one module from stdin to stdout; started by the host as a child process
    #[command(hide = true)]
    CompileModule(CompileArgs),
    /// Compile and connect for a jailed worker; started by the worker
    #[command(hide = true)]
    Helper(HelperArgs),
    /// Send HTTP requests of guests for a jailed worker; started by the worker
    #[command(hide = true)]
    EgressProxy(EgressProxyArgs),
    /// Run one tenant's calls for a host, in a jail; started by the host
    #[command(hide = true)]
    Slot(SlotArgs),
    /// Try to break out of a jail from inside; `doctor --drill` runs this
    #[command(hide = true)]
    Drill(DrillArgs),
}

impl Command {
    /// True for commands that serve until a signal ends them.
    #[must_use]
    pub const fn is_server(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Serve(_) | Self::Dispatcher(_) | Self::PushWorker(_) | Self::PullWorker(_))
    }

    /// Default filter of the log: `info` for servers, `warn` for the other commands.
    #[must_use]
    pub const fn log_filter(&self) -> &'static str {
        if self.is_server() { "info" } else { "warn" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let examples = EXAMPLES.lines().skip(1).chain(LAB_EXAMPLES.lines());
        examples.for_each(|line| assert!(line.starts_with("  fusebox "), "{line}"));
    }
}
