//! Runtime of a slot's thread. It has timers and no descriptors, so that a process that locked itself up can run it.
//! Nothing of a run stays in it.

use std::{
    cell::Cell,
    future::Future,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};
use wasmtime::Result;

use crate::{StopFlag, ending::Ending, epoch::TICK};

thread_local! {
    /// The thread's runtime, absent while it runs something.
    static RUNTIME: Cell<Option<Runtime>> = const { Cell::new(None) };
}

/// Number of turns in which the tasks that a run left behind must end; each of them is aborted already.
const TURNS_MAX: u32 = 64;

/// Applies `work` to the thread's runtime, which is its current one meanwhile. A runtime in which tasks are left is
/// dropped with them.
pub(crate) fn with<T>(work: impl FnOnce(&Runtime) -> T) -> Result<T> {
    let runtime = match RUNTIME.take() {
        Some(runtime) => runtime,
        None => Builder::new_current_thread().enable_time().build()?,
    };
    let entered = runtime.enter();
    let done = work(&runtime);
    drop(entered);
    let alive = || runtime.metrics().num_alive_tasks() > 0;
    for _ in 0..TURNS_MAX {
        if !alive() {
            break;
        }
        runtime.block_on(tokio::task::yield_now());
    }
    if !alive() {
        RUNTIME.set(Some(runtime));
    }
    Ok(done)
}

/// Waits for `work`, but no longer than until the deadline or a stop. A guest that computes does not get here: the
/// ticker ends it.
pub(crate) async fn bounded<T>(work: impl Future<Output = Result<T>>, deadline: Instant, stop: &StopFlag) -> Result<T> {
    tokio::select! {
        biased;
        ended = work => ended,
        ending = passed(deadline, stop) => Err(ending.into()),
    }
}

/// Completes with the reason to end a run.
async fn passed(deadline: Instant, stop: &StopFlag) -> Ending {
    loop {
        if let Some(reason) = stop.reason() {
            return Ending::Stopped(reason);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ending::Deadline;
        }
        tokio::time::sleep(left.min(TICK).max(Duration::from_micros(50))).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use fusebox_core::outcome::StopReason;

    use super::*;

    #[test]
    fn a_wait_ends_at_the_deadline_or_when_stopped_and_leaves_nothing_behind() {
        let (stop, until) = (StopFlag::default(), Instant::now() + Duration::from_millis(30));
        let wait = |until| with(|runtime| runtime.block_on(bounded(pending::<Result<()>>(), until, &stop))).unwrap();
        let ended = wait(until).unwrap_err();
        assert!(matches!(ended.downcast_ref(), Some(Ending::Deadline)) && Instant::now() >= until);
        stop.raise(StopReason::Cancelled);
        let ended = wait(Instant::now() + Duration::from_secs(600)).unwrap_err();
        assert!(matches!(ended.downcast_ref(), Some(Ending::Stopped(StopReason::Cancelled))));
        with(|runtime| drop(runtime.spawn(pending::<()>()))).unwrap();
        assert!(RUNTIME.take().is_none(), "a runtime with a task that never ends is dropped");
    }
}
