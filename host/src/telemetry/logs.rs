//! Sets up the log: one line an event, to stderr, pretty or JSON.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// For programs: one JSON object a line.
    Json,
}

/// Starts logging what `filter` lets through, such as `info` or `fusebox=debug,warn`.
///
/// # Errors
/// Where the filter cannot be read, or logging was started before.
pub fn start(filter: &str, format: LogFormat, color: bool) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| format!("the log filter {filter:?} cannot be read"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(color);
    let started = match format {
        LogFormat::Pretty => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging could not be started: {error}"))
}
