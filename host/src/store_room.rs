//! Watches the room of the store. While it is nearly full, tenants that store more than their share are refused what
//! stores more, `/readyz` warns, and the log says so.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fusebox_core::room;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{
    telemetry::{health::Readiness, metrics::Metrics},
    tenancy::QuotaBook,
};
use fusebox_store::Room;

/// Interval of the looks: short, since a tenant fills a small store in seconds. Each is one small call to each server.
const LOOKS: Duration = Duration::from_secs(1);
/// Minimum time between two log lines.
const LOGGED: Duration = Duration::from_secs(60);

/// State of the log.
#[derive(Debug, Default)]
struct Log {
    is_full: bool,
    last: Option<Instant>,
}

/// Line to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Full,
    HasRoom,
}

impl Log {
    /// Returns the line to be logged now.
    fn wants(&mut self, is_full: bool, now: Instant) -> Option<Line> {
        let is_due = self.last.is_none_or(|last| now.saturating_duration_since(last) >= LOGGED);
        let line = match is_full {
            true if is_due => Line::Full,
            // Said only of a store that was said to be full, so that one at its mark gives one line a minute as well.
            false if self.is_full && is_due => Line::HasRoom,
            _ => return None,
        };
        *self = Self { is_full, last: Some(now) };
        Some(line)
    }
}

/// Watches until `stop`.
pub async fn watch(quotas: Arc<QuotaBook>, metrics: Arc<Metrics>, readiness: Readiness, stop: CancellationToken) {
    let mut looks = tokio::time::interval(LOOKS);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut log = Log::default();
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        // Failures of the store are logged elsewhere.
        let Ok(places) = quotas.refresh_room().await else { continue };
        note(&places, &metrics, &readiness, &mut log);
    }
}

fn note(places: &[Room], metrics: &Metrics, readiness: &Readiness, log: &mut Log) {
    let is_full = room::is_nearly_full(places);
    readiness.store_full(is_full);
    metrics.store_room(places, is_full);
    let (used_bytes, total_bytes) = (room::used_bytes(places), room::total_bytes(places));
    match log.wants(is_full, Instant::now()) {
        Some(Line::Full) => tracing::warn!(
            used_bytes,
            total_bytes,
            "the store is nearly full: tenants that store more than their share are refused more; delete what is no \
             longer needed, lower quotas, or give it more room"
        ),
        Some(Line::HasRoom) => tracing::info!(used_bytes, total_bytes, "the store has room again"),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_store_is_logged_once_a_minute_and_its_room_after_that() {
        let (mut log, start) = (Log::default(), Instant::now());
        assert_eq!(log.wants(false, start), None);
        assert_eq!(log.wants(true, start), Some(Line::Full));
        assert_eq!((log.wants(false, start), log.wants(true, start + LOGGED / 2)), (None, None));
        assert_eq!(log.wants(true, start + LOGGED), Some(Line::Full));
        assert_eq!(log.wants(false, start + LOGGED * 2), Some(Line::HasRoom));
        assert_eq!(log.wants(false, start + LOGGED * 9), None);
    }

    #[test]
    fn a_full_store_is_a_warning_and_in_the_metrics() {
        let (metrics, readiness, mut log) = (Metrics::new(1), Readiness::new(), Log::default());
        let mut shown = |used_bytes| {
            note(&[Room { total_bytes: 1_000, used_bytes }], &metrics, &readiness, &mut log);
            let exposition = metrics.exposition(&[]).unwrap();
            let lines = exposition.lines().filter(|line| line.starts_with("fusebox_store_") && !line.contains("lost"));
            (readiness.warnings(), lines.map(str::to_owned).collect::<Vec<_>>())
        };
        let metrics = |used: u64, full: u64| {
            let room = ["fusebox_store_room_bytes 1000".to_owned(), format!("fusebox_store_used_bytes {used}")];
            [&room[..], &[format!("fusebox_store_full {full}"), "fusebox_store_full_refusals_total 0".to_owned()]]
                .concat()
        };
        assert_eq!(shown(799), (vec![], metrics(799, 0)));
        assert_eq!(shown(800), (vec!["store-full"], metrics(800, 1)));
        assert_eq!(shown(799), (vec![], metrics(799, 0)));
    }
}
