//! Sets up the log: one line an event, to stderr, pretty or JSON; losing a line is no event.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use super::lines;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// For programs: one JSON object a line.
    Json,
}

/// Changes what a log that runs lets through.
pub struct LogControl(Box<dyn Fn(EnvFilter) -> anyhow::Result<()> + Send + Sync>);

impl LogControl {
    /// Lets through what `filter` does, from now on.
    ///
    /// # Errors
    /// Where the filter cannot be read.
    pub fn set(&self, filter: &str) -> anyhow::Result<()> {
        (self.0)(read(filter)?)
    }
}

/// Starts logging what `filter` lets through, such as `info` or `fusebox=debug,warn`.
///
/// # Errors
/// Where the filter cannot be read, or logging was started before.
pub fn start(filter: &str, format: LogFormat, color: bool) -> anyhow::Result<LogControl> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(read(filter)?)
        .with_writer(lines::stderr)
        .with_ansi(color)
        .log_internal_errors(false);
    let (started, control): (_, Box<dyn Fn(EnvFilter) -> anyhow::Result<()> + Send + Sync>) = match format {
        LogFormat::Pretty => {
            let builder = builder.with_target(false).with_filter_reloading();
            let handle = builder.reload_handle();
            (builder.try_init(), Box::new(move |filter| Ok(handle.reload(filter)?)))
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            (builder.try_init(), Box::new(move |filter| Ok(handle.reload(filter)?)))
        }
    };
    started.map_err(|error| anyhow::anyhow!("logging could not be started: {error}"))?;
    Ok(LogControl(control))
}

fn read(filter: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(filter).with_context(|| format!("the log filter {filter:?} cannot be read"))
}
