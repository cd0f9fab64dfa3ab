//! Offers tasks at a fixed rate, regardless of the answers, and counts the answers.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures_util::future::try_join_all;
use hyper::{StatusCode, header::RETRY_AFTER};

use crate::bench::{
    http::{Call, Connection, HttpAnswer, Target},
    load::on_own_thread,
    memory::resident_bytes,
    metronome::Metronome,
    stats::Times,
};

/// Number of connections: enough that no request waits for the answer to another.
const CONNECTIONS: usize = 64;
/// Interval between readings of the host's memory.
const LOOK: Duration = Duration::from_millis(200);
/// Time after which a queue that has not emptied counts as stuck.
const PATIENCE: Duration = Duration::from_secs(300);

/// Load to offer.
pub(super) struct Offer {
    pub(super) url: String,
    /// Process id of the host.
    pub(super) process: u32,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
    pub(super) per_second: u32,
    pub(super) seconds: u64,
}

/// Counts of the answers, and the host's memory.
pub(super) struct Flood {
    pub(super) seconds: f64,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    /// Refusals without `Retry-After`.
    pub(super) unsaid: u64,
    pub(super) broken: u64,
    /// Tasks that ended during the load.
    pub(super) ended: u64,
    pub(super) resident_bytes: u64,
    /// Latencies of the answers, from the scheduled time of each request.
    pub(super) times: Times,
}

impl Offer {
    /// Sends all requests, on a separate thread.
    ///
    /// # Errors
    /// Fails if the host cannot be reached at all.
    pub(super) async fn make(self) -> anyhow::Result<Flood> {
        on_own_thread(move || self.send()).await
    }

    async fn send(self) -> anyhow::Result<Flood> {
        let target = Target::new(&self.url, None)?;
        let connections = target.connections(CONNECTIONS).await?;
        let before = completed(&target).await?;
        let requests = u64::from(self.per_second) * self.seconds;
        let line = Line {
            target: &target,
            call: Call::post(&self.path, self.body)?,
            metronome: Metronome::start(self.per_second, requests)?,
            left: Cell::new(requests),
            counts: RefCell::new(Counts::default()),
            times: RefCell::new(Times::new()?),
        };
        let began = line.metronome.began();
        let over = Cell::new(false);
        let all = async {
            try_join_all(connections.into_iter().map(|connection| line.work(connection))).await?;
            over.set(true);
            anyhow::Ok(())
        };
        let ((), resident_bytes) = tokio::try_join!(all, resident(self.process, &over))?;
        let seconds = began.elapsed().as_secs_f64();
        let ended = completed(&target).await?.saturating_sub(before);
        let Counts { accepted, refused, unsaid, broken } = line.counts.into_inner();
        let times = line.times.into_inner();
        Ok(Flood { seconds, accepted, refused, unsaid, broken, ended, resident_bytes, times })
    }
}

#[derive(Clone, Copy, Default)]
struct Counts {
    accepted: u64,
    refused: u64,
    unsaid: u64,
    broken: u64,
}

/// State shared by all connections.
struct Line<'a> {
    target: &'a Target,
    call: Call,
    metronome: Metronome,
    left: Cell<u64>,
    counts: RefCell<Counts>,
    times: RefCell<Times>,
}

impl Line<'_> {
    async fn work(&self, mut connection: Connection) -> anyhow::Result<()> {
        while let Some(left) = self.left.get().checked_sub(1) {
            self.left.set(left);
            let meant = self.metronome.beat().await?;
            let answer = connection.exchange(&self.call).await;
            self.times.borrow_mut().record(meant.elapsed());
            let broke = answer.is_err();
            self.count(answer);
            if broke {
                connection = self.target.connect().await?;
            }
        }
        Ok(())
    }

    fn count(&self, answer: anyhow::Result<(StatusCode, HttpAnswer)>) {
        let mut counts = self.counts.borrow_mut();
        match answer {
            Ok((StatusCode::ACCEPTED, _)) => counts.accepted += 1,
            Ok((StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, answer)) => {
                counts.refused += 1;
                counts.unsaid += u64::from(!answer.headers.contains_key(RETRY_AFTER));
            }
            Ok(_) | Err(_) => counts.broken += 1,
        }
    }
}

/// Returns the largest resident memory of a process until `over` is set.
async fn resident(process: u32, over: &Cell<bool>) -> anyhow::Result<u64> {
    let mut most = 0;
    while !over.get() {
        most = most.max(resident_bytes(process)?);
        tokio::time::sleep(LOOK).await;
    }
    Ok(most)
}

/// Waits until no task waits or runs; returns the number of completed tasks.
///
/// # Errors
/// Fails if the host does not answer, or does not empty its queue.
pub(super) async fn drained(url: &str) -> anyhow::Result<u64> {
    let target = Target::new(url, None)?;
    let began = Instant::now();
    loop {
        let metrics = metrics(&target).await?;
        if figure(&metrics, "fusebox_tasks_ready ")? + figure(&metrics, "fusebox_tasks_running ")? == 0 {
            return figure(&metrics, COMPLETED);
        }
        anyhow::ensure!(began.elapsed() < PATIENCE, "the queue does not drain");
        tokio::time::sleep(LOOK).await;
    }
}

const COMPLETED: &str = "fusebox_tasks_ended_total{status=\"COMPLETED\",code=\"\"} ";

async fn completed(target: &Target) -> anyhow::Result<u64> {
    figure(&metrics(target).await?, COMPLETED)
}

async fn metrics(target: &Target) -> anyhow::Result<String> {
    let answer = target.connect().await?.send(&Call::get("/metrics")?).await?;
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}

/// Reads a metric; one that was never counted is 0.
fn figure(metrics: &str, name: &str) -> anyhow::Result<u64> {
    let found = metrics.lines().find_map(|line| line.strip_prefix(name));
    found.map_or(Ok(0), |value| value.trim().parse().with_context(|| format!("{name} is not a number")))
}
