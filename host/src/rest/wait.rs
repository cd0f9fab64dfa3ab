//! `Prefer: wait=N` (RFC 7240): waits for the end of a task in place of polling. A hint from the store wakes the
//! waiter, which then reads the record again, since hints may be lost or spurious.

use std::time::Duration;

use axum::http::HeaderValue;
use fusebox_core::id::TaskId;

use tokio::time::{Instant, timeout_at};

use super::{App, error::Problem};
use crate::tenancy::Caller;
use fusebox_store::{Hint, TaskResult};

/// Interval at which a waiter reads the record without a hint, since hints can be lost.
const FALLBACK: Duration = Duration::from_secs(1);

/// Returns the value of `Preference-Applied`.
#[must_use]
pub fn applied(seconds: u64) -> HeaderValue {
    HeaderValue::try_from(format!("wait={seconds}")).unwrap_or(HeaderValue::from_static("wait"))
}

/// Waits until the task has ended or `seconds` have passed, and returns it with its result; `None` if it does not
/// exist. Given the hint of a task that was just accepted, does not read its record before the hint arrives.
///
/// # Errors
/// Fails if the store does not answer, or if the caller's key has ended meanwhile.
pub async fn for_end(
    app: &App,
    caller: &Caller,
    id: TaskId,
    seconds: u64,
    mut hint: Option<Hint>,
) -> Result<Option<TaskResult>, Problem> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(hint) = hint {
            pause(app, deadline.min(Instant::now() + FALLBACK), hint).await;
        }
        // Registered before the record is read, so that an end between the two is not missed.
        let ended = app.store.ended_hint(id);
        app.gate.confirm(caller).await?;
        let found = app.store.result(&caller.tenant, id).await?;
        let is_over = found.as_ref().is_none_or(|found| found.task.status().is_ended());
        if is_over || app.closing.is_cancelled() || Instant::now() >= deadline {
            return Ok(found);
        }
        hint = Some(ended);
    }
}

/// Waits until the task has ended or the deadline has passed. Returns true if it has ended or does not exist.
///
/// # Errors
/// Fails if the store does not answer, or if the caller's key has ended meanwhile.
pub async fn until_ended(app: &App, caller: &Caller, id: TaskId, deadline: Instant) -> Result<bool, Problem> {
    loop {
        // Registered before the record is read, so that an end between the two is not missed.
        let ended = app.store.ended_hint(id);
        app.gate.confirm(caller).await?;
        let task = app.store.task(&caller.tenant, id).await?;
        if task.is_none_or(|task| task.status().is_ended()) {
            return Ok(true);
        }
        let now = Instant::now();
        if now >= deadline || app.closing.is_cancelled() {
            return Ok(false);
        }
        pause(app, deadline.min(now + FALLBACK), ended).await;
    }
}

/// Waits for `woken`, the time `until` or the node's shutdown, whichever is first.
pub(super) async fn pause(app: &App, until: Instant, woken: impl Future<Output = ()>) {
    tokio::select! {
        _ = timeout_at(until, woken) => {}
        () = app.closing.cancelled() => {}
    }
}
