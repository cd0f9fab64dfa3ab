//! `Prefer: wait=N` (RFC 7240): waits for the end of a task in place of polling.

use std::{ops::ControlFlow, time::Duration};

use axum::http::HeaderValue;
use fusebox_core::id::TaskId;
use tokio::time::Instant;

use super::{App, error::Problem};
use crate::{tenancy::Caller, wait::Wait};
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
    hint: Option<Hint>,
) -> Result<Option<TaskResult>, Problem> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let read = || async {
        app.gate.confirm(caller).await?;
        let found = app.store.result(&caller.tenant, id).await?;
        let is_over = found.as_ref().is_none_or(|found| found.task.status().is_ended());
        Ok(if is_over { ControlFlow::Break(found) } else { ControlFlow::Continue(found) })
    };
    within(app, deadline, FALLBACK).until(hint, || app.store.ended_hint(id), read).await
}

/// Waits until the task has ended or the deadline has passed. Returns true if it has ended or does not exist.
///
/// # Errors
/// Fails if the store does not answer, or if the caller's key has ended meanwhile.
pub async fn until_ended(app: &App, caller: &Caller, id: TaskId, deadline: Instant) -> Result<bool, Problem> {
    let read = || async {
        app.gate.confirm(caller).await?;
        let task = app.store.task(&caller.tenant, id).await?;
        let is_over = task.is_none_or(|task| task.status().is_ended());
        Ok(if is_over { ControlFlow::Break(true) } else { ControlFlow::Continue(false) })
    };
    within(app, deadline, FALLBACK).until(None, || app.store.ended_hint(id), read).await
}

/// Returns a wait that also ends when the node shuts down.
pub(super) fn within(app: &App, deadline: Instant, fallback: Duration) -> Wait<'_> {
    Wait { deadline, fallback, closing: Some(&app.closing) }
}
