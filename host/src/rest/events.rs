//! A task's changes as server-sent events, woken by the store's hints. A hint is only a hint: the record is read again,
//! and what has not changed is not told again.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use fusebox_core::{id::TaskId, task::Task};
use futures_util::stream;
use serde_json::json;

use super::{Shared, error::Problem, extract::Path, room::Share, tasks, view::TaskView};
use crate::tenancy::Caller;

/// Proxies close what is silent; the shortest usual time-out is 30 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Where a hint is lost, a stream looks by itself this often.
const FALLBACK: Duration = Duration::from_secs(5);

/// Some proxies keep an answer until it is whole, unless they are told.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// One open stream.
struct Watch {
    app: Shared,
    caller: Caller,
    task: TaskId,
    /// The id of the event told last.
    told: Option<String>,
    over: bool,
    _room: Share,
}

/// Watch a task
///
/// Server-sent events: where the task stands now, then each change, until it has ended or the host drains. A `status`
/// event has the task as JSON, without its result; its id names the state, such as `1-RUNNING`. States that pass faster
/// than they are read are left out. A client that comes back with `Last-Event-ID` is not told that state again; once the
/// end was told, 204 tells it not to come back. A `problem` event says why a stream broke off.
#[utoipa::path(get, path = "/v1/tasks/{task}/events", tag = "tasks",
    params(("task" = String, Path, description = "Task id"),
        ("last-event-id" = Option<String>, Header, description = "The id of the last event that was seen")),
    responses((status = 200, content_type = "text/event-stream", body = String),
        (status = 204, description = "It has ended, and the client has seen it"),
        (status = 404, description = "task-not-found"),
        (status = 503, description = "overloaded: as many streams are open as may be; see Retry-After")))]
pub async fn events(
    State(app): State<Shared>,
    caller: Caller,
    Path(task): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let task = tasks::parse_id(&task)?;
    let told = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let found = app.store.task(&caller.tenant, task).await?.ok_or_else(tasks::not_found)?;
    if found.status().is_ended() && told.as_ref() == Some(&event_id(&found)) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let room = app.room.stream(&caller)?;
    let events = stream::unfold(Watch { app, caller, task, told, over: false, _room: room }, Watch::next);
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(([(UNBUFFERED, "no")], events).into_response())
}

impl Watch {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        while !self.over {
            // Registered before the record is read, so that a change between the two is not missed.
            let changed = self.app.store.changed_hint(self.task);
            // A revoked key is told nothing more, however long the task runs.
            if self.app.gate.confirm(&self.caller).await.is_err() {
                return None;
            }
            match self.app.store.task(&self.caller.tenant, self.task).await {
                Ok(Some(task)) => {
                    let id = event_id(&task);
                    self.over = task.status().is_ended();
                    if self.told.as_ref() != Some(&id) {
                        let event = Event::default().event("status").id(&id).data(data(&TaskView::from(&task)));
                        self.told = Some(id);
                        return Some((Ok(event), self));
                    }
                }
                // Its time to live is over.
                Ok(None) => return None,
                Err(error) => {
                    self.over = true;
                    let problem = Problem::from(error);
                    let problem = json!({"code": problem.code().as_str(), "detail": problem.detail()});
                    return Some((Ok(Event::default().event("problem").data(data(&problem))), self));
                }
            }
            tokio::select! {
                _ = tokio::time::timeout(FALLBACK, changed) => {}
                () = self.app.closing.cancelled() => return None,
            }
        }
        None
    }
}

/// Names a state of a task: a retry has another attempt's number.
fn event_id(task: &Task) -> String {
    format!("{}-{}", task.attempt, task.status().as_str())
}

fn data(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
