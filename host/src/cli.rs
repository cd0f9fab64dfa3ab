//! The command line: its commands, the arguments they share, and the help texts. Types only; the arguments of each
//! command are beside it in `commands`.

use std::{io::IsTerminal as _, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand};
use fusebox_api::functions::LimitParams;
use fusebox_client::{Client, ClientError, Credentials};
use fusebox_core::{
    function::{LimitError, RunLimits},
    limits::ATTEMPTS_MAX,
};
pub use fusebox_ui::OutputFormat;

use crate::{
    commands::{
        batch::BatchArgs,
        compile_module::CompileArgs,
        dead_letters::DeadLettersArgs,
        deploy::DeployArgs,
        dispatcher::DispatcherArgs,
        doctor::DoctorArgs,
        drill::DrillArgs,
        egress_proxy::EgressProxyArgs,
        functions::FunctionsArgs,
        helper::HelperArgs,
        invoke::InvokeArgs,
        isolate::SlotArgs,
        keys::KeysArgs,
        logs::LogsArgs,
        serve::ServeArgs,
        settings::{ConfigArgs, SecretArgs},
        tasks::TasksArgs,
        tenants::TenantsArgs,
        up::UpArgs,
        work::WorkArgs,
        workers::WorkersArgs,
    },
    secrets::{SecretsKey, SecretsKeyError},
    telemetry::{
        self,
        logs::{LogControl, LogFormat},
    },
};

pub mod report;

const EXAMPLES: &str = "\
Examples:
  fusebox up                                      a host on http://127.0.0.1:8000, its store in ./fusebox-data
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

/// Help heading of the options that every command has.
const EVERYWHERE: &str = "Options of every command";

/// Runs other people's functions, compiled to WebAssembly, each run in its own sandbox with its own limits
#[derive(Debug, Parser)]
#[command(name = "fusebox", version, after_help = [EXAMPLES, LAB_EXAMPLES, EXIT_CODES].concat(), max_term_width = 110)]
pub struct Cli {
    /// Log settings.
    #[command(flatten)]
    pub log: LogArgs,
    /// Format of output
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = EVERYWHERE)]
    pub output: OutputFormat,
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
    /// List tasks; show, watch, cancel or retry one
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

/// Settings of the host's own log, which goes to stderr.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// Filter of the log, such as `info` or `fusebox=debug,warn` [default: info for servers, warn otherwise]; servers
    /// always log `audit`, unless the filter names it
    #[arg(long, global = true, env = "FUSEBOX_LOG", value_name = "FILTER", help_heading = EVERYWHERE)]
    pub log: Option<String>,
    /// Format of log lines
    #[arg(long, global = true, env = "FUSEBOX_LOG_FORMAT", value_enum, default_value_t, value_name = "FORMAT", help_heading = EVERYWHERE)]
    pub log_format: LogFormat,
}

impl LogArgs {
    /// Starts logging, with the filter `default` if none is given.
    ///
    /// # Errors
    /// Fails if the filter cannot be parsed.
    pub fn start(&self, default: &str) -> anyhow::Result<LogControl> {
        let color = std::io::stderr().is_terminal();
        telemetry::logs::start(&self.filter(default), self.log_format, color)
    }

    /// Returns the log's filter; `default` if none is given.
    #[must_use]
    pub fn filter(&self, default: &str) -> String {
        match self.log.as_deref() {
            // The audit log of administrative acts stays on unless the filter names it.
            Some(filter) if default == "info" && !filter.contains("audit") => format!("{filter},audit=info"),
            filter => filter.unwrap_or(default).to_owned(),
        }
    }
}

/// The host that a command connects to.
#[derive(Clone, Debug, Args)]
pub struct HostArgs {
    /// The host's address
    #[arg(long, env = "FUSEBOX_URL", default_value = "http://127.0.0.1:8000", value_name = "URL")]
    pub url: String,
    /// Certificate authority of an https host, in PEM [default: the authorities of this system]
    #[arg(long, env = "FUSEBOX_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// API key, if the host has keys; the environment hides it from other users of the machine
    #[arg(long, env = "FUSEBOX_API_KEY", hide_env_values = true, hide_default_value = true, value_name = "KEY")]
    pub api_key: Option<Credentials>,
}

impl HostArgs {
    /// Creates a client of this host.
    ///
    /// # Errors
    /// Fails if the address or the API key is invalid, or the certificate authority cannot be read.
    pub fn client(&self) -> Result<Client, ClientError> {
        Client::build(&self.url, self.ca.as_deref(), self.api_key.as_ref())
    }
}

/// Limits of one run. Limits that are left out take the host's defaults.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Limits of each run")]
pub struct LimitArgs {
    /// CPU budget in fuel units, about one per instruction; 1,000,000,000 last for 0.1 to 1 s
    #[arg(long, value_name = "UNITS")]
    pub fuel: Option<u64>,
    /// Wall time, such as 500ms or 10s
    #[arg(long, value_parser = wall, value_name = "TIME")]
    pub wall: Option<u32>,
    /// Linear memory, such as 16MiB
    #[arg(long, value_parser = size, value_name = "SIZE")]
    pub memory: Option<u64>,
    /// Output, such as 2MiB
    #[arg(long, value_parser = size, value_name = "SIZE")]
    pub output_size: Option<u64>,
    /// Log, such as 128KiB; the excess is dropped
    #[arg(long, value_parser = size, value_name = "SIZE")]
    pub log_size: Option<u64>,
}

impl LimitArgs {
    /// Returns these limits as a request has them.
    #[must_use]
    pub fn params(self) -> LimitParams {
        let Self { fuel, wall, memory, output_size, log_size } = self;
        LimitParams { fuel, wall_ms: wall, memory_bytes: memory, output_bytes: output_size, log_bytes: log_size }
    }

    /// Returns these limits, with those of `other` where none is given.
    #[must_use]
    pub fn or(self, other: RunLimits) -> RunLimits {
        RunLimits {
            fuel: self.fuel.unwrap_or(other.fuel),
            wall_ms: self.wall.unwrap_or(other.wall_ms),
            memory_bytes: self.memory.unwrap_or(other.memory_bytes),
            output_bytes: self.output_size.unwrap_or(other.output_bytes),
            log_bytes: self.log_size.unwrap_or(other.log_bytes),
        }
    }
}

/// File of the key that encrypts secrets at rest.
#[derive(Clone, Debug, Default, Args)]
pub struct SecretsArgs {
    /// File of the key that seals secrets, 64 hexadecimal digits; the same for each `serve` and `dispatcher`
    /// of a store. Make one with: (umask 077; openssl rand -hex 32 > secrets.key)
    #[arg(
        long = "secrets-key",
        env = "FUSEBOX_SECRETS_KEY",
        value_name = "FILE",
        help_heading = "Secrets of functions"
    )]
    secrets_key: Option<PathBuf>,
}

impl SecretsArgs {
    /// Returns the file's path, if one is given.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        self.secrets_key.clone()
    }

    /// Reads the key, if a file is given.
    ///
    /// # Errors
    /// Fails if the file cannot be read or holds no valid key.
    pub fn read(&self) -> Result<Option<SecretsKey>, SecretsKeyError> {
        self.secrets_key.as_deref().map(SecretsKey::read).transpose()
    }
}

/// Limit of attempts per task.
#[derive(Clone, Copy, Debug, Args)]
pub struct AttemptArgs {
    /// Attempts per task; only failures of its worker, not of its function, start another one
    #[arg(long, env = "FUSEBOX_ATTEMPTS_MAX", help_heading = "Attempts", default_value_t = ATTEMPTS_MAX, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub attempts_max: u32,
}

/// Ceilings of the limits that a function may request; the host refuses registrations above them.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Ceilings")]
pub struct MaxArgs {
    /// Largest fuel limit of a function [default: 300,000,000,000]
    #[arg(long, value_name = "UNITS")]
    pub max_fuel: Option<u64>,
    /// Longest wall time of a function [default: 5m]
    #[arg(long, value_parser = wall, value_name = "TIME")]
    pub max_wall: Option<u32>,
    /// Largest memory limit of a function; the host needs this much for each slot [default: 256MiB]
    #[arg(long, value_parser = size, value_name = "SIZE")]
    pub max_memory: Option<u64>,
}

impl MaxArgs {
    /// Returns these ceilings, with the host's own where none is given.
    ///
    /// # Errors
    /// Fails if a ceiling is zero or above the host's own.
    pub fn ceiling(self) -> Result<RunLimits, LimitError> {
        let most = RunLimits::CEILING;
        let asked = RunLimits {
            fuel: self.max_fuel.unwrap_or(most.fuel),
            wall_ms: self.max_wall.unwrap_or(most.wall_ms),
            memory_bytes: self.max_memory.unwrap_or(most.memory_bytes),
            ..most
        };
        asked.check(&most).map(|()| asked)
    }
}

/// Parses a size such as `16MiB` or `4096` into bytes.
fn size(text: &str) -> Result<u64, String> {
    text.parse::<ByteSize>().map(|size| size.as_u64()).map_err(|_| "expected a size such as 16MiB".to_owned())
}

/// Parses a time such as `500ms` into milliseconds.
fn wall(text: &str) -> Result<u32, String> {
    let time: Duration = humantime::parse_duration(text).map_err(|_| "expected a time such as 500ms".to_owned())?;
    u32::try_from(time.as_millis()).map_err(|_| "the time exceeds the maximum".to_owned())
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

    #[test]
    fn a_ceiling_that_the_host_cannot_keep_is_refused_and_not_lowered() {
        let asked = MaxArgs { max_memory: Some(RunLimits::CEILING.memory_bytes), ..MaxArgs::default() };
        assert_eq!(asked.ceiling(), Ok(RunLimits::CEILING));
        let above = MaxArgs { max_memory: Some(RunLimits::CEILING.memory_bytes + 1), ..asked };
        assert_eq!(above.ceiling().unwrap_err().max, RunLimits::CEILING.memory_bytes);
        assert!(MaxArgs { max_fuel: Some(u64::MAX), ..MaxArgs::default() }.ceiling().is_err());
        assert!(MaxArgs { max_wall: Some(0), ..MaxArgs::default() }.ceiling().is_err());
    }

    #[test]
    fn sizes_and_times_are_read_with_their_units() {
        assert_eq!(size("16MiB"), Ok(16 << 20));
        assert_eq!(size("4096"), Ok(4_096));
        assert!(size("much").is_err());
        assert_eq!(wall("500ms"), Ok(500));
        assert_eq!(wall("2m"), Ok(120_000));
        assert!(wall("5").is_err() && wall("10years").is_err());
    }
}
