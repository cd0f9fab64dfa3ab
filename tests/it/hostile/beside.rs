//! Activity during the attack: a well-behaved function that is called continuously, and the latency of the machine
//! itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Sender, channel},
    },
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fusebox_harness::{Client, guests};
use tokio::task::JoinHandle;

use super::deployment::Deployment;

/// Number of calls before the attack, for comparison.
const CALLS_ALONE: u32 = 300;

/// Calls a function continuously, one call at a time.
pub(super) struct Neighbour {
    alone: Vec<Duration>,
    stop: Arc<AtomicBool>,
    calls: JoinHandle<Vec<Duration>>,
}

impl Neighbour {
    /// Starts; every response must be correct.
    pub(super) async fn beside(deployment: &Deployment) -> Self {
        let client = deployment.client();
        client.register("neighbour", "", &guests::echo()).await.unwrap();
        let mut alone = Vec::new();
        for n in 0..CALLS_ALONE {
            alone.push(call(&client, n).await);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let calls = tokio::spawn(async move {
            let mut calls = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let number = calls.len().try_into().unwrap();
                calls.push(call(&client, number).await);
            }
            calls
        });
        Self { alone, stop, calls }
    }

    /// Stops; returns a summary of the calls' durations.
    pub(super) async fn leave(self, mode: &str) -> String {
        self.stop.store(true, Ordering::Relaxed);
        let attacked = self.calls.await.expect("every answer was right");
        assert!(attacked.len() > 10, "the neighbour was hardly answered: {}", attacked.len());
        let count = attacked.len();
        let of = |calls: Vec<Duration>| {
            format!("p50 {:.1} ms, p99 {:.1} ms", percentile(&calls, 50), percentile(&calls, 99))
        };
        format!(
            "{mode}: neighbour alone {}; under attack {} ({count} calls, every answer right)",
            of(self.alone),
            of(attacked)
        )
    }
}

/// Runs one task from submission to response.
async fn call(client: &Client, n: u32) -> Duration {
    let (input, started) = (format!("call {n}"), Instant::now());
    let path = "/v1/functions/neighbour/tasks";
    let answer = client.send(reqwest::Method::POST, path, &[("prefer", "wait=50")], input.clone()).await.unwrap();
    let task = answer.json().unwrap();
    let took = started.elapsed();
    assert_eq!(task["status"], "COMPLETED", "{task}");
    assert_eq!(BASE64.decode(task["result"].as_str().unwrap()).unwrap(), input.as_bytes(), "{task}");
    took
}

fn percentile(calls: &[Duration], percent: usize) -> f64 {
    let mut sorted = calls.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() * percent / 100).map_or(0.0, |call| call.as_secs_f64() * 1_000.0)
}

/// Wakes every millisecond and records its delay. On an overloaded machine a run is late by as much, which is not a
/// fault of its limits.
pub(super) struct Lateness {
    worst_us: Arc<AtomicU64>,
    _ends_it: Sender<()>,
}

impl Lateness {
    pub(super) fn start() -> Self {
        const PERIOD: Duration = Duration::from_millis(1);
        let (ends_it, ended) = channel::<()>();
        let worst_us = Arc::new(AtomicU64::new(0));
        let worst = worst_us.clone();
        std::thread::spawn(move || {
            let mut before = Instant::now();
            while ended.recv_timeout(PERIOD) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let late = before.elapsed().saturating_sub(PERIOD);
                worst.fetch_max(late.as_micros().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
                before = Instant::now();
            }
        });
        Self { worst_us, _ends_it: ends_it }
    }

    /// Discards earlier records.
    pub(super) fn forget(&self) {
        self.worst_us.store(0, Ordering::Relaxed);
    }

    pub(super) fn worst_ms(&self) -> u64 {
        self.worst_us.load(Ordering::Relaxed) / 1_000
    }
}
