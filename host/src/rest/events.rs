//! A task's state changes as server-sent events. A hint from the store wakes the stream, which then reads the record
//! again and sends only changes: hints may be lost or spurious.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use fusebox_api::tasks::TaskView;
use fusebox_core::{id::TaskId, task::Task};
use futures_util::stream;
use serde_json::json;

use super::{Shared, error::Problem, extract::Path, room::Share, tasks};
use crate::tenancy::Caller;

/// Proxies close silent connections; the shortest usual time-out is 30 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Interval at which a stream reads the record without a hint, since hints can be lost.
const FALLBACK: Duration = Duration::from_secs(5);

/// Some proxies buffer a whole response unless this header is `no`.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// State of an open stream.
struct Watch {
    app: Shared,
    caller: Caller,
    task: TaskId,
    /// Id of the last event sent.
    told: Option<String>,
    over: bool,
    _room: Share,
}

/// Watch a task
///
/// Server-sent events: the current state, then each change, until the task has ended or the host drains. A `status`
/// event has the task as JSON, without its result; its id names the state, such as `1-RUNNING`. States that follow each
/// other faster than they are read are skipped. With `Last-Event-ID`, that state is not sent again; if it is the final
/// one, the response is 204, so that clients stop reconnecting. A `problem` event gives the reason why a stream broke
/// off.
#[utoipa::path(get, path = "/v1/tasks/{task}/events", tag = "tasks",
    params(("task" = String, Path, description = "Task id"),
        ("last-event-id" = Option<String>, Header, description = "Id of the last event received")),
    responses((status = 200, content_type = "text/event-stream", body = String),
        (status = 204, description = "The task has ended, and the client has received that event"),
        (status = 404, description = "task-not-found"),
        (status = 503, description = "overloaded: the limit of open streams is reached; see Retry-After")))]
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
            // Ends the stream once the caller's key is revoked, however long the task runs.
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
                // The record has expired.
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

/// Returns the id of a task's state; the attempt's number tells retries apart.
fn event_id(task: &Task) -> String {
    format!("{}-{}", task.attempt, task.status().as_str())
}

fn data(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
