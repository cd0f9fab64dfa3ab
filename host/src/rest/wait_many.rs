//! Waits for all or any of many tasks in one request, woken by the store's hints.

use std::{future::poll_fn, ops::ControlFlow, task::Poll, time::Duration};

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use fusebox_api::tasks::{TaskView, Until, WaitFor, Waited};
use fusebox_core::{
    id::TaskId,
    limits::{WAIT_RESULTS_BYTES_MAX, WAIT_TASKS_MAX},
};
use tokio::time::Instant;

use super::{App, Shared, body::SmallJson, error::Problem, prefer, tasks, wait};
use crate::tenancy::Caller;
use fusebox_store::Hint;

/// Interval at which a wait for any of many tasks reads them all without a hint, since hints can be lost.
const FALLBACK: Duration = Duration::from_secs(5);

/// Wait for many tasks
///
/// Returns the state of the tasks: at once or, with `Prefer: wait=N` (at most 50 seconds), when all or any of them have
/// ended or the time has passed.
#[utoipa::path(post, path = "/v1/tasks/wait", tag = "tasks", request_body = WaitFor,
    params(("prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds")),
    responses((status = 200, body = Waited), (status = 413, description = "payload-too-large: too many ids"),
        (status = 422, description = "unprocessable-request: not a UUID, or an unknown `for`"),
        (status = 503, description = "overloaded or store-unavailable; see Retry-After")))]
pub async fn wait(
    State(app): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    SmallJson(asked): SmallJson<WaitFor>,
) -> Result<Response, Problem> {
    let ids = tasks::parse_ids(&asked.tasks, WAIT_TASKS_MAX)?;
    let seconds = prefer::wait(&headers);
    if let Some(seconds) = seconds {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let at_a_time = if asked.until == Until::All { 1 } else { ids.len() };
        let _room = app.room.wait(&caller, at_a_time)?;
        match asked.until {
            Until::All => for_all(&app, &caller, &ids, deadline).await?,
            Until::Any => for_any(&app, &caller, &ids, deadline).await?,
        }
    }
    let waited = look(&app, &caller, &ids, asked.until).await?;
    let applied = seconds.map(|seconds| [(tasks::PREFERENCE_APPLIED, wait::applied(seconds))]);
    Ok((applied, Json(waited)).into_response())
}

/// Waits for one task after the other: at the last one's turn, all the others have ended.
async fn for_all(app: &App, caller: &Caller, ids: &[TaskId], deadline: Instant) -> Result<(), Problem> {
    for id in ids {
        if !wait::until_ended(app, caller, *id, deadline).await? {
            break;
        }
    }
    Ok(())
}

async fn for_any(app: &App, caller: &Caller, ids: &[TaskId], deadline: Instant) -> Result<(), Problem> {
    let any_hint = || {
        let mut hints: Vec<Hint> = ids.iter().map(|id| app.store.ended_hint(*id)).collect();
        poll_fn(move |context| match hints.iter_mut().any(|hint| hint.as_mut().poll(context).is_ready()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
    };
    let read = || async {
        app.gate.confirm(caller).await?;
        let (mut there, mut ended) = (false, false);
        for id in ids {
            let task = app.store.task(&caller.tenant, *id).await?;
            there |= task.is_some();
            ended |= task.is_some_and(|task| task.status().is_ended());
        }
        Ok(if ended || !there { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    wait::within(app, deadline, FALLBACK).until(None, any_hint, read).await
}

async fn look(app: &App, caller: &Caller, ids: &[TaskId], until: Until) -> Result<Waited, Problem> {
    let (mut items, mut missing) = (Vec::new(), Vec::new());
    let (mut ended, mut bytes_left) = (0, WAIT_RESULTS_BYTES_MAX);
    for id in ids {
        let Some(task) = app.store.task(&caller.tenant, *id).await? else {
            missing.push(id.to_string());
            continue;
        };
        if !task.status().is_ended() {
            items.push(TaskView::from(&task));
            continue;
        }
        ended += 1;
        let found = match bytes_left {
            0 => None,
            _ => app.store.result(&caller.tenant, *id).await?,
        };
        // The first result that does not fit ends the inclusion of results; later rows have none.
        let left = found.as_ref().and_then(|found| bytes_left.checked_sub(found.output.len() as u64));
        bytes_left = left.unwrap_or_default();
        match found.filter(|_| left.is_some()) {
            Some(found) => items.push(TaskView::with_result(&found.task, &found.output)),
            None => items.push(TaskView::from(&task)),
        }
    }
    let done = match until {
        Until::All => ended == items.len(),
        Until::Any => ended > 0,
    };
    Ok(Waited { done, items, missing })
}
