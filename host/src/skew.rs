//! Difference between a store's time and this machine's wall clock. No decision depends on it: a store uses its own
//! clock and receives only durations. But people compare times of both, and a clock that is off by more than a second
//! is a fault worth reporting.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::telemetry::metrics::Metrics;
use fusebox_store::Store;
use fusebox_system::clock::Clock;

/// Interval of measurements; each is one small operation of the store.
const LOOKS: Duration = Duration::from_secs(10);
/// Difference that is not reported, in milliseconds.
const SKEW_MS_MAX: i64 = 1_000;
/// Minimum time between two log events.
const LOGGED: Duration = Duration::from_secs(60);

/// Time of the last log event.
#[derive(Debug, Default)]
struct Log {
    last: Option<Instant>,
}

impl Log {
    /// Returns true if the difference is to be logged now.
    fn wants(&mut self, skew_ms: i64, now: Instant) -> bool {
        let is_due = self.last.is_none_or(|last| now.saturating_duration_since(last) >= LOGGED);
        let wants = skew_ms.abs() > SKEW_MS_MAX && is_due;
        if wants {
            self.last = Some(now);
        }
        wants
    }
}

/// Measures and reports the difference until `stop`.
pub async fn watch(store: Arc<dyn Store>, wall: Clock, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut looks = tokio::time::interval(LOOKS);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut log = Log::default();
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        // Failures of the store are logged elsewhere.
        let Ok(skew_ms) = measure(&*store, &wall).await else { continue };
        metrics.clock_skew(skew_ms);
        if log.wants(skew_ms, Instant::now()) {
            tracing::warn!(
                skew_ms,
                "the store's time and this machine's differ by more than a second: tasks use the store's; fix the wrong \
                 clock, and restart what has the store's directory open"
            );
        }
    }
}

/// Returns the store's time minus this machine's, in milliseconds. Half of the round trip is taken as the answer's way.
async fn measure(store: &dyn Store, wall: &Clock) -> fusebox_store::Result<i64> {
    let asked = Instant::now();
    let told = store.now().await?;
    let way = u64::try_from((asked.elapsed() / 2).as_millis()).unwrap_or(u64::MAX);
    let here = wall.now().minus(way);
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    Ok(signed(told.0).saturating_sub(signed(here.0)))
}

#[cfg(test)]
mod tests {
    use fusebox_core::time::Millis;

    use super::*;
    use fusebox_store::embedded::EmbeddedStore;

    #[tokio::test]
    async fn a_machine_that_is_set_differs_from_its_store_and_the_metrics_say_so() {
        let home = tempfile::tempdir().unwrap();
        let wall = Clock::manual(Millis(1_750_000_000_000));
        let store = Arc::new(EmbeddedStore::open(home.path(), wall.clone()).unwrap());
        assert_eq!(measure(&*store, &wall).await.unwrap(), 0);
        wall.step(3_600_000);
        assert_eq!(measure(&*store, &wall).await.unwrap(), -3_600_000);
        wall.step(-7_200_000);
        assert_eq!(measure(&*store, &wall).await.unwrap(), 3_600_000);
        let (metrics, stop) = (Arc::new(Metrics::new(1)), CancellationToken::new());
        let watching = tokio::spawn(watch(store, wall, metrics.clone(), stop.clone()));
        let said = async {
            while !metrics.exposition(&[]).unwrap().contains("fusebox_clock_skew_seconds 3600") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), said).await.unwrap();
        stop.cancel();
        watching.await.unwrap();
    }

    #[test]
    fn a_skew_is_logged_beyond_a_second_and_once_a_minute() {
        let (mut log, start) = (Log::default(), Instant::now());
        assert!(!log.wants(SKEW_MS_MAX, start) && !log.wants(-SKEW_MS_MAX, start));
        assert!(log.wants(-SKEW_MS_MAX - 1, start));
        assert!(!log.wants(SKEW_MS_MAX + 1, start + LOGGED / 2));
        assert!(log.wants(SKEW_MS_MAX + 1, start + LOGGED));
    }
}
