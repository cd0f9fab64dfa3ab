//! One mode of the comparison: a host with its own store, the worker processes that join it, and its tasks.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use fusebox_api::{tasks::TaskView, workers::WorkerView};
use fusebox_client::Client;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::ProgressBar;

use super::shape;
use crate::cluster::{Cluster, Mode, Role};

/// Worker processes of push and pull, and the slots of each. Local mode has as many slots, in the host.
pub(super) const WORKERS: u8 = 2;
const SLOTS_EACH: u32 = 2;
/// Longest time until the workers are listed, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);
/// Interval of polling; hosts update their list of workers once a second.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Number of concurrent event streams.
const STREAMS: usize = 16;

/// One side of the comparison. Dropping it kills its processes.
pub(super) struct Side {
    pub(super) mode: Mode,
    pub(super) client: Client,
    cluster: Cluster,
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
    /// Starts the host and its workers, and waits until the host lists them.
    ///
    /// # Errors
    /// Fails if a process does not start, or a worker does not join.
    pub(super) async fn start(home: &Path, mode: Mode) -> anyhow::Result<Self> {
        let slots = if mode == Mode::Local { u32::from(WORKERS) * SLOTS_EACH } else { SLOTS_EACH };
        let cluster = Cluster::start(&shape(home, mode.as_str(), mode, WORKERS, slots)?).await?;
        let side = Self { mode, client: cluster.client()?, cluster };
        let deadline = Instant::now() + PATIENCE;
        while side.workers().await?.len() < side.ids().await?.len() {
            anyhow::ensure!(Instant::now() < deadline, "the {} host does not list its workers", mode.as_str());
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(side)
    }

    /// Returns the ids of the processes that run tasks.
    async fn ids(&self) -> anyhow::Result<Vec<u32>> {
        let role = if self.mode == Mode::Local { Role::Host } else { Role::Worker };
        let mut ids = Vec::new();
        for part in self.cluster.parts().filter(|part| part.role == role) {
            ids.push(self.cluster.process(part)?.lock().await.id().with_context(|| format!("{part} has ended"))?);
        }
        Ok(ids)
    }

    /// Returns the host's workers; fails if any is not a process of this side.
    pub(super) async fn workers(&self) -> anyhow::Result<Vec<WorkerView>> {
        let (workers, ids) = (self.client.workers().await?, self.ids().await?);
        for worker in &workers {
            let is_ours = ids.iter().any(|id| worker.name.ends_with(&format!("/{id}")));
            let is_mode = worker.mode.as_str() == self.mode.as_str();
            anyhow::ensure!(is_ours && is_mode, "{} is not a worker of this host", worker.name);
        }
        Ok(workers)
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
        anyhow::ensure!(waited.done && waited.items.len() == count, "a task left its ended state");
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
    ///
    /// # Errors
    /// Fails if a process does not end in order.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        self.cluster.end().await
    }
}
