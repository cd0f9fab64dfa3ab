//! Waits for a condition until a deadline, in place of a fixed sleep.

use std::{
    future::Future,
    time::{Duration, Instant},
};

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
    let mut pause = tokio::time::interval(Duration::from_millis(5));
    loop {
        pause.tick().await;
        if let Some(found) = probe().await {
            return Ok(found);
        }
        anyhow::ensure!(started.elapsed() < patience, "waited {patience:?} in vain for {what}");
    }
}
