//! Asks the store, again and again, to do what time asks for: lapse leases, promote delayed tasks, expire and purge.

use std::{sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// Often enough that a retry's delay is about what it says.
const TICK: Duration = Duration::from_millis(200);

/// Runs until `stop`.
pub async fn run(store: Arc<dyn Store>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        match store.tick().await {
            Ok(ticked) if ticked.lapsed.is_empty() => {}
            Ok(ticked) => tracing::warn!(lapsed = ticked.lapsed.len(), "leases ran out"),
            Err(error) => tracing::warn!(%error, "the store's tick failed; trying again"),
        }
    }
}
