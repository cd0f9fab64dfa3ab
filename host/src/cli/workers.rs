//! `fusebox workers`: lists the current workers.

use clap::Args;
use fusebox_api::workers::WorkerView;
use fusebox_store::Mode;
use fusebox_ui::{self as ui, table::Table};

use crate::cli::args::HostArgs;
use fusebox_ui::OutputFormat;

/// The host whose workers are listed.
#[derive(Debug, Args)]
#[command(after_help = "\
SLOTS, RUNNING and ENDED count a worker's slots, its current attempts and those that it has ended. A worker that has not
reported for some seconds leaves the list; a restarted worker is a new one.

Example:
  fusebox workers --output json | jq '[.[].slots] | add'")]
pub struct WorkersArgs {
    #[command(flatten)]
    host: HostArgs,
}

/// Lists the workers.
///
/// # Errors
/// Fails if the host does not answer.
pub async fn run(args: WorkersArgs, format: OutputFormat) -> anyhow::Result<()> {
    let workers = args.host.client()?.workers().await?;
    match format {
        OutputFormat::Json => ui::json(&workers),
        OutputFormat::Text if workers.is_empty() => ui::say("No workers: accepted tasks wait until one joins"),
        OutputFormat::Text => ui::say(table(&workers)),
    }
}

fn table(workers: &[WorkerView]) -> String {
    let mut table = Table::new(["ID", "MODE", "NAME", "VERSION", "SLOTS", "RUNNING", "ENDED", "SEEN", "STATE"]);
    for worker in workers {
        table.row([
            worker.id.clone(),
            mode(worker.mode).to_owned(),
            worker.name.clone(),
            worker.version.clone(),
            worker.slots.to_string(),
            worker.running.to_string(),
            ui::count(worker.ended),
            worker.seen_at.clone(),
            if worker.draining { "draining" } else { "ready" }.to_owned(),
        ]);
    }
    table.to_string()
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Local => "local",
        Mode::Push => "push",
        Mode::Pull => "pull",
    }
}
