//! The load generator: sends requests on its own thread and records the time of each answer.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use fusebox_api::batch::Rows;
use futures_util::future::try_join_all;
use hyper::header::LOCATION;

use super::{
    http::{Call, Connection, HttpAnswer, Target},
    metronome::Metronome,
    stats::Times,
};

/// Result of a load.
pub(super) struct Sent {
    /// Time of the first request.
    pub(super) began: Instant,
    /// Time of the last answer.
    pub(super) answered: Instant,
    /// Latencies of the answers.
    pub(super) times: Times,
    /// Ids of the submitted tasks; empty if the answers already hold their results.
    pub(super) tasks: Vec<String>,
    /// Kept bodies of answers.
    pub(super) bodies: Vec<Bytes>,
}

/// Part of an answer that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// The task's id from the `Location` header.
    Task,
    /// The task ids from a batch's rows.
    Tasks,
    /// Nothing; the rows are only checked for refusals.
    NoTask,
    /// The body.
    Body,
    /// Nothing; the body must equal this one.
    Nothing(Bytes),
}

/// Timing of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Closed loop: each connection sends the next request after its answer.
    Closed,
    /// Open loop: sends at this rate regardless of answers; latencies count from the scheduled time of each request.
    Open { per_second: u32 },
}

/// A load: requests sent in turn, repeatedly.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) target: Target,
    pub(super) calls: Vec<Call>,
    pub(super) keep: Keep,
    pub(super) pace: Pace,
    pub(super) requests: u64,
    pub(super) connections: usize,
}

impl Load {
    /// Sends all requests and waits for the last answer, on its own thread, which avoids hand-overs between threads.
    ///
    /// # Errors
    /// Fails if any answer is a problem.
    pub(super) async fn run(self) -> anyhow::Result<Sent> {
        on_own_thread(move || self.send()).await
    }

    async fn send(self) -> anyhow::Result<Sent> {
        let connections = self.target.connections(self.connections).await?;
        let metronome = match self.pace {
            Pace::Closed => None,
            Pace::Open { per_second } => Some(Metronome::start(per_second, self.requests)?),
        };
        let began = metronome.as_ref().map_or_else(Instant::now, Metronome::began);
        let line = Line { load: &self, metronome, next: Cell::new(0), kept: RefCell::new(Kept::new()?) };
        try_join_all(connections.into_iter().map(|connection| line.work(connection))).await?;
        let answered = Instant::now();
        let Kept { times, tasks, bodies } = line.kept.into_inner();
        Ok(Sent { began, answered, times, tasks, bodies })
    }
}

struct Kept {
    times: Times,
    tasks: Vec<String>,
    bodies: Vec<Bytes>,
}

impl Kept {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { times: Times::new()?, tasks: Vec::new(), bodies: Vec::new() })
    }

    fn keep(&mut self, keep: &Keep, answer: HttpAnswer) -> anyhow::Result<()> {
        match keep {
            Keep::Task => {
                let location = answer.headers.get(LOCATION).and_then(|path| path.to_str().ok());
                let task = location.and_then(|path| path.rsplit('/').next()).context("the answer names no task")?;
                self.tasks.push(task.to_owned());
            }
            Keep::Tasks => self.tasks.extend(made(&answer)?),
            Keep::NoTask => drop(made(&answer)?),
            Keep::Body => self.bodies.push(answer.body),
            Keep::Nothing(body) => {
                anyhow::ensure!(answer.body == body, "the function returned an unexpected result");
            }
        }
        Ok(())
    }
}

/// Returns the ids of a batch's tasks; fails if any was refused.
fn made(answer: &HttpAnswer) -> anyhow::Result<Vec<String>> {
    let rows: Rows = answer.json()?;
    let refused = rows.items.iter().find_map(|row| row.error.as_ref());
    if let Some(error) = refused {
        anyhow::bail!("{} tasks of a batch were refused: {}", rows.refused, error.message);
    }
    Ok(rows.items.into_iter().filter_map(|row| row.task).collect())
}

/// State shared by all connections.
struct Line<'a> {
    load: &'a Load,
    metronome: Option<Metronome>,
    next: Cell<u64>,
    kept: RefCell<Kept>,
}

impl Line<'_> {
    async fn work(&self, mut connection: Connection) -> anyhow::Result<()> {
        loop {
            let number = self.next.get();
            if number >= self.load.requests || self.load.calls.is_empty() {
                return Ok(());
            }
            self.next.set(number + 1);
            let meant = match &self.metronome {
                Some(metronome) => metronome.beat().await?,
                None => Instant::now(),
            };
            let turn = usize::try_from(number % self.load.calls.len() as u64)?;
            let answer = connection.send(self.load.calls.get(turn).context("the load has no requests")?).await?;
            let mut kept = self.kept.borrow_mut();
            kept.times.record(meant.elapsed());
            kept.keep(&self.load.keep, answer)?;
        }
    }
}

/// Runs a future on a separate thread with its own runtime.
///
/// # Errors
/// Fails with the future's error, or if no runtime can be created.
pub(super) async fn on_own_thread<T, F>(future: impl FnOnce() -> F + Send + 'static) -> anyhow::Result<T>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>>,
{
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(future())
    };
    tokio::task::spawn_blocking(run).await.context("the load's thread stopped unexpectedly")?
}

/// Returns the pause before the next poll of a queue that shrank from `before` to `after` within `meanwhile`: half of
/// the expected rest, and at most 1/200 of the `passed` time, which bounds the error of the measured end.
pub(super) fn until_next_look(before: u64, after: u64, meanwhile: Duration, passed: Duration) -> Duration {
    const SHORTEST: Duration = Duration::from_millis(1);
    let longest = (passed / 200).max(SHORTEST);
    let ended = before.saturating_sub(after);
    if ended == 0 {
        return longest;
    }
    let left = meanwhile.as_secs_f64() * to_f64(after) / to_f64(ended);
    Duration::from_secs_f64(left / 2.0).clamp(SHORTEST, longest)
}

#[expect(clippy::cast_precision_loss, reason = "counts of tasks are below 2^52")]
pub(super) fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_looked_at_more_often_as_its_end_comes_nearer() {
        let ms = Duration::from_millis;
        let passed = ms(10_000);
        assert_eq!(until_next_look(1_000, 900, ms(10), passed), ms(45));
        assert_eq!(until_next_look(100, 10, ms(9), passed), ms(1));
        assert_eq!(until_next_look(1_000_000, 999_999, ms(10), passed), ms(50));
        assert_eq!(until_next_look(10, 10, ms(10), ms(500)), Duration::from_micros(2_500));
        assert_eq!(until_next_look(10, 10, ms(10), ms(20)), ms(1));
    }
}
