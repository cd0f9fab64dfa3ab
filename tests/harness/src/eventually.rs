//! Waiting for a condition with a deadline, instead of sleeping for a time that is hoped to be enough.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Asks `probe` until it answers `Some`, at most for `patience`.
///
/// # Errors
/// Where the deadline passes first; the message names what was waited for.
pub async fn eventually<T, F, Fut>(what: &str, patience: Duration, mut probe: F) -> anyhow::Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let started = Instant::now();
    let mut pause = tokio::time::interval(Duration::from_millis(5));
    loop {
        pause.tick().await;
        if let Some(found) = probe().await {
            return Ok(found);
        }
        anyhow::ensure!(started.elapsed() < patience, "waited {patience:?} in vain for {what}");
    }
}
