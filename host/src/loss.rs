//! Looks now and then whether the store has lost what it had, and shows it in the metrics. The store itself says it in the
//! log, and readiness asks the store each time.

use std::{sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{
    store::{Error, Store},
    telemetry::metrics::Metrics,
};

/// How often it is looked at: one small call of the store each time, on a Cluster one a partition.
const LOOKS: Duration = Duration::from_secs(5);

/// Watches until `stop`.
pub async fn watch(store: Arc<dyn Store>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut looks = tokio::time::interval(LOOKS);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        match store.check().await {
            Ok(()) => metrics.store_lost(false),
            Err(Error::Emptied { .. }) => metrics.store_lost(true),
            // A store that does not answer is told of elsewhere, and may have lost nothing.
            Err(_) => {}
        }
    }
}
