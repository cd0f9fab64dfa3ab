//! `fusebox tasks`: finds and counts tasks; shows, watches, cancels, retries or deletes one.

use std::{io::IsTerminal as _, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand};
use fusebox_api::{filter::TaskFilter, tasks::TaskView};
use fusebox_client::Client;
use fusebox_ui::{self as ui, progress::Spinner, receipt, table::Table};
use indicatif::ProgressBar;

use super::{
    args::HostArgs,
    bulk::{self, BulkArgs, JobsArgs},
    filter::FilterArgs,
    waiting::Waiting,
};
use fusebox_ui::{OutputChoice, OutputFormat};

/// Interval at which a listing is shown again.
const LOOK: Duration = Duration::from_secs(2);
/// Clears a terminal and moves to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Selection of tasks.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  fusebox tasks                                   the newest, with their states
  fusebox tasks --status failed --since 1h        those that failed of the last hour
  fusebox tasks --tag env=prod --watch -o wide    those with a tag, again and again, with more columns
  fusebox tasks ID --wait                         one, once it has ended
  fusebox tasks ID --result > out                 its output
  fusebox tasks events ID                         its changes as they happen, until it has ended
  fusebox tasks retry ID --wait                   a failed one, retried as a new task
  fusebox tasks retry --function f --code trap    all that trapped, each once, in the background
  fusebox tasks count --by code --status failed   numbers of failed ones by error code

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
    /// Number of rows
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,
    /// Order of the rows by their acceptance
    #[arg(long, value_parser = ["newest", "oldest"], default_value = "newest")]
    pub order: String,
    /// Show the listing again every two seconds
    #[arg(long, conflicts_with = "task")]
    pub watch: bool,
    /// Filter of the listing.
    #[command(flatten)]
    pub filter: FilterArgs,
    #[command(flatten)]
    host: HostArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Cancel a task, or all of a filter in the background
    Cancel(BulkArgs),
    /// Retry a failed task as a new one with the same function version, input, limits and priority, or all of a filter
    Retry(RetryArgs),
    /// Delete an ended task with its input, output and log, or all of a filter in the background
    Delete(BulkArgs),
    /// List jobs, which act on many tasks; show or stop one
    Jobs(JobsArgs),
    /// Count tasks by status, function or error code
    Count(CountArgs),
    /// Print a task's changes as they happen, until it has ended
    Events(EventsArgs),
    /// Delete an ended task with its input, output and log; a resend with its idempotency key may then run again
    Purge(PurgeArgs),
}

#[derive(Debug, Args)]
struct RetryArgs {
    /// With a task: stop waiting after this time, such as 10m; the task goes on [default: wait for ever]
    #[arg(long, requires = "wait", value_parser = humantime::parse_duration, value_name = "TIME")]
    timeout: Option<Duration>,
    #[command(flatten)]
    bulk: BulkArgs,
}

#[derive(Debug, Args)]
struct CountArgs {
    /// Property by which they are counted
    #[arg(long, value_parser = ["status", "function", "code"], default_value = "status")]
    by: String,
    #[command(flatten)]
    filter: FilterArgs,
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

/// Finds, shows, awaits, cancels, retries, watches, counts or deletes tasks.
///
/// # Errors
/// Fails if there is no such task, or the host does not answer.
pub async fn run(args: TasksArgs, output: OutputChoice) -> anyhow::Result<()> {
    let format = output.format();
    match args.action {
        Some(Action::Cancel(args)) => return cancel(args, format).await,
        Some(Action::Retry(args)) => return retry(args, format).await,
        Some(Action::Delete(args)) => return delete(args, format).await,
        Some(Action::Jobs(args)) => return bulk::jobs(args, format).await,
        Some(Action::Count(args)) => return count(args, format).await,
        Some(Action::Events(args)) => return events(args, format).await,
        Some(Action::Purge(PurgeArgs { task, host })) => return purge(&host.client()?, &task, format).await,
        None => {}
    }
    let client = args.host.client()?;
    let Some(id) = &args.task else { return find(&client, &args, output).await };
    bulk::refuse_both(&args.filter.filter())?;
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
    show(&task, format)
}

/// Lists the tasks of a filter, once or again and again.
async fn find(client: &Client, args: &TasksArgs, output: OutputChoice) -> anyhow::Result<()> {
    let filter = args.filter.filter();
    let listed = |tasks: &[TaskView]| if output == OutputChoice::Wide { wide(tasks) } else { list(tasks) };
    loop {
        let tasks = client.find(&filter, Some(&args.order), args.limit).await?;
        let is_seen = args.watch && std::io::stdout().is_terminal();
        match output.format() {
            OutputFormat::Json if args.watch => ui::say(serde_json::to_string(&tasks)?)?,
            OutputFormat::Json => ui::json(&tasks)?,
            OutputFormat::Text if is_seen => ui::say([CLEAR, &listed(&tasks)].concat())?,
            OutputFormat::Text if tasks.is_empty() && filter == TaskFilter::default() && !args.watch => {
                ui::say("There are no tasks yet:  fusebox invoke NAME --data TEXT --task")?;
            }
            OutputFormat::Text => ui::say(listed(&tasks))?,
        }
        if !args.watch {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn cancel(args: BulkArgs, format: OutputFormat) -> anyhow::Result<()> {
    let client = args.host.client()?;
    match &args.task {
        Some(id) => {
            bulk::refuse_both(&args.filter.filter())?;
            show(&client.cancel(id).await?, format)
        }
        None => bulk::act(&client, "cancel", &args.filter.filter(), args.wait, format).await,
    }
}

async fn delete(args: BulkArgs, format: OutputFormat) -> anyhow::Result<()> {
    let client = args.host.client()?;
    match &args.task {
        Some(id) => {
            bulk::refuse_both(&args.filter.filter())?;
            purge(&client, id, format).await
        }
        None => bulk::act(&client, "delete", &args.filter.filter(), args.wait, format).await,
    }
}

async fn retry(RetryArgs { timeout, bulk: args }: RetryArgs, format: OutputFormat) -> anyhow::Result<()> {
    let client = args.host.client()?;
    let Some(id) = &args.task else {
        return bulk::act(&client, "retry", &args.filter.filter(), args.wait, format).await;
    };
    bulk::refuse_both(&args.filter.filter())?;
    let mut task = client.retry(id).await?;
    if args.wait {
        task = ended(&client, &task.id, timeout, format, true).await?;
    }
    match format {
        OutputFormat::Text if !args.wait => ui::say(&task.id),
        format => show(&task, format),
    }
}

async fn purge(client: &Client, task: &str, format: OutputFormat) -> anyhow::Result<()> {
    client.purge(task).await?;
    match format {
        OutputFormat::Json => ui::json(&serde_json::json!({"purged": task})),
        OutputFormat::Text => ui::say(format!("{task} is deleted")),
    }
}

async fn count(args: CountArgs, format: OutputFormat) -> anyhow::Result<()> {
    let stats = args.host.client()?.stats(&args.filter.filter(), &args.by).await?;
    if format == OutputFormat::Json {
        return ui::json(&stats);
    }
    let mut table = Table::new([&*args.by.to_uppercase(), "TASKS"]);
    stats.groups.into_iter().for_each(|group| table.row([group.key, ui::count(group.tasks)]));
    table.row(["total".to_owned(), ui::count(stats.total)]);
    ui::say(table.to_string())
}

fn show(task: &TaskView, format: OutputFormat) -> anyhow::Result<()> {
    match format {
        OutputFormat::Json => ui::json(task),
        OutputFormat::Text => ui::say(detail(task)),
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

/// Formats a table of tasks with more columns.
fn wide(tasks: &[TaskView]) -> String {
    let mut table = Table::new([
        "ID", "STATUS", "ATTEMPT", "ACCEPTED", "STARTED", "ENDED", "WALL", "FUEL", "FUNCTION", "WORKER", "TAGS",
        "ERROR",
    ]);
    for task in tasks {
        let used = task.receipt.as_ref();
        let tags = task.tags.iter().map(|(key, value)| format!("{key}={value}"));
        let waits = task.waiting_for.as_ref().map(|waiting| waiting.code.clone());
        table.row([
            task.id.clone(),
            task.status.clone(),
            format!("{}/{}", task.attempt, task.attempts_max),
            task.created_at.clone(),
            task.started_at.clone().unwrap_or_default(),
            task.ended_at.clone().unwrap_or_default(),
            used.map(|receipt| receipt::time(receipt.wall_us)).unwrap_or_default(),
            used.and_then(|receipt| receipt.fuel).map(ui::count).unwrap_or_default(),
            task.function_id.clone(),
            task.worker.clone().unwrap_or_default(),
            tags.collect::<Vec<_>>().join(","),
            task.error.as_ref().map(|error| error.code.clone()).or(waits).unwrap_or_default(),
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
    lines.extend(task.tags.iter().map(|(key, value)| format!("tag       {key}={value}")));
    lines.extend(task.waiting_for.iter().map(|waits| format!("waits     {}: {}", waits.code, waits.message)));
    lines.extend(task.worker.iter().map(|worker| format!("worker    {worker}")));
    lines.extend(task.started_at.iter().map(|at| format!("started   {at}")));
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
