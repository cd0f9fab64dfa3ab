//! Checks periodically whether the store lost its data, and sets the metric. The store itself writes the log line, and
//! `/readyz` checks the store with each request.

use std::{sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::telemetry::metrics::Metrics;
use fusebox_store::{Error, Store};

/// Interval of the checks. Each is one small call to the store, on a Cluster one for each partition.
const LOOKS: Duration = Duration::from_secs(5);

/// Checks the store until `stop`.
pub async fn watch(store: Arc<dyn Store>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut looks = tokio::time::interval(LOOKS);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        match store.check().await {
            Ok(()) => metrics.store_lost(false),
            Err(Error::Emptied { .. }) => metrics.store_lost(true),
            // An unreachable store may have lost nothing; other parts report it.
            Err(_) => {}
        }
    }
}
