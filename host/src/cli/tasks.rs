//! `fusebox tasks`: lists tasks; shows, watches, cancels, retries or purges one.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand};
use fusebox_api::tasks::TaskView;
use fusebox_client::Client;
use fusebox_ui::{self as ui, progress::Spinner, receipt, table::Table};
use indicatif::ProgressBar;

use crate::{cli::args::HostArgs, cli::waiting::Waiting};
use fusebox_ui::OutputFormat;

/// Selection of tasks.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  fusebox tasks                                   the newest, with their states
  fusebox tasks ID --wait                         one, once it has ended
  fusebox tasks ID --result > out                 its output
  fusebox tasks events ID                         its changes as they happen, until it has ended
  fusebox tasks retry ID --wait                   a failed one, retried as a new task
  fusebox tasks purge ID                          deletes an ended one with its input, output and log

Waits continue across a restart of the host. Exit codes: 0 done, however the task ended; 3 it failed and its --result was
requested; 4 there is no such task; 5 the host does not answer, or --timeout has passed."
)]
pub struct TasksArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Show this task
    pub task: Option<String>,
    /// Wait until the task has ended
    #[arg(long, requires = "task")]
    pub wait: bool,
    /// With --wait: stop waiting after this time, such as 10m; the task goes on [default: wait for ever]
    #[arg(long, requires = "wait", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub timeout: Option<Duration>,
    /// Print only the task's result, raw
    #[arg(long, requires = "task", conflicts_with = "cancel")]
    pub result: bool,
    /// Cancel the task: it ends FAILED, and its run is stopped
    #[arg(long, requires = "task")]
    pub cancel: bool,
    /// Number of rows, newest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,
    #[command(flatten)]
    host: HostArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Retry a failed task as a new one with the same function version, input, limits and priority
    Retry(RetryArgs),
    /// Print a task's changes as they happen, until it has ended
    Events(EventsArgs),
    /// Delete an ended task with its input, output and log; a resend with its idempotency key may then run again
    Purge(PurgeArgs),
}

#[derive(Debug, Args)]
struct RetryArgs {
    /// The failed task's id
    task: String,
    /// Print the new task's id to stderr, and wait until it has ended
    #[arg(long)]
    wait: bool,
    /// With --wait: stop waiting after this time, such as 10m; the task goes on [default: wait for ever]
    #[arg(long, requires = "wait", value_parser = humantime::parse_duration, value_name = "TIME")]
    timeout: Option<Duration>,
    #[command(flatten)]
    host: HostArgs,
}

#[derive(Debug, Args)]
struct EventsArgs {
    /// The task's id
    task: String,
    /// Stop watching after this time, such as 10m; the task goes on [default: watch for ever]
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    timeout: Option<Duration>,
    #[command(flatten)]
    host: HostArgs,
}

#[derive(Debug, Args)]
struct PurgeArgs {
    /// The ended task's id
    task: String,
    #[command(flatten)]
    host: HostArgs,
}

/// Lists, shows, awaits, cancels, retries, watches or purges tasks.
///
/// # Errors
/// Fails if there is no such task, or the host does not answer.
pub async fn run(args: TasksArgs, format: OutputFormat) -> anyhow::Result<()> {
    match args.action {
        Some(Action::Retry(args)) => return retry(args, format).await,
        Some(Action::Events(args)) => return events(args, format).await,
        Some(Action::Purge(args)) => return purge(args, format).await,
        None => {}
    }
    let client = args.host.client()?;
    let Some(id) = &args.task else {
        let tasks = client.tasks(args.limit).await?;
        return match format {
            OutputFormat::Json => ui::json(&tasks),
            OutputFormat::Text if tasks.is_empty() => {
                ui::say("There are no tasks yet:  fusebox invoke NAME --data TEXT --task")
            }
            OutputFormat::Text => ui::say(list(&tasks)),
        };
    };
    let task = if args.cancel {
        client.cancel(id).await?
    } else {
        match args.wait {
            true => ended(&client, id, args.timeout, format, false).await?,
            false => client.task(id).await?,
        }
    };
    if args.result {
        return ui::raw(&client.result(id).await?.output);
    }
    match format {
        OutputFormat::Json => ui::json(&task),
        OutputFormat::Text => ui::say(detail(&task)),
    }
}

async fn retry(args: RetryArgs, format: OutputFormat) -> anyhow::Result<()> {
    let client = args.host.client()?;
    let mut task = client.retry(&args.task).await?;
    if args.wait {
        task = ended(&client, &task.id, args.timeout, format, true).await?;
    }
    match format {
        OutputFormat::Json => ui::json(&task),
        OutputFormat::Text if args.wait => ui::say(detail(&task)),
        OutputFormat::Text => ui::say(&task.id),
    }
}

async fn purge(PurgeArgs { task, host }: PurgeArgs, format: OutputFormat) -> anyhow::Result<()> {
    host.client()?.purge(&task).await?;
    match format {
        OutputFormat::Json => ui::json(&serde_json::json!({"purged": task})),
        OutputFormat::Text => ui::say(format!("{task} is deleted")),
    }
}

/// Waits for a task's end. Prints the id of a new task first.
async fn ended(
    client: &Client,
    id: &str,
    timeout: Option<Duration>,
    format: OutputFormat,
    is_new: bool,
) -> anyhow::Result<TaskView> {
    let spinner = Spinner::start(format!("waiting for {id}"));
    let waiting = Waiting::new(client, timeout, format, spinner.bar());
    let mut waiting = if is_new { waiting.accepted([id]) } else { waiting };
    waiting.ended(id).await
}

async fn events(args: EventsArgs, format: OutputFormat) -> anyhow::Result<()> {
    let client = args.host.client()?;
    let mut waiting = Waiting::new(&client, args.timeout, format, &ProgressBar::hidden());
    let told = waiting.events(&args.task, |task| match format {
        OutputFormat::Json => ui::say(serde_json::to_string(task)?),
        OutputFormat::Text => ui::say(change(task)),
    });
    told.await
}

fn change(task: &TaskView) -> String {
    let attempt = format!("attempt {}/{}", task.attempt, task.attempts_max);
    let error = task.error.as_ref().map(|error| format!("{}: {}", error.code, error.message));
    let more = error.or_else(|| task.receipt.as_ref().map(receipt::line)).unwrap_or_default();
    format!("{:<9}  {attempt}  {more}", task.status).trim_end().to_owned()
}

/// Formats a table of tasks.
pub(super) fn list(tasks: &[TaskView]) -> String {
    let mut table = Table::new(["ID", "STATUS", "ATTEMPT", "ACCEPTED", "WALL", "FUEL", "ERROR"]);
    for task in tasks {
        let used = task.receipt.as_ref();
        table.row([
            task.id.clone(),
            task.status.clone(),
            format!("{}/{}", task.attempt, task.attempts_max),
            task.created_at.clone(),
            used.map(|receipt| receipt::time(receipt.wall_us)).unwrap_or_default(),
            used.and_then(|receipt| receipt.fuel).map(ui::count).unwrap_or_default(),
            task.error.as_ref().map(|error| error.code.clone()).unwrap_or_default(),
        ]);
    }
    table.to_string()
}

fn detail(task: &TaskView) -> String {
    let mut lines = vec![
        format!("task      {}", task.id),
        format!("status    {}", task.status),
        format!("function  {}", task.function_id),
        format!("attempt   {} of {}", task.attempt, task.attempts_max),
        format!("accepted  {}", task.created_at),
    ];
    lines.extend(task.retry_of.iter().map(|old| format!("retry of  {old}")));
    lines.extend(task.ended_at.iter().map(|at| format!("ended     {at}")));
    if let Some(error) = &task.error {
        lines.push(format!("error     {}: {}", error.code, error.message));
        lines.extend(error.backtrace.iter().map(|frame| format!("          at {frame}")));
    }
    lines.extend(task.receipt.iter().map(|used| format!("receipt   {}", receipt::line(used))));
    if let Some(bytes) = task.result.as_ref().and_then(|result| STANDARD.decode(result).ok()) {
        lines.push(format!("result    {} bytes; print it with --result", bytes.len()));
    }
    lines.join("\n")
}
