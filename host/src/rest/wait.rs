//! `Prefer: wait=N` (RFC 7240): a caller waits for a task to end instead of asking again and again. The store's hint
//! wakes it; the record is read again then, since a hint is only a hint.

use std::time::Duration;

use axum::http::HeaderValue;
use fusebox_core::id::TaskId;

use tokio::time::{Instant, timeout_at};

use super::{App, error::Problem};
use crate::{
    store::{Hint, TaskResult},
    tenancy::Caller,
};

/// Where a hint is lost, a waiter looks by itself this often.
const FALLBACK: Duration = Duration::from_secs(1);

/// The value of `Preference-Applied`.
#[must_use]
pub fn applied(seconds: u64) -> HeaderValue {
    HeaderValue::try_from(format!("wait={seconds}")).unwrap_or(HeaderValue::from_static("wait"))
}

/// The task with its result once it has ended, or as it is after `seconds`; `None` where there is none. With a hint of a
/// task that was just accepted, its record is not read before the hint comes.
///
/// # Errors
/// Where the store does not answer, or the caller's key has ended meanwhile.
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

/// Waits until the task has ended or the deadline has passed; whether it has ended, or there is none.
///
/// # Errors
/// Where the store does not answer, or the caller's key has ended meanwhile.
pub async fn until_ended(app: &App, caller: &Caller, id: TaskId, deadline: Instant) -> Result<bool, Problem> {
    loop {
        // The hint is registered before the record is read, so that an end between the two is not missed.
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

/// Waits for what wakes a waiter, until a moment, and no longer than the node stays.
pub(super) async fn pause(app: &App, until: Instant, woken: impl Future<Output = ()>) {
    tokio::select! {
        _ = timeout_at(until, woken) => {}
        () = app.closing.cancelled() => {}
    }
}
