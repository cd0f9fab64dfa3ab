//! Performs jobs: each node takes those that nobody holds, and handles their tasks page by page. After each page the job is
//! saved, so that another node, or this one after a restart, goes on from there. Jobs take turns, a page each.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    function::FunctionVersion,
    id::{Attempt, FunctionId},
    task::{Status, Task},
};
use fusebox_store::{
    Accepted, Act, Cancelled, Error, Find, FunctionRef, Job, JobState, NewTask, Order, PageRequest, Purged, Store,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    rest::{idempotency::replay_id, retry},
    telemetry::metrics::Metrics,
    tenancy::QuotaBook,
};

/// Time for which a node holds a job that it works on without a sign of progress, in milliseconds. After it another node
/// takes the job over.
const JOB_HOLD_MS: u64 = 30_000;
/// Tasks that a job handles between two signs of progress: a page that one step of the store handles in some milliseconds.
const JOB_TASKS_MAX: u32 = 200;
/// Interval between searches for jobs that nobody holds.
const SEARCH: Duration = Duration::from_secs(2);
/// Jobs that this node holds at a time.
const TAKEN_MAX: usize = 8;
/// Cancellations in flight: enough to share a write of the store, few enough to leave room for requests.
const CANCELS_MAX: usize = 32;
/// Pause before a page is handled again whose retries have found the queue full.
const FULL: Duration = Duration::from_secs(2);

/// Runner of a node.
pub struct Runner {
    store: Arc<dyn Store>,
    quotas: Arc<QuotaBook>,
    attempts_max: Attempt,
    metrics: Arc<Metrics>,
    woken: Notify,
}

/// Outcome of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Handled {
    changed: u64,
    skipped: u64,
    /// True if the tenant's queue or store had no room, so that the page must be handled again.
    is_full: bool,
}

impl Runner {
    /// Creates a runner. Retries have at most `attempts_max` attempts, as any task.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        quotas: Arc<QuotaBook>,
        attempts_max: Attempt,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self { store, quotas, attempts_max, metrics, woken: Notify::new() })
    }

    /// Says that there is a new job.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Performs jobs until `stop`. What it holds then is taken over by another node, or by the next process.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.woken.notified() => {}
                () = sleep(SEARCH) => {}
                () = stop.cancelled() => return,
            }
            if stop.run_until_cancelled(self.work()).await.is_none() {
                return;
            }
        }
    }

    /// Takes jobs that nobody holds, and performs them to their ends, a page of each in turn.
    pub async fn work(&self) {
        let mut jobs = match self.store.take_jobs(TAKEN_MAX, JOB_HOLD_MS).await {
            Ok(jobs) => jobs,
            Err(error) => {
                tracing::debug!(%error, "jobs are not looked for");
                return;
            }
        };
        while !jobs.is_empty() {
            let mut next = Vec::new();
            let mut is_full = true;
            for job in jobs {
                let (job, handled) = self.step(job).await;
                is_full &= handled.is_full;
                next.extend(job);
            }
            jobs = next;
            if is_full && !jobs.is_empty() {
                sleep(FULL).await;
            }
        }
    }

    /// Handles the next page of a job and saves it; returns the job if it goes on here.
    async fn step(&self, mut job: Job) -> (Option<Job>, Handled) {
        let page = PageRequest { cursor: job.cursor.clone(), rows: JOB_TASKS_MAX };
        let asked = Find { selection: job.selection.clone(), order: Order::Newest, page };
        let handled = async {
            let page = self.store.find(&job.tenant, &asked).await?;
            Ok::<_, Error>((self.handle(job.act, page.items).await?, page.next))
        };
        let handled = match handled.await {
            Ok((handled, next)) => {
                if !handled.is_full {
                    job.changed += handled.changed;
                    job.skipped += handled.skipped;
                    job.cursor = next;
                    if job.cursor.is_none() {
                        job.state = JobState::Done;
                    }
                }
                handled
            }
            Err(Error::Corrupt(reason)) => {
                tracing::error!(job = %job.id, reason, "a job ends: a record cannot be read");
                job.state =
                    JobState::Failed("a stored record cannot be read; the host's log has the reason".to_owned());
                Handled::default()
            }
            Err(error) => {
                // It is taken over once it is no longer held.
                tracing::warn!(job = %job.id, %error, "a job does not go on: the store does not answer");
                return (None, Handled::default());
            }
        };
        if !job.is_open() {
            job.ended_at = self.store.now().await.ok();
        }
        match self.store.save_job(job.clone(), JOB_HOLD_MS).await {
            Ok(true) if job.is_open() => (Some(job), handled),
            Ok(_) => (None, handled),
            Err(error) => {
                tracing::warn!(job = %job.id, %error, "a job is not saved; its last page is handled again");
                (None, handled)
            }
        }
    }

    async fn handle(&self, act: Act, tasks: Vec<Task>) -> Result<Handled, Error> {
        match act {
            Act::Cancel => self.cancel(tasks).await,
            Act::Retry => self.retry(tasks).await,
            Act::Delete => self.delete(tasks).await,
        }
    }

    async fn cancel(&self, tasks: Vec<Task>) -> Result<Handled, Error> {
        let many = tasks.len() as u64;
        let open = tasks.into_iter().filter(|task| !task.status().is_ended());
        let cancelled = stream::iter(open).map(|task| async move { self.store.cancel(&task.tenant, task.id).await });
        let answers: Vec<_> = cancelled.buffer_unordered(CANCELS_MAX).try_collect().await?;
        let is_changed = |answer: &&Cancelled| matches!(answer, Cancelled::Cancelled { .. });
        let changed = answers.iter().filter(is_changed).count() as u64;
        (0..changed).for_each(|_| self.metrics.task_ended(Status::Failed, Some(ErrorCode::Cancelled)));
        Ok(Handled { changed, skipped: many - changed, is_full: false })
    }

    async fn delete(&self, tasks: Vec<Task>) -> Result<Handled, Error> {
        let many = tasks.len() as u64;
        let ended = tasks.into_iter().filter(|task| task.status().is_ended());
        let ended: Vec<_> = ended.map(|task| (task.tenant, task.id)).collect();
        let answers = if ended.is_empty() { Vec::new() } else { self.store.purge(ended).await? };
        let changed = answers.iter().filter(|answer| **answer == Purged::Purged).count() as u64;
        Ok(Handled { changed, skipped: many - changed, is_full: false })
    }

    /// Replays dead letters under the ids that each replay has, so that a letter is replayed once.
    async fn retry(&self, tasks: Vec<Task>) -> Result<Handled, Error> {
        let many = tasks.len() as u64;
        let mut versions: HashMap<FunctionId, Option<FunctionVersion>> = HashMap::new();
        let mut replays: Vec<NewTask> = Vec::new();
        for letter in tasks.iter().filter(|task| task.is_dead_letter()) {
            let version = match versions.entry(letter.function) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let id = FunctionRef::Id(letter.function);
                    unknown.insert(self.store.function(&letter.tenant, &id).await?)
                }
            };
            // A deleted version cannot run again.
            let Some(version) = version else { continue };
            let (id, quotas) = (replay_id(&letter.tenant, letter.id), self.quotas.of(&letter.tenant));
            replays.push(retry::again(letter, version, Bytes::new()).into_task(id, self.attempts_max, &quotas));
        }
        let answers = if replays.is_empty() { Vec::new() } else { self.store.replay(replays).await? };
        let is_full =
            |answer: &Accepted| matches!(answer, Accepted::QueueFull | Accepted::BytesReached | Accepted::NoAnswer);
        let new = answers.iter().filter(|answer| matches!(answer, Accepted::New { .. })).count();
        (0..new).for_each(|_| self.metrics.task_accepted());
        // One that was replayed before counts: the page may be handled again.
        let is_changed = |answer: &&Accepted| matches!(answer, Accepted::New { .. } | Accepted::Duplicate);
        let changed = answers.iter().filter(is_changed).count() as u64;
        Ok(Handled { changed, skipped: many - changed, is_full: answers.iter().any(is_full) })
    }
}
