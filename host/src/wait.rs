//! Waits for tasks: woken by the store's hints, and at intervals without one, since hints may be lost or spurious.

use std::{future::pending, ops::ControlFlow, time::Duration};

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Bounds of a wait.
pub struct Wait<'a> {
    /// Time at which it ends.
    pub deadline: Instant,
    /// Interval at which the records are read without a hint.
    pub fallback: Duration,
    /// Ends it early.
    pub closing: Option<&'a CancellationToken>,
}

impl Wait<'_> {
    /// Reads until `read` breaks or the wait ends, and returns the last value. `register` is called before each read, so
    /// that a change between hint and read is not missed. Given the hint of a task that was just accepted as `first`,
    /// does not read before it completes.
    ///
    /// # Errors
    /// Fails as `read` does.
    pub async fn until<T, E, Hint, Reading>(
        &self,
        first: Option<Hint>,
        register: impl Fn() -> Hint,
        mut read: impl FnMut() -> Reading,
    ) -> Result<T, E>
    where
        Hint: Future<Output = ()>,
        Reading: Future<Output = Result<ControlFlow<T, T>, E>>,
    {
        let mut hint = first;
        loop {
            if let Some(hint) = hint {
                self.pause(hint).await;
            }
            let next = register();
            match read().await? {
                ControlFlow::Break(found) => return Ok(found),
                ControlFlow::Continue(found) if self.is_over() => return Ok(found),
                ControlFlow::Continue(_) => hint = Some(next),
            }
        }
    }

    async fn pause(&self, hint: impl Future<Output = ()>) {
        let closed = async {
            match self.closing {
                Some(closing) => closing.cancelled().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = timeout_at(self.deadline.min(Instant::now() + self.fallback), hint) => {}
            () = closed => {}
        }
    }

    fn is_over(&self) -> bool {
        self.closing.is_some_and(CancellationToken::is_cancelled) || Instant::now() >= self.deadline
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible, future::ready};

    use super::*;

    /// Counts the reads of a wait whose task ends at the given read.
    async fn reads(wait: &Wait<'_>, is_hinted: bool, ends_at: u32) -> (u32, bool) {
        let count = Cell::new(0);
        let hint = || async move {
            if !is_hinted {
                pending().await
            }
        };
        let read = || {
            count.set(count.get() + 1);
            let ended = count.get() == ends_at;
            ready(Ok::<_, Infallible>(if ended { ControlFlow::Break(true) } else { ControlFlow::Continue(false) }))
        };
        let ended = wait.until(None, hint, read).await.unwrap();
        (count.get(), ended)
    }

    const LONG: Duration = Duration::from_secs(3_600);

    fn wait(time: Duration, fallback: Duration) -> Wait<'static> {
        Wait { deadline: Instant::now() + time, fallback, closing: None }
    }

    #[tokio::test]
    async fn a_wait_reads_at_each_hint_and_at_intervals_without_one() {
        assert_eq!(reads(&wait(LONG, LONG), true, 5).await, (5, true));
        assert_eq!(reads(&wait(LONG, Duration::from_millis(1)), false, 5).await, (5, true));
    }

    #[tokio::test]
    async fn a_wait_reads_once_more_at_its_end() {
        assert_eq!(reads(&wait(Duration::ZERO, LONG), false, u32::MAX).await, (1, false));
        assert_eq!(reads(&wait(Duration::from_millis(5), LONG), false, u32::MAX).await, (2, false));
    }

    #[tokio::test]
    async fn a_wait_ends_when_its_node_closes() {
        let closing = CancellationToken::new();
        let wait = Wait { closing: Some(&closing), ..wait(LONG, LONG) };
        let (read, ()) = tokio::join!(reads(&wait, false, u32::MAX), async { closing.cancel() });
        assert_eq!(read, (2, false));
    }
}
