//! `fusebox invoke`: runs a function, at once or as a task. Its output goes to stdout unchanged, everything else to
//! stderr.

use std::{io::IsTerminal as _, path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use fusebox_api::{problem::Problem, setup::StartParams, tasks::TaskView};
use fusebox_client::{Client, ClientError, Ran};
use fusebox_core::{outcome::Failure, tags::Tag};
use fusebox_ui::{self as ui, progress::Spinner, receipt};
use serde_json::json;

use crate::cli::{args::HostArgs, input, report::WrongUsage, waiting::Waiting};
use fusebox_ui::OutputFormat;

/// Function, input and options of an invocation.
#[derive(Debug, Args)]
#[command(after_help = "\
With --task the task's id is printed to stderr before the wait, as `task ID`, or with --output json as a line
{\"tasks\":[\"ID\"]}. The wait continues across a restart of the host; `fusebox tasks ID --wait` resumes it after an interruption.

Exit codes: 0 done; 3 the function failed; 4 there is no such function; 5 the host does not answer, or --timeout passed.

Examples:
  fusebox invoke hello --data Ada
  fusebox invoke thumbnail --file photo.jpg > small.png
  curl -s https://example.com/ | fusebox invoke word-count --receipt
  fusebox invoke resvg --file picture.svg -- --width 200 - -c")]
pub struct InvokeArgs {
    /// The function: a name, for its newest version, or a version id
    pub function: String,
    /// The input, as text
    #[arg(long, short, value_name = "TEXT", conflicts_with = "file")]
    pub data: Option<String>,
    /// The input, from a file; without --data and --file it is read from stdin
    #[arg(long, short, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// Run it as a task, which survives a crash of the host, and wait for its end
    #[arg(long)]
    pub task: bool,
    /// With --task: stop waiting after this time, such as 10m; the task goes on [default: wait for ever]
    #[arg(long, requires = "task", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub timeout: Option<Duration>,
    /// Run it as a task and print its id at once
    #[arg(long)]
    pub detach: bool,
    /// Priority of the task among your own: low, normal or high
    #[arg(long, value_parser = ["low", "normal", "high"])]
    pub priority: Option<String>,
    /// Start the task only after this time, such as 10m
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    pub delay: Option<Duration>,
    /// Tag of the task, by which it is found; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    pub tags: Vec<Tag>,
    /// Print the receipt to stderr
    #[arg(long)]
    pub receipt: bool,
    /// Print the end of the log to stderr; that of a failed run is printed in any case
    #[arg(long)]
    pub logs: bool,
    /// Enter this exported function instead of the version's
    #[arg(long, value_name = "NAME")]
    pub export: Option<String>,
    /// Arguments of the run, behind those of the version
    #[arg(last = true, value_name = "ARG")]
    pub args: Vec<String>,
    #[command(flatten)]
    host: HostArgs,
}

impl InvokeArgs {
    fn start(&self) -> StartParams {
        StartParams { arg: self.args.clone(), export: self.export.clone() }
    }
}

/// Runs the function.
///
/// # Errors
/// Fails if the run failed, there is no such function, or the host does not answer.
pub async fn run(args: InvokeArgs, format: OutputFormat) -> anyhow::Result<()> {
    let client = args.host.client()?;
    let input = input::read(args.data.as_deref(), args.file.as_deref(), "--file")?;
    if !args.task && !args.detach && (args.priority.is_some() || args.delay.is_some() || !args.tags.is_empty()) {
        return Err(WrongUsage("--priority, --delay and --tag apply to tasks only: add --task or --detach").into());
    }
    if args.detach {
        let task = submit(&client, &args, input).await?;
        return match format {
            OutputFormat::Text => ui::say(&task.id),
            OutputFormat::Json => ui::json(&task),
        };
    }
    let spinner = Spinner::start(format!("running {}", args.function));
    let ran = match args.task {
        true => as_task(&client, &args, input, format, &spinner).await,
        false => now(&client, &args, input).await,
    };
    spinner.end();
    if let Err(error) = &ran
        && format == OutputFormat::Text
        && let Some(ClientError::Problem(problem)) = error.downcast_ref()
    {
        ui::raw(&output_of(problem))?;
    }
    let Ran { output, receipt, log } = ran.map_err(|error| shown(error, format))?;
    if format == OutputFormat::Json {
        let log = args.logs.then(|| String::from_utf8_lossy(&log).into_owned());
        return ui::json(&json!({"output": STANDARD.encode(&output), "receipt": receipt, "log": log}));
    }
    if args.logs {
        ui::note(String::from_utf8_lossy(&log).trim_end());
    }
    ui::raw(&output)?;
    if std::io::stdout().is_terminal() && !output.ends_with(b"\n") {
        ui::raw(b"\n")?;
    }
    if args.receipt {
        ui::note(receipt::line(&receipt));
    }
    Ok(())
}

/// Returns the output of a failed command. A function's error is left out, since the message already has it.
fn output_of(problem: &Problem) -> Vec<u8> {
    let output = problem.output.as_ref().and_then(|output| STANDARD.decode(output).ok()).unwrap_or_default();
    let is_told = String::from_utf8_lossy(&output)
        .lines()
        .next()
        .is_some_and(|line| !line.is_empty() && problem.detail.contains(line));
    if is_told { Vec::new() } else { output }
}

/// Prints the end of a failed run's log, and removes the lines of stderr that the error repeats.
fn shown(error: anyhow::Error, format: OutputFormat) -> anyhow::Error {
    match error.downcast() {
        Ok(ClientError::Problem(mut problem)) if format == OutputFormat::Text && !problem.log.is_empty() => {
            ui::note(problem.log.trim_end());
            if let Some(at) = problem.detail.find(Failure::STDERR_FOLLOWS) {
                problem.detail.truncate(at);
            }
            ClientError::Problem(problem).into()
        }
        Ok(error) => error.into(),
        Err(error) => error,
    }
}

async fn now(client: &Client, args: &InvokeArgs, input: Vec<u8>) -> anyhow::Result<Ran> {
    Ok(client.invoke_with(&args.function, &args.start(), input, args.logs).await?)
}

async fn submit(client: &Client, args: &InvokeArgs, input: Vec<u8>) -> anyhow::Result<TaskView> {
    let (priority, delay) = (args.priority.as_deref(), args.delay.unwrap_or_default());
    let tags: Vec<String> = args.tags.iter().map(Tag::to_string).collect();
    Ok(client.submit_with(&args.function, &args.start(), &tags, priority, delay, input).await?)
}

async fn as_task(
    client: &Client,
    args: &InvokeArgs,
    input: Vec<u8>,
    format: OutputFormat,
    spinner: &Spinner,
) -> anyhow::Result<Ran> {
    let id = submit(client, args, input).await?.id;
    let mut waiting = Waiting::new(client, args.timeout, format, spinner.bar()).accepted([id.as_str()]);
    waiting.ended(&id).await?;
    let result = waiting.ask(|| client.result(&id)).await;
    let log = match args.logs || result.is_err() {
        true => waiting.ask(|| client.log(&id)).await?,
        false => Vec::new(),
    };
    match result {
        Ok(ran) => Ok(Ran { log, ..ran }),
        Err(error) => Err(match error.downcast()? {
            ClientError::Problem(problem) => {
                let log = String::from_utf8_lossy(&log).into_owned();
                ClientError::Problem(Box::new(Problem { log, ..*problem }))
            }
            error => error,
        }
        .into()),
    }
}
