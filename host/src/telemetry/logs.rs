//! Log setup: one line per event to stderr, for people or as JSON. Errors of writing a line are ignored.

use anyhow::Context as _;
use fusebox_ui::lines;
use tracing_subscriber::EnvFilter;

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// For programs: one JSON object per line.
    Json,
}

/// Changes the filter of the running log.
pub struct LogControl(Box<dyn Fn(EnvFilter) -> anyhow::Result<()> + Send + Sync>);

impl LogControl {
    /// Replaces the filter.
    ///
    /// # Errors
    /// Fails if the filter is malformed.
    pub fn set(&self, filter: &str) -> anyhow::Result<()> {
        (self.0)(read(filter)?)
    }
}

/// Starts logging events that pass `filter`, such as `info` or `fusebox=debug,warn`.
///
/// # Errors
/// Fails if the filter is malformed, or if logging was already started.
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
    EnvFilter::try_new(filter).with_context(|| format!("the log filter {filter:?} is malformed"))
}
