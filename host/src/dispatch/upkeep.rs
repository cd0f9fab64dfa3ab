//! Periodic maintenance of the store: lapses leases, promotes delayed tasks, expires and purges records.

use std::{sync::Arc, time::Duration};

use fusebox_core::{error::ErrorCode, lifecycle::Next, task::Status};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::telemetry::metrics::Metrics;
use fusebox_store::{Store, Ticked};

/// Interval of ticks: short, so that retries are little later than their delay.
const TICK: Duration = Duration::from_millis(200);

/// Runs until `stop`.
pub async fn run(store: Arc<dyn Store>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        match store.tick().await {
            Ok(ticked) => count(&metrics, &ticked),
            Err(error) => tracing::warn!(%error, "the store's tick failed; retrying"),
        }
    }
}

/// Counts ends that no worker reports.
fn count(metrics: &Metrics, ticked: &Ticked) {
    for _ in 0..ticked.expired {
        metrics.task_ended(Status::Failed, Some(ErrorCode::Expired));
    }
    for (task, next) in &ticked.lapsed {
        tracing::warn!(%task, ?next, "lease lapsed");
        if *next == Next::Failed {
            metrics.task_ended(Status::Failed, Some(ErrorCode::AttemptsExhausted));
        }
    }
}
