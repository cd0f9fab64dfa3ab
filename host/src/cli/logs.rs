//! `fusebox logs`: prints the log of a task's last run.

use clap::Args;
use fusebox_ui as ui;
use serde_json::json;

use crate::cli::args::HostArgs;
use fusebox_ui::OutputFormat;

/// Task whose log is printed.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The task's id
    pub task: String,
    #[command(flatten)]
    host: HostArgs,
}

/// Prints the log.
///
/// # Errors
/// Fails if there is no such task, or the host does not answer.
pub async fn run(args: LogsArgs, format: OutputFormat) -> anyhow::Result<()> {
    let log = args.host.client()?.log(&args.task).await?;
    match format {
        OutputFormat::Text => ui::raw(&log),
        OutputFormat::Json => ui::json(&json!({"task": args.task, "log": String::from_utf8_lossy(&log)})),
    }
}
