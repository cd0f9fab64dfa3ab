//! `fusebox tasks cancel`, `retry` and `delete`: one task, or all of a filter in the background; `fusebox tasks jobs`.

use std::time::Duration;

use clap::Args;
use fusebox_api::{filter::TaskFilter, jobs::JobView};
use fusebox_client::Client;
use fusebox_ui::{self as ui, OutputFormat, progress::Spinner, table::Table};
use tokio::time::sleep;

use super::{args::HostArgs, filter::FilterArgs, report::WrongUsage};

/// Interval at which the progress of a job is read.
const LOOK: Duration = Duration::from_millis(500);

/// One task, or a filter of many.
#[derive(Debug, Args)]
pub struct BulkArgs {
    /// The task's id
    pub task: Option<String>,
    /// Filter of tasks.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// With a filter: wait until the job has ended, and show its progress
    #[arg(long)]
    pub wait: bool,
    /// The host.
    #[command(flatten)]
    pub host: HostArgs,
}

/// Jobs of the tenant.
#[derive(Debug, Args)]
pub struct JobsArgs {
    /// Show this job
    pub job: Option<String>,
    /// Stop the job; what it has done stays
    #[arg(long, requires = "job")]
    pub stop: bool,
    /// The host.
    #[command(flatten)]
    pub host: HostArgs,
}

/// Refuses a filter beside a task.
///
/// # Errors
/// Fails if the filter names any property.
pub(super) fn refuse_both(filter: &TaskFilter) -> anyhow::Result<()> {
    match *filter == TaskFilter::default() {
        true => Ok(()),
        false => Err(WrongUsage("name a task or give a filter, not both").into()),
    }
}

/// Begins an act on the tasks of a filter; with `wait`, shows its progress until it has ended.
///
/// # Errors
/// Fails if the filter is empty, the host refuses the job or does not answer, or the job fails.
pub(super) async fn act(
    client: &Client,
    act: &str,
    filter: &TaskFilter,
    wait: bool,
    format: OutputFormat,
) -> anyhow::Result<()> {
    if *filter == TaskFilter::default() {
        let usage = "name a task, or select some: --status failed, --function NAME, --tag KEY=VALUE or --since TIME";
        return Err(WrongUsage(usage).into());
    }
    let mut job = client.act(act, filter).await?;
    if wait {
        let spinner = Spinner::start(said(&job));
        while job.is_running() {
            sleep(LOOK).await;
            job = client.job(&job.id).await?;
            spinner.bar().set_message(said(&job));
        }
        spinner.end();
    }
    match format {
        OutputFormat::Json => ui::json(&job)?,
        OutputFormat::Text if wait => ui::say(said(&job))?,
        OutputFormat::Text => ui::say(&job.id)?,
    }
    match &job.error {
        Some(error) => anyhow::bail!("the job failed: {error}"),
        None => Ok(()),
    }
}

/// Lists jobs; shows or stops one.
///
/// # Errors
/// Fails if there is no such job, or the host does not answer.
pub(super) async fn jobs(args: JobsArgs, format: OutputFormat) -> anyhow::Result<()> {
    let client = args.host.client()?;
    let jobs = match &args.job {
        Some(id) if args.stop => vec![client.stop_job(id).await?],
        Some(id) => vec![client.job(id).await?],
        None => client.jobs().await?,
    };
    match format {
        OutputFormat::Json if args.job.is_some() => ui::json(&jobs.first()),
        OutputFormat::Json => ui::json(&jobs),
        OutputFormat::Text if jobs.is_empty() => ui::say("There are no jobs:  fusebox tasks retry --status failed"),
        OutputFormat::Text => ui::say(table(&jobs)),
    }
}

fn said(job: &JobView) -> String {
    let JobView { act, status, changed, skipped, .. } = job;
    let word = match act.as_str() {
        "cancel" => "cancelled",
        "retry" => "retried",
        _ => "deleted",
    };
    format!("{status}: {} {word}, {} left as they were", ui::count(*changed), ui::count(*skipped))
}

fn table(jobs: &[JobView]) -> String {
    let mut table = Table::new(["ID", "ACT", "STATUS", "CHANGED", "SKIPPED", "ACCEPTED", "FILTER"]);
    for job in jobs {
        let filter = job.filter.pairs().into_iter().map(|(name, value)| format!("{name}={value}"));
        table.row([
            job.id.clone(),
            job.act.clone(),
            job.status.clone(),
            ui::count(job.changed),
            ui::count(job.skipped),
            job.created_at.clone(),
            filter.collect::<Vec<_>>().join(" "),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_told_in_a_line() {
        let job = JobView {
            id: "j".to_owned(),
            act: "retry".to_owned(),
            status: "done".to_owned(),
            filter: TaskFilter { status: Some("FAILED".to_owned()), ..TaskFilter::default() },
            changed: 1_200,
            skipped: 1,
            created_at: "now".to_owned(),
            ended_at: None,
            error: None,
        };
        assert_eq!(said(&job), "done: 1,200 retried, 1 left as they were");
        assert!(table(&[job]).ends_with("status=FAILED"));
    }
}
