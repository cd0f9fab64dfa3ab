//! `fusebox dead-letters`: lists failed tasks and replays them.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use fusebox_api::batch::{Row, Rows};
use fusebox_client::Client;
use fusebox_core::limits::REPLAY_TASKS_MAX;
use fusebox_ui::{self as ui, progress::Spinner, table::Table};

use crate::{
    cli::tasks,
    cli::{args::HostArgs, report::WrongUsage},
};
use fusebox_ui::OutputFormat;

/// Selection of dead letters, and the action on them.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
A dead letter is a task that FAILED and was not cancelled. It keeps its input as long as its record, 7 days by default.
Each is replayed once, as a new task, so `replay --all` can safely be repeated. A replay that fails is a dead letter of its
own, separate from the original one.

Examples:
  fusebox dead-letters                            the newest, with their errors
  fusebox dead-letters list --function thumbnail  those of one function
  fusebox dead-letters replay 0190d5a0-7b1a-7c3e-8f00-0123456789ab
  fusebox dead-letters replay --all               all of them, after fixing the cause"
)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them, the latest to fail first; the default action
    List(ListArgs),
    /// Replay some or all, each as a new task
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// List only those of this function: a name, for all its versions, or a version id
    #[arg(long, value_name = "FUNCTION")]
    function: Option<String>,
    /// Number of rows
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    #[command(flatten)]
    host: HostArgs,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// Ids of dead letters
    #[arg(conflicts_with = "all", value_name = "TASK")]
    tasks: Vec<String>,
    /// Replay all of them
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    host: HostArgs,
}

/// Lists or replays dead letters.
///
/// # Errors
/// Fails if a dead letter cannot be replayed, or the host does not answer.
pub async fn run(args: DeadLettersArgs, format: OutputFormat) -> anyhow::Result<()> {
    match args.action {
        None => list(args.list, format).await,
        Some(Action::List(args)) => list(args, format).await,
        Some(Action::Replay(args)) => replay(args, format).await,
    }
}

async fn list(args: ListArgs, format: OutputFormat) -> anyhow::Result<()> {
    let letters = args.host.client()?.dead_letters(args.function.as_deref(), args.limit).await?;
    match format {
        OutputFormat::Json => ui::json(&letters),
        OutputFormat::Text if letters.is_empty() => ui::say("There are no dead letters"),
        OutputFormat::Text => ui::say(tasks::list(&letters)),
    }
}

async fn replay(args: ReplayArgs, format: OutputFormat) -> anyhow::Result<()> {
    if !args.all && args.tasks.is_empty() {
        return Err(WrongUsage("name the dead letters to replay, or use --all").into());
    }
    let client = args.host.client()?;
    let spinner = Spinner::start("replaying dead letters".to_owned());
    let rows = match args.all {
        true => all(&client).await,
        false => some(&client, &args.tasks).await,
    };
    spinner.end();
    let rows = rows?;
    match format {
        OutputFormat::Json => ui::json(&Rows::new(rows.clone(), None))?,
        OutputFormat::Text if rows.is_empty() => ui::say("There are no dead letters")?,
        OutputFormat::Text => ui::say(summary(&rows))?,
    }
    let refused = rows.iter().filter(|row| row.error.is_some()).count();
    anyhow::ensure!(refused == 0, "{refused} of {} dead letters could not be replayed", rows.len());
    Ok(())
}

async fn some(client: &Client, ids: &[String]) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for ids in ids.chunks(REPLAY_TASKS_MAX) {
        rows.extend(client.replay(ids).await?.items);
    }
    Ok(rows)
}

async fn all(client: &Client) -> anyhow::Result<Vec<Row>> {
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let page = client.replay_all(cursor.as_deref()).await?;
        rows.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(rows),
        }
    }
}

/// Prints a few rows one by one, or a count of many.
fn summary(rows: &[Row]) -> String {
    const TOLD_MAX: usize = 20;
    let fate = |row: &Row| match &row.error {
        Some(error) => format!("refused: {}", error.code),
        None if row.replayed => "replayed before".to_owned(),
        None => "replayed".to_owned(),
    };
    if rows.len() <= TOLD_MAX {
        let mut table = Table::new(["DEAD LETTER", "RESULT", "NEW TASK"]);
        for row in rows {
            let cell = |text: &Option<String>| text.clone().unwrap_or_default();
            table.row([cell(&row.retry_of), fate(row), cell(&row.task)]);
        }
        return table.to_string();
    }
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(fate(row)).or_default() += 1);
    let mut table = Table::new(["RESULT", "DEAD LETTERS"]);
    counts.into_iter().for_each(|(fate, count)| table.row([fate, ui::count(count)]));
    table.to_string()
}
