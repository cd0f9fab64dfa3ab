//! Waits for a condition until a deadline, in place of a fixed sleep.

use std::{
    future::Future,
    thread,
    time::{Duration, Instant},
};

/// Interval between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// Calls `probe` until it returns `Some`, for at most `patience`.
///
/// # Errors
/// Fails if the deadline passes first; the message contains `what`.
pub async fn eventually<T, F, Fut>(what: &str, patience: Duration, mut probe: F) -> anyhow::Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let started = Instant::now();
    let mut pause = tokio::time::interval(LOOK);
    loop {
        pause.tick().await;
        if let Some(found) = probe().await {
            return Ok(found);
        }
        anyhow::ensure!(started.elapsed() < patience, "waited {patience:?} in vain for {what}");
    }
}

/// Same as [`eventually`], for callers that are not async.
///
/// # Errors
/// Same as [`eventually`].
pub fn eventually_blocking<T>(
    what: &str,
    patience: Duration,
    mut probe: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        anyhow::ensure!(started.elapsed() < patience, "waited {patience:?} in vain for {what}");
        thread::park_timeout(LOOK);
    }
}
