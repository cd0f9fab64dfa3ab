//! Asks the store, again and again, to do what time asks for: lapse leases, promote delayed tasks, expire and purge.

use std::{sync::Arc, time::Duration};

use fusebox_core::{error::ErrorCode, lifecycle::Next, task::Status};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{
    store::{Store, Ticked},
    telemetry::metrics::Metrics,
};

/// Often enough that a retry's delay is about what it says.
const TICK: Duration = Duration::from_millis(200);

/// Runs until `stop`.
pub async fn run(store: Arc<dyn Store>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        match store.tick().await {
            Ok(ticked) => count(&metrics, &ticked),
            Err(error) => tracing::warn!(%error, "the store's tick failed; trying again"),
        }
    }
}

/// Counts the ends that no worker reports.
fn count(metrics: &Metrics, ticked: &Ticked) {
    for _ in 0..ticked.expired {
        metrics.task_ended(Status::Failed, Some(ErrorCode::Expired));
    }
    for (task, next) in &ticked.lapsed {
        tracing::warn!(%task, ?next, "a lease ran out");
        if *next == Next::Failed {
            metrics.task_ended(Status::Failed, Some(ErrorCode::AttemptsExhausted));
        }
    }
}
