//! REST as the clients of a run use it: one attempt per call, and every answer classified for the history.

use std::time::Duration;

use anyhow::Context as _;
use fusebox_api::tasks::{TaskPage, TaskView};
use fusebox_client::tls::{self, Authorities};
use fusebox_core::task::Status;
use reqwest::{RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;

use super::{
    history::{End, Sight},
    work,
};

/// Timeout of a request, shorter than a pause, so that clients of a paused node turn to another.
const PATIENCE: Duration = Duration::from_secs(4);
/// Rows of a page: the most that REST returns.
const PAGE: u32 = 1_000;
/// Wall time of the function: a run that is paused half-way must not exceed it, since that would look like the
/// function's failure.
const WALL_MS: u32 = 120_000;

/// REST nodes of a cluster.
#[derive(Clone)]
pub(super) struct Nodes {
    http: reqwest::Client,
    urls: Vec<String>,
}

/// Classified answer of a node.
pub(super) enum NodeAnswer<T> {
    /// The value.
    Is(T),
    /// Nothing definite: the node is busy, or the connection broke.
    Unknown(String),
    /// The task does not exist.
    Missing,
    /// An answer that a valid request must not get.
    Refused { status: u16, code: String },
}

impl Nodes {
    /// Creates a client of the nodes at these URLs.
    ///
    /// # Errors
    /// Fails if no HTTP client can be created.
    pub(super) fn new(urls: Vec<String>) -> anyhow::Result<Self> {
        let tls = tls::config(Authorities::None).map_err(anyhow::Error::msg)?;
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls);
        // The nodes are on this machine, which no proxy of the environment can reach.
        let http = http.no_proxy().connect_timeout(Duration::from_secs(1)).timeout(PATIENCE).build()?;
        Ok(Self { http, urls })
    }

    /// Registers the function.
    ///
    /// # Errors
    /// Fails if it is refused.
    pub(super) async fn register(&self) -> anyhow::Result<()> {
        let path = format!("/v1/functions?name={}&wall_ms={WALL_MS}", work::NAME);
        let request = self.http.post(self.url(0, &path)).timeout(Duration::from_secs(30)).body(work::MODULE);
        let answer = request.send().await?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), "the function is refused: {status} {}", answer.text().await?);
        Ok(())
    }

    /// Submits the task of a key; returns its id.
    pub(super) async fn submit(&self, node: usize, key: &str, wait_ms: u16) -> NodeAnswer<String> {
        let path = format!("/v1/functions/{}/tasks", work::NAME);
        let request = self.http.post(self.url(node, &path)).header("idempotency-key", key);
        self.answer(request.body(work::input(wait_ms, key))).await.map(|task: TaskView| task.id)
    }

    /// Reads a task once it has ended, or after `wait_s` seconds.
    pub(super) async fn look(&self, node: usize, task: &str, wait_s: u64) -> NodeAnswer<Sight> {
        let request = self.http.get(self.url(node, &format!("/v1/tasks/{task}")));
        self.answer(request.header("prefer", format!("wait={wait_s}"))).await.map(|task: TaskView| sight(&task))
    }

    /// Reads a page of the newest tasks, and the cursor of the next page.
    ///
    /// # Errors
    /// Fails if no page is received.
    pub(super) async fn page(&self, node: usize, cursor: Option<&str>) -> anyhow::Result<TaskPage> {
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let request = self.http.get(self.url(node, &format!("/v1/tasks?limit={PAGE}{cursor}")));
        match self.answer(request).await {
            NodeAnswer::Is(page) => Ok(page),
            NodeAnswer::Unknown(why) => anyhow::bail!("the tasks are not listed: {why}"),
            NodeAnswer::Missing => anyhow::bail!("the tasks are not listed: 404"),
            NodeAnswer::Refused { status, code } => anyhow::bail!("the tasks are not listed: {status} {code}"),
        }
    }

    /// Reads the numbers of ready, delayed and running tasks from the metrics.
    ///
    /// # Errors
    /// Fails if the metrics lack them.
    pub(super) async fn backlog(&self, node: usize) -> anyhow::Result<[u64; 3]> {
        let answer = self.http.get(self.url(node, "/metrics")).send().await?.error_for_status()?;
        let text = answer.text().await?;
        let gauge = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse().ok()).with_context(|| format!("the metrics have no {name}"))
        };
        Ok([gauge("fusebox_tasks_ready")?, gauge("fusebox_tasks_delayed")?, gauge("fusebox_tasks_running")?])
    }

    fn url(&self, node: usize, path: &str) -> String {
        let base = self.urls.get(node % self.urls.len().max(1)).map(String::as_str).unwrap_or_default();
        format!("{base}{path}")
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> NodeAnswer<T> {
        let (status, body) = match read(request).await {
            Ok(answer) => answer,
            Err(error) => return NodeAnswer::Unknown(reason(&error)),
        };
        let is_busy = matches!(status.as_u16(), 408 | 429 | 502..=504);
        match serde_json::from_slice(&body) {
            Ok(body) if status.is_success() => NodeAnswer::Is(body),
            _ if is_busy => NodeAnswer::Unknown(status.as_u16().to_string()),
            _ if status == StatusCode::NOT_FOUND && code(&body) == "task-not-found" => NodeAnswer::Missing,
            _ => NodeAnswer::Refused { status: status.as_u16(), code: code(&body) },
        }
    }
}

impl<T> NodeAnswer<T> {
    fn map<U>(self, to: impl FnOnce(T) -> U) -> NodeAnswer<U> {
        match self {
            Self::Is(body) => NodeAnswer::Is(to(body)),
            Self::Unknown(why) => NodeAnswer::Unknown(why),
            Self::Missing => NodeAnswer::Missing,
            Self::Refused { status, code } => NodeAnswer::Refused { status, code },
        }
    }
}

async fn read(request: RequestBuilder) -> reqwest::Result<(StatusCode, Vec<u8>)> {
    let answer = request.send().await?;
    Ok((answer.status(), answer.bytes().await?.to_vec()))
}

/// Returns the innermost cause, the part that differs between errors.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn code(body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    problem.and_then(|problem| problem.get("code")?.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Extracts the state of a task's record.
pub(super) fn sight(task: &TaskView) -> Sight {
    let status = match task.status.as_str() {
        "QUEUED" => Status::Queued,
        "RUNNING" => Status::Running,
        "COMPLETED" => Status::Completed,
        _ => Status::Failed,
    };
    let receipt = task.receipt.as_ref();
    let end = status.is_ended().then(|| End {
        at: task.ended_at.clone().unwrap_or_default(),
        attempt: receipt.map(|receipt| receipt.attempt).unwrap_or_default(),
        attempts_max: task.attempts_max,
        worker: receipt.and_then(|receipt| receipt.worker.clone()),
        receipt: serde_json::to_string(&receipt).unwrap_or_default(),
        error: task.error.as_ref().map(|error| error.code.clone()),
        result: task.result.clone(),
    });
    Sight { status, attempt: task.attempt, end }
}
