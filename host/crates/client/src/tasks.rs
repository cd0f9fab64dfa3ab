//! Client calls on tasks, batches, dead letters and workers.

use std::{collections::BTreeMap, time::Duration};

use fusebox_api::{
    batch::Rows,
    filter::{TaskCount, TaskFilter, TaskStats},
    jobs::{JobPage, JobView},
    setup::StartParams,
    tasks::{TaskPage, TaskView, Waited},
    workers::{WorkerView, Workers},
};
use fusebox_core::limits::WAIT_SECONDS_MAX;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::{Client, Ran, Result};

/// Time added to a wait's own before the request times out: a host that is silent for longer is gone.
const SLACK: Duration = Duration::from_secs(30);

/// Adds the header with tags; none without any.
fn tagged(request: RequestBuilder, tags: &[String]) -> RequestBuilder {
    if tags.is_empty() { request } else { request.header("fusebox-tags", tags.join(",")) }
}

impl Client {
    /// Submits a task without arguments that starts after a delay.
    ///
    /// # Errors
    /// As [`Client::submit_with`].
    pub async fn submit(
        &self,
        function: &str,
        priority: Option<&str>,
        delay: Duration,
        input: Vec<u8>,
    ) -> Result<TaskView> {
        self.submit_with(function, &StartParams::default(), &[], priority, delay, input).await
    }

    /// Submits a task with tags, each `key=value`, that starts after a delay.
    ///
    /// # Errors
    /// Fails if there is no such function, the input is too large, the queue is full, or the host does not answer. After
    /// an error other than [`crate::ClientError::Problem`] the task may still have been accepted.
    pub async fn submit_with(
        &self,
        function: &str,
        start: &StartParams,
        tags: &[String],
        priority: Option<&str>,
        delay: Duration,
        input: Vec<u8>,
    ) -> Result<TaskView> {
        let mut url = self.url(&["v1", "functions", function, "tasks"]);
        url.query_pairs_mut()
            .append_pair("delay_ms", &delay.as_millis().to_string())
            .extend_pairs(priority.map(|priority| ("priority", priority)))
            .extend_pairs(start.pairs());
        self.json(tagged(self.http.post(url).body(input), tags)).await
    }

    /// Submits a task and waits for its end in the same request; the answer holds its result.
    ///
    /// # Errors
    /// Fails as [`Client::submit`] does. A task that fails is no error: its state says so.
    pub async fn submit_and_wait(&self, function: &str, input: Vec<u8>) -> Result<TaskView> {
        let request = self.http.post(self.url(&["v1", "functions", function, "tasks"])).body(input);
        self.json(request.header("prefer", format!("wait={WAIT_SECONDS_MAX}"))).await
    }

    /// Lists the newest tasks, at most `limit`.
    ///
    /// # Errors
    /// As [`Client::find`].
    pub async fn tasks(&self, limit: u32) -> Result<Vec<TaskView>> {
        self.find(&TaskFilter::default(), None, limit).await
    }

    /// Lists the first tasks with the properties of a filter, at most `limit`; `order` is `newest`, the default, or
    /// `oldest`. Follows cursors for as long as the host searches.
    ///
    /// # Errors
    /// Fails if the filter is invalid, or the host does not answer.
    pub async fn find(&self, filter: &TaskFilter, order: Option<&str>, limit: u32) -> Result<Vec<TaskView>> {
        let (mut found, mut cursor): (Vec<TaskView>, Option<String>) = (Vec::new(), None);
        loop {
            let mut url = self.url(&["v1", "tasks"]);
            let left = limit as usize - found.len();
            url.query_pairs_mut()
                .append_pair("limit", &left.to_string())
                .extend_pairs(filter.pairs())
                .extend_pairs(order.map(|order| ("order", order)))
                .extend_pairs(cursor.iter().map(|next| ("cursor", next)));
            let page: TaskPage = self.json(self.http.get(url)).await?;
            found.extend(page.items);
            cursor = page.next;
            if cursor.is_none() || found.len() >= limit as usize {
                found.truncate(limit as usize);
                return Ok(found);
            }
        }
    }

    /// Counts tasks with the properties of a filter, by `status`, `function` or `code`. Follows cursors to the end.
    ///
    /// # Errors
    /// Fails if the filter is invalid, or the host does not answer.
    pub async fn stats(&self, filter: &TaskFilter, by: &str) -> Result<TaskStats> {
        let mut groups: BTreeMap<String, u64> = BTreeMap::new();
        let (mut total, mut cursor): (u64, Option<String>) = (0, None);
        loop {
            let mut url = self.url(&["v1", "tasks", "stats"]);
            url.query_pairs_mut()
                .append_pair("by", by)
                .extend_pairs(filter.pairs())
                .extend_pairs(cursor.iter().map(|next| ("cursor", next)));
            let part: TaskStats = self.json(self.http.get(url)).await?;
            part.groups.into_iter().for_each(|group| *groups.entry(group.key).or_default() += group.tasks);
            total += part.total;
            cursor = part.next;
            if cursor.is_none() {
                let groups = groups.into_iter().map(|(key, tasks)| TaskCount { key, tasks });
                let mut groups: Vec<_> = groups.collect();
                groups.sort_by_key(|group| std::cmp::Reverse(group.tasks));
                return Ok(TaskStats { by: by.to_owned(), groups, total, complete: true, next: None });
            }
        }
    }

    /// Returns a task.
    ///
    /// # Errors
    /// Fails if there is no such task, or the host does not answer.
    pub async fn task(&self, id: &str) -> Result<TaskView> {
        self.json(self.http.get(self.url(&["v1", "tasks", id]))).await
    }

    /// Returns a task once it has ended, or its state after `seconds`.
    ///
    /// # Errors
    /// Fails if there is no such task, or the host does not answer.
    pub async fn wait_for(&self, id: &str, seconds: u64) -> Result<TaskView> {
        let request = self.http.get(self.url(&["v1", "tasks", id])).timeout(Duration::from_secs(seconds) + SLACK);
        self.json(request.header("prefer", format!("wait={seconds}"))).await
    }

    /// Cancels a task.
    ///
    /// # Errors
    /// Fails if there is no such task, it has already ended, or the host does not answer.
    pub async fn cancel(&self, id: &str) -> Result<TaskView> {
        self.json(self.http.request(Method::DELETE, self.url(&["v1", "tasks", id]))).await
    }

    /// Deletes an ended task with its input, output and log.
    ///
    /// # Errors
    /// Fails if there is no such task, it has not ended, or the host does not answer.
    pub async fn purge(&self, id: &str) -> Result<()> {
        let mut url = self.url(&["v1", "tasks", id]);
        url.query_pairs_mut().append_pair("purge", "true");
        self.send(self.http.delete(url)).await.map(drop)
    }

    /// Returns the result of a task that has succeeded.
    ///
    /// # Errors
    /// Fails with the task's own problem if it failed, or if there is no such task, it has not ended, or the host does not
    /// answer.
    pub async fn result(&self, id: &str) -> Result<Ran> {
        let answer = self.send(self.http.get(self.url(&["v1", "tasks", id, "result"]))).await?;
        self.ran(answer).await
    }

    /// Returns the log of a task's last run.
    ///
    /// # Errors
    /// Fails if there is no such task, it has not run, or the host does not answer.
    pub async fn log(&self, id: &str) -> Result<Vec<u8>> {
        let answer = self.send(self.http.get(self.url(&["v1", "tasks", id, "logs"]))).await?;
        self.body(answer).await
    }

    /// Begins an act on the tasks of a filter: `cancel`, `retry` or `delete`.
    ///
    /// # Errors
    /// Fails if the filter is empty or invalid, too many jobs are running, or the host does not answer.
    pub async fn act(&self, act: &str, filter: &TaskFilter) -> Result<JobView> {
        self.json(self.http.post(self.url(&["v1", "tasks", act])).json(filter)).await
    }

    /// Lists the jobs, the earliest first.
    ///
    /// # Errors
    /// Fails if the host does not answer.
    pub async fn jobs(&self) -> Result<Vec<JobView>> {
        self.pages(self.url(&["v1", "jobs"]), |page: JobPage| (page.items, page.next)).await
    }

    /// Returns a job.
    ///
    /// # Errors
    /// Fails if there is no such job, or the host does not answer.
    pub async fn job(&self, id: &str) -> Result<JobView> {
        self.json(self.http.get(self.url(&["v1", "jobs", id]))).await
    }

    /// Stops a job.
    ///
    /// # Errors
    /// Fails if there is no such job, or the host does not answer.
    pub async fn stop_job(&self, id: &str) -> Result<JobView> {
        self.json(self.http.delete(self.url(&["v1", "jobs", id]))).await
    }

    /// Submits a batch: one line of JSON for each task. With an idempotency key the same lines can be sent again
    /// safely.
    ///
    /// # Errors
    /// Fails if the batch as a whole is refused, or the host does not answer. Lines that are refused have their error in
    /// their row.
    pub async fn batch(&self, function: &str, lines: Vec<u8>, key: Option<&str>) -> Result<Rows> {
        self.batch_with(function, &[], lines, key).await
    }

    /// Submits a batch whose tasks have these tags, each `key=value`, beside their own.
    ///
    /// # Errors
    /// As [`Client::batch`].
    pub async fn batch_with(&self, function: &str, tags: &[String], lines: Vec<u8>, key: Option<&str>) -> Result<Rows> {
        let request = self.http.post(self.url(&["v1", "functions", function, "tasks", "batch"])).body(lines);
        let request = request.header("content-type", "application/x-ndjson");
        let request = key.into_iter().fold(request, |request, key| request.header("idempotency-key", key));
        self.json(tagged(request, tags)).await
    }

    /// Returns the states of tasks once all have ended, or after `seconds`.
    ///
    /// # Errors
    /// Fails if there are too many tasks, or the host does not answer. Unknown tasks are named in the answer.
    pub async fn wait(&self, tasks: &[String], seconds: u64) -> Result<Waited> {
        let request = self.http.post(self.url(&["v1", "tasks", "wait"])).json(&json!({"tasks": tasks}));
        let request = request.timeout(Duration::from_secs(seconds) + SLACK);
        self.json(request.header("prefer", format!("wait={seconds}"))).await
    }

    /// Retries a failed task; returns the new task.
    ///
    /// # Errors
    /// Fails if there is no such task, it has not failed, or the host does not answer.
    pub async fn retry(&self, id: &str) -> Result<TaskView> {
        self.json(self.http.post(self.url(&["v1", "tasks", id, "retry"]))).await
    }

    /// Lists the latest dead letters, of one function or of all.
    ///
    /// # Errors
    /// Fails if there is no such function, or the host does not answer.
    pub async fn dead_letters(&self, function: Option<&str>, limit: u32) -> Result<Vec<TaskView>> {
        let mut letters = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut url = self.url(&["v1", "dead-letters"]);
            url.query_pairs_mut()
                .append_pair("limit", &limit.to_string())
                .extend_pairs(function.map(|function| ("function", function)))
                .extend_pairs(cursor.iter().map(|next| ("cursor", next)));
            let page: TaskPage = self.json(self.http.get(url)).await?;
            letters.extend(page.items);
            cursor = page.next;
            if cursor.is_none() || letters.len() >= limit as usize {
                letters.truncate(limit as usize);
                return Ok(letters);
            }
        }
    }

    /// Replays these dead letters.
    ///
    /// # Errors
    /// Fails if there are too many tasks, or the host does not answer. Tasks that are refused have their error in their row.
    pub async fn replay(&self, ids: &[String]) -> Result<Rows> {
        let url = self.url(&["v1", "dead-letters", "replay"]);
        self.json(self.http.post(url).json(&json!({"tasks": ids}))).await
    }

    /// Replays a page of all dead letters: the latest, or the page at `cursor`.
    ///
    /// # Errors
    /// Fails if the cursor is invalid, or the host does not answer.
    pub async fn replay_all(&self, cursor: Option<&str>) -> Result<Rows> {
        let url = self.url(&["v1", "dead-letters", "replay"]);
        self.json(self.http.post(url).json(&json!({"all": true, "cursor": cursor}))).await
    }

    /// Lists the current workers.
    ///
    /// # Errors
    /// Fails if the host does not answer.
    pub async fn workers(&self) -> Result<Vec<WorkerView>> {
        self.pages(self.url(&["v1", "workers"]), |page: Workers| (page.items, page.next)).await
    }
}
