//! `fusebox batch`: submits a task for each line of a file.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use fusebox_api::tasks::TaskView;
use fusebox_client::Client;
use fusebox_core::{limits::WAIT_TASKS_MAX, tags::Tag};
use fusebox_ui::{self as ui, progress, table::Table};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    cli::waiting::Waiting,
    cli::{args::HostArgs, report::FunctionsFailed},
    text,
};
use fusebox_ui::OutputFormat;

/// Most items of one request: enough for throughput, few enough that the progress bar moves.
const ITEMS_MAX: usize = 1_000;
/// Most bytes of one request, unless a single line is larger.
const BYTES_MAX: usize = 4 << 20;
/// Length of one wait request; short, so that the progress bar moves.
const WAIT_SECONDS: u64 = 2;
/// Most refused lines that are printed one by one.
const TOLD_MAX: usize = 10;

/// Function, input file and options of a batch.
#[derive(Debug, Args)]
#[command(after_help = "\
Each line of the file, in UTF-8, is the input of one task; blank lines are skipped. With --items each line is a JSON object:
its input as \"text\", \"json\" or \"input\" (base64), its \"args\", and \"priority\", \"delay_ms\", \"limits\", \"function\",
\"tags\", \"idempotency_key\". A refused line does not keep the others from running.

With --key the command can be run again on the same file after an interruption: tasks submitted before do not run twice.

With --wait the ids of the accepted tasks are printed to stderr before the wait, as `task ID`, up to ten, or
with --output json all of them as a line {\"tasks\":[\"ID\",…]}. The wait continues across a restart of the host.

Exit codes: 0 all lines were accepted and, with --wait, their tasks completed; 1 lines were refused; 3 tasks failed; 5 the
host does not answer, or --timeout has passed.

Examples:
  fusebox batch hello names.txt --wait
  fusebox batch thumbnail work.ndjson --items --key import-7
  seq 1000 | fusebox batch hello - --wait --output json")]
pub struct BatchArgs {
    /// The function: a name, for its newest version, or a version id
    pub function: String,
    /// The file; - for stdin
    pub file: PathBuf,
    /// Read each line as a JSON object that describes its task
    #[arg(long)]
    pub items: bool,
    /// Wait until every task has ended
    #[arg(long)]
    pub wait: bool,
    /// With --wait: stop waiting after this time, such as 10m; the tasks go on [default: wait for ever]
    #[arg(long, requires = "wait", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub timeout: Option<Duration>,
    /// Idempotency key, with which the command can safely be run again: 1 to 200 visible ASCII characters
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Tag of every task, by which they are found; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    pub tags: Vec<Tag>,
    #[command(flatten)]
    host: HostArgs,
}

/// A line of the file and its outcome.
#[derive(Debug, Serialize)]
struct Line {
    /// Line number, counted from 1.
    line: u64,
    task: Option<String>,
    /// `accepted` or `refused`; after a wait, the status of the task.
    status: String,
    code: Option<String>,
    message: Option<String>,
    /// Result of the task, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<String>,
}

/// Submits the lines; with `--wait`, waits for their tasks.
///
/// # Errors
/// Fails if lines were refused, tasks failed, or the host does not answer.
pub async fn run(args: BatchArgs, format: OutputFormat) -> anyhow::Result<()> {
    let client = args.host.client()?;
    let mut lines = submit(&client, &args).await?;
    if format == OutputFormat::Text {
        for line in lines.iter().filter(|line| line.status == "refused").take(TOLD_MAX) {
            ui::note(format!("line {}: {}", line.line, line.message.as_deref().unwrap_or_default()));
        }
    }
    if args.wait {
        wait(&client, &mut lines, args.timeout, format).await?;
    }
    let of = |status: &str| lines.iter().filter(|line| line.status == status).count();
    let (refused, failed) = (of("refused"), of("FAILED"));
    match format {
        OutputFormat::Json => {
            let accepted = lines.len() - refused;
            ui::json(&json!({"accepted": accepted, "refused": refused, "failed": failed, "items": lines}))?;
        }
        OutputFormat::Text if lines.is_empty() => ui::say("The file has no lines: nothing was submitted")?,
        OutputFormat::Text => {
            ui::say(summary(&lines))?;
        }
    }
    anyhow::ensure!(refused == 0, "{refused} of {} lines were refused", lines.len());
    match failed {
        0 => Ok(()),
        _ => Err(FunctionsFailed(format!("{failed} of {} tasks failed", lines.len())).into()),
    }
}

/// Reads the file and submits it in parts. The same file always has the same parts, so that a key finds its tasks
/// again.
async fn submit(client: &Client, args: &BatchArgs) -> anyhow::Result<Vec<Line>> {
    let cannot_read = || format!("cannot read {}", args.file.display());
    let source: Box<dyn BufRead> = match args.file == Path::new("-") {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(BufReader::new(File::open(&args.file).with_context(cannot_read)?)),
    };
    let bar = progress::counter("submitted");
    let mut parts = Parts { source, items: args.items, number: 0 };
    let mut lines = Vec::new();
    let mut part_number = 0;
    let tags: Vec<String> = args.tags.iter().map(Tag::to_string).collect();
    while let Some((numbers, body)) = parts.next().with_context(cannot_read)? {
        let key = args.key.as_ref().map(|key| format!("{key}.{part_number}"));
        let rows = client.batch_with(&args.function, &tags, body, key.as_deref()).await.inspect_err(|_| {
            let again = if args.key.is_some() { ": run the command again to continue" } else { "" };
            ui::note(format!("{} lines were submitted before this failed{again}", lines.len()));
        })?;
        anyhow::ensure!(rows.items.len() == numbers.len(), "the host did not answer for every line");
        bar.inc(numbers.len() as u64);
        part_number += 1;
        lines.extend(numbers.into_iter().zip(rows.items).map(|(line, row)| {
            let (code, message) = row.error.map(|error| (error.code, error.message)).unzip();
            Line { line, task: row.task, status: row.status, code, message, result: None }
        }));
    }
    bar.finish_and_clear();
    Ok(lines)
}

/// Waits for every accepted task. With JSON output it also fetches their results.
async fn wait(
    client: &Client,
    lines: &mut [Line],
    timeout: Option<Duration>,
    format: OutputFormat,
) -> anyhow::Result<()> {
    let with_results = format == OutputFormat::Json;
    let mut open: Vec<(usize, String)> =
        lines.iter().enumerate().filter_map(|(at, line)| Some((at, line.task.clone()?))).collect();
    let bar = progress::bar("ended", open.len() as u64);
    let mut waiting = Waiting::new(client, timeout, format, &bar).accepted(open.iter().map(|(_, id)| id.as_str()));
    while !open.is_empty() {
        let (started, left) = (Instant::now(), open.len());
        let asked: Vec<(usize, String)> = open.drain(..open.len().min(WAIT_TASKS_MAX)).collect();
        let ids: Vec<String> = asked.iter().map(|(_, id)| id.clone()).collect();
        let waited = waiting.ask(|| client.wait(&ids, WAIT_SECONDS)).await?;
        let mut found: BTreeMap<String, TaskView> =
            waited.items.into_iter().map(|task| (task.id.clone(), task)).collect();
        let mut again = Vec::new();
        for (at, id) in asked {
            let line = &mut lines[at];
            match found.get_mut(&id) {
                Some(task) if task.is_ended() => {
                    line.status.clone_from(&task.status);
                    (line.code, line.message) = task.error.clone().map(|error| (error.code, error.message)).unzip();
                    if with_results && task.status == "COMPLETED" {
                        line.result = match task.result.take() {
                            Some(result) => Some(result),
                            None => Some(STANDARD.encode(waiting.ask(|| client.result(&id)).await?.output)),
                        };
                    }
                    bar.inc(1);
                }
                Some(_) => again.push((at, id)),
                None => anyhow::bail!("task {id} is gone: its time to live ended before its result was read"),
            }
        }
        // The tasks awaited first are the oldest: they stay at the front.
        open.splice(0..0, again);
        if open.len() == left {
            waiting.pace(started).await?;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn summary(lines: &[Line]) -> String {
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for line in lines {
        *counts.entry((&line.status, line.code.as_deref().unwrap_or_default())).or_default() += 1;
    }
    let mut table = Table::new(["STATUS", "ERROR", "TASKS"]);
    for ((status, code), count) in counts {
        table.row([status.to_owned(), code.to_owned(), ui::count(count)]);
    }
    table.to_string()
}

/// Splits a file into parts that fit into a request.
struct Parts {
    source: Box<dyn BufRead>,
    items: bool,
    number: u64,
}

impl Parts {
    /// Returns the numbers of the next lines, and the request body with one line of JSON for each. `None` at the end of
    /// the file.
    fn next(&mut self) -> std::io::Result<Option<(Vec<u64>, Vec<u8>)>> {
        let (mut numbers, mut body, mut line) = (Vec::new(), Vec::new(), Vec::new());
        while numbers.len() < ITEMS_MAX && body.len() < BYTES_MAX {
            line.clear();
            if self.source.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let mut text = text::without_line_end(&line);
            if self.number == 0 {
                let unmarked = if self.items { text::unmarked_json(text) } else { text::unmarked(text) };
                text = unmarked.map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error))?;
            }
            self.number += 1;
            if text.trim_ascii().is_empty() {
                continue;
            }
            match self.items {
                true => body.extend_from_slice(text),
                false => body.extend_from_slice(item(text).to_string().as_bytes()),
            }
            body.push(b'\n');
            numbers.push(self.number);
        }
        Ok((!numbers.is_empty()).then_some((numbers, body)))
    }
}

fn item(line: &[u8]) -> serde_json::Value {
    match std::str::from_utf8(line) {
        Ok(text) => json!({"text": text}),
        Err(_) => json!({"input": STANDARD.encode(line)}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_items_in_parts_that_fit() {
        let text = format!("a\r\n\n\"b\"\n{}", "c\n".repeat(ITEMS_MAX));
        let mut parts = Parts { source: Box::new(std::io::Cursor::new(text)), items: false, number: 0 };
        let (numbers, body) = parts.next().unwrap().unwrap();
        assert_eq!((numbers.len(), &numbers[..3]), (ITEMS_MAX, &[1, 3, 4][..]));
        assert!(body.starts_with(b"{\"text\":\"a\"}\n{\"text\":\"\\\"b\\\"\"}\n"));
        assert_eq!(parts.next().unwrap().unwrap().0.len(), 2);
        assert!(parts.next().unwrap().is_none());
        assert_eq!(item(b"\xff"), json!({"input": "/w=="}));
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_utf_16_refused() {
        let read = |text: &'static [u8], items| {
            let mut parts = Parts { source: Box::new(std::io::Cursor::new(text)), items, number: 0 };
            parts.next().map(|part| part.unwrap_or_default().1).map_err(|error| error.to_string())
        };
        assert_eq!(
            read(b"\xef\xbb\xbfa\r\n\xef\xbb\xbfb", false).unwrap(),
            "{\"text\":\"a\"}\n{\"text\":\"\u{feff}b\"}\n".as_bytes()
        );
        assert_eq!(read(b"\xef\xbb\xbf{\"text\":\"a\"}\r\n", true).unwrap(), b"{\"text\":\"a\"}\n");
        for (text, items) in [(&b"\xff\xfea\0\r\0\n\0"[..], false), (b"\xfe\xff\0a", true), (b"{\0}\0\n\0", true)] {
            assert!(read(text, items).unwrap_err().contains("iconv -f utf-16"), "{text:?}");
        }
    }
}
