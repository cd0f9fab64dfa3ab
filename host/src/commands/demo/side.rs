//! One mode of the comparison: a host with its own store, the worker processes that join it, and its tasks.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use fusebox_api::{tasks::TaskView, workers::WorkerView};
use fusebox_client::Client;
use fusebox_core::dispatch::Mode;
use fusebox_lab::process::{self, Process, Start};
use futures_util::{StreamExt as _, TryStreamExt as _, future::join_all, stream};
use indicatif::ProgressBar;

use super::{Host, MODULES, host_options};

/// Worker processes of push and pull, and the slots of each. Local mode has as many slots, in the host.
const WORKERS: u32 = 2;
const SLOTS_EACH: u32 = 2;
/// Longest time for a worker to join or to end, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);
/// Interval of polling; hosts update their list of workers once a second.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Number of concurrent event streams.
const STREAMS: usize = 16;

/// One side of the comparison. Dropping it kills the workers.
pub(super) struct Side {
    pub(super) mode: Mode,
    pub(super) client: Client,
    host: Host,
    processes: Vec<Process>,
}

/// Results of a batch on one side.
pub(super) struct Ran {
    /// The tasks with their results, in the order of the batch.
    pub(super) tasks: Vec<TaskView>,
    /// Time from the submission to the last end.
    pub(super) took: Duration,
    /// Number of tasks by worker.
    pub(super) places: BTreeMap<String, u64>,
}

impl Side {
    /// Starts the host, without workers.
    pub(super) async fn start(home: &Path, mode: Mode) -> anyhow::Result<Self> {
        // In push and pull mode the host's own slots serve only sync invokes, and the demo has none here.
        let slots = if mode == Mode::Local { WORKERS * SLOTS_EACH } else { 1 };
        let host = Host::start(host_options(home, mode.as_str(), mode, slots)).await?;
        Ok(Self { mode, client: Client::new(host.url())?, host, processes: Vec::new() })
    }

    /// Starts all worker processes at once, and waits until the host lists them.
    pub(super) async fn join_workers(&mut self, home: &Path) -> anyhow::Result<()> {
        if let Some(address) = self.host.workers_address() {
            let program = process::this_program()?;
            let command = format!("{}-worker", self.mode.as_str());
            let data = home.join(MODULES).display().to_string();
            let start = |number| Start {
                program: program.clone(),
                args: [
                    &command,
                    &SLOTS_EACH.to_string(),
                    &format!("tcp://{address}"),
                    "--data",
                    &data,
                    "--log",
                    "warn",
                ]
                .map(str::to_owned)
                .into(),
                env: Vec::new(),
                log: home.join(format!("{command}-{number}.log")),
                ready: "Joined",
            };
            let starts = (0..WORKERS).map(|number| Process::start(start(number), PATIENCE));
            let (started, failed): (Vec<_>, Vec<_>) = join_all(starts).await.into_iter().partition(Result::is_ok);
            self.processes = started.into_iter().flatten().collect();
            let failed = failed.into_iter().find_map(Result::err);
            failed.map_or(Ok(()), |error| Err(error.context(format!("start a {command}"))))?;
        }
        let deadline = Instant::now() + PATIENCE;
        while self.workers().await?.len() < self.processes.len().max(1) {
            anyhow::ensure!(Instant::now() < deadline, "the {} host does not list its workers", self.mode.as_str());
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Returns the host's workers; fails if any is neither a process started for it nor, without such processes, the
    /// host itself.
    pub(super) async fn workers(&self) -> anyhow::Result<Vec<WorkerView>> {
        let workers = self.client.workers().await?;
        let mut numbers: Vec<u32> = self.processes.iter().filter_map(Process::id).collect();
        if numbers.is_empty() {
            numbers.push(std::process::id());
        }
        for worker in &workers {
            let is_ours = numbers.iter().any(|number| worker.name.ends_with(&format!("/{number}")));
            anyhow::ensure!(is_ours && worker.mode == self.mode, "{} should not be a worker here", worker.name);
        }
        Ok(workers)
    }

    /// Returns the number of worker processes.
    pub(super) fn processes(&self) -> usize {
        self.processes.len()
    }

    /// Submits a batch, follows each task by its events, and returns the results once all have ended.
    pub(super) async fn batch(&self, lines: Vec<u8>, count: usize, bar: &ProgressBar) -> anyhow::Result<Ran> {
        let started = Instant::now();
        let rows = self.client.batch("hello", lines, None).await?;
        let ids: Vec<String> = rows.items.into_iter().filter_map(|row| row.task).collect();
        anyhow::ensure!(ids.len() == count, "{} of {count} tasks were accepted", ids.len());
        let ends = stream::iter(&ids).map(|id| self.ended(id)).buffer_unordered(STREAMS);
        ends.try_for_each(|()| async {
            bar.inc(1);
            Ok(())
        })
        .await?;
        let took = started.elapsed();
        let waited = self.client.wait(&ids, 1).await?;
        anyhow::ensure!(waited.done && waited.items.len() == count, "a task has ended, and then it has not");
        let places = self.places(&waited.items).await?;
        Ok(Ran { tasks: waited.items, took, places })
    }

    /// Reads a task's events until it has ended; reopens a stream that breaks off.
    async fn ended(&self, id: &str) -> anyhow::Result<()> {
        let (mut last, mut is_over) = (None, false);
        while !is_over {
            let mut events = self.client.events(id, last.as_deref()).await?;
            // Reads the stream to its end, so that its connection can be reused.
            while let Some(event) = events.next().await? {
                is_over = event.task.is_ended();
                last = Some(event.id);
            }
        }
        Ok(())
    }

    /// Counts by worker name, from the receipts, how many of these tasks each worker ran.
    async fn places(&self, tasks: &[TaskView]) -> anyhow::Result<BTreeMap<String, u64>> {
        let workers = self.workers().await?;
        let mut places: BTreeMap<String, u64> = workers.iter().map(|worker| (worker.name.clone(), 0)).collect();
        for task in tasks {
            let id = task.receipt.as_ref().and_then(|receipt| receipt.worker.as_ref());
            let worker = workers.iter().find(|worker| Some(&worker.id) == id);
            let worker = worker.with_context(|| format!("task {} ran on none of the host's workers", task.id))?;
            *places.entry(worker.name.clone()).or_default() += 1;
        }
        Ok(places)
    }

    /// Ends the workers and then the host, so that the last reports are accepted.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        let mut ends = Vec::new();
        for mut process in self.processes {
            ends.push(process.terminate(PATIENCE).await);
        }
        self.host.drain().await;
        for end in ends {
            let is_orderly = end?.is_some_and(|status| status.success());
            anyhow::ensure!(is_orderly, "a {} worker did not end as it should", self.mode.as_str());
        }
        Ok(())
    }
}
