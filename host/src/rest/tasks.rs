//! Routes of tasks: submit, get, list, cancel, purge, result, logs.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use fusebox_api::{
    Paging,
    filter::{Ordering, TaskFilter},
    functions::LimitParams,
    setup::StartParams,
    tasks::{Deletion, Submission, TaskPage, TaskView},
};
use fusebox_core::{
    error::ErrorCode,
    function::FunctionVersion,
    id::TaskId,
    name::TenantId,
    task::{Status, TaskState},
};

use super::{
    App, Shared,
    accept::{self, AcceptedTask},
    body::InputBody,
    error::Problem,
    extract::{Path, Query},
    filter::{self, FilterQuery},
    idempotency::{self, IdempotencyKey},
    invoke,
    output::OutputType,
    paging, prefer,
    setup::StartQuery,
    tags, wait, waiting,
};
use crate::tenancy::Caller;
use fusebox_store::{Cancelled, Find, FunctionRef, NewTask, Purged, TaskRequest, TaskResult};
use fusebox_system::random;

/// Response header that confirms a wait.
pub(super) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Submit a task
///
/// The body is the input. The response is sent once the task is durable. With `Prefer: wait=N` (at most 50 seconds) the
/// response waits for the end: 200 with the result, or 202 if the time runs out first. Limits may be set below the
/// function's own.
///
/// With an `Idempotency-Key`, the same request can be sent again safely: it leads to the same task, and the response
/// has `idempotency-replayed: true` if an earlier request created it. The key is remembered as long as the task's
/// record.
#[utoipa::path(post, path = "/v1/functions/{function}/tasks", tag = "tasks",
    params(("function" = String, Path, description = "Version id or name"), Submission, LimitParams,
        StartParams,
        ("prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds for the end"),
        ("idempotency-key" = Option<String>, Header, description = "1 to 255 visible ASCII characters"),
        ("fusebox-tags" = Option<String>, Header, description = "Tags by which the task is found: `k=v, k2=v2`, at most 16")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 202, body = TaskView, headers(("location" = String, description = "Path of the task"))),
        (status = 200, body = TaskView, description = "The task ended while the request waited"),
        (status = 400, description = "invalid-limits, invalid-setup or invalid-request, such as a limit above the \
            function's"),
        (status = 404, description = "function-not-found"),
        (status = 413, description = "payload-too-large"),
        (status = 422, description = "idempotency-conflict: the key was used for another request; invalid-tags"),
        (status = 429, description = "queue-full or storage-quota; see Retry-After"),
        (status = 503, description = "store-full or store-unavailable; see Retry-After")))]
pub async fn submit(
    State(app): State<Shared>,
    caller: Caller,
    Path(function): Path<String>,
    (Query(submission), Query(limits)): (Query<Submission>, Query<LimitParams>),
    StartQuery(start): StartQuery,
    headers: HeaderMap,
    InputBody(input, _room): InputBody,
) -> Result<Response, Problem> {
    let (key, tags) = (IdempotencyKey::of(&headers)?, tags::of(&headers)?);
    let priority = submission.priority.unwrap_or_default();
    let delay_ms = accept::check_delay(submission.delay_ms)?;
    let asked = idempotency::RequestContent {
        function: &function,
        priority,
        delay_ms,
        limits: &limits,
        start: &start,
        tags: &tags,
        retry_of: None,
    };
    let identity = key.map(|key| key.identify(&caller.tenant, None, &asked, &input));
    let id = identity.as_ref().map_or_else(|| random::task_id(app.clock.now()), |identity| identity.id);
    let make = |version: &FunctionVersion| {
        let limits = limits.over(version.limits, &version.limits)?;
        let stated = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let start = start.clone().stating(version.abi, stated)?;
        let fingerprint = identity.as_ref().map(|identity| identity.of_input(start.content_type.as_deref()));
        let (start, input) = start.entering(version.abi, input.clone());
        let tags = tags.clone();
        let request = TaskRequest { limits, priority, delay_ms, start, tags, ..TaskRequest::new(version, input) };
        Ok(NewTask { fingerprint, ..accept::task_of_id(&app, request, id) })
    };
    accept_and_answer(&app, &caller, id, &headers, accept::of(&app, &caller.tenant, &function, make)).await
}

/// Accepts a task and responds: at once or, if the client prefers to wait, when the task has ended.
pub(super) async fn accept_and_answer(
    app: &App,
    caller: &Caller,
    id: TaskId,
    headers: &HeaderMap,
    accepting: impl Future<Output = Result<(NewTask, AcceptedTask), Problem>>,
) -> Result<Response, Problem> {
    let waits = prefer::wait(headers);
    // Reserved before the task is accepted, so that a refused request can be repeated safely.
    let _room = waits.map(|_| app.room.wait(caller, 1)).transpose()?;
    // Registered before the task exists, so that its end cannot be missed.
    let hint = waits.map(|_| app.store.ended_hint(id));
    let (new, AcceptedTask { id, new_at }) = accepting.await?;
    let location = [(header::LOCATION, format!("/v1/tasks/{id}"))];
    let replayed = new_at.is_none().then_some([(idempotency::REPLAYED, "true")]);
    let accepted =
        |view: TaskView| (StatusCode::ACCEPTED, location.clone(), replayed.clone(), Json(view)).into_response();
    if let (None, Some(at)) = (waits, new_at) {
        return Ok(accepted(TaskView::from(&new.accepted(at))));
    }
    let (seconds, hint) = (waits.unwrap_or_default(), hint.filter(|_| new_at.is_some()));
    let found = wait::for_end(app, caller, id, seconds, hint).await?.ok_or_else(not_found)?;
    if waits.is_none() || !found.task.status().is_ended() {
        return Ok(accepted(TaskView::from(&found.task)));
    }
    let applied = [(PREFERENCE_APPLIED, wait::applied(seconds))];
    Ok((StatusCode::OK, location, replayed, applied, Json(TaskView::with_result(&found.task, &found.output)))
        .into_response())
}

/// List tasks
///
/// Those that have all properties of the filter, newest first. The tasks of a tag are found by an index, those that run by
/// their leases, others by a search of which one request does a part: it looks at 10,000 tasks at most. So a page can have
/// fewer rows than there are, or none, and a `next` all the same; there are no more tasks once `next` is null.
#[utoipa::path(get, path = "/v1/tasks", tag = "tasks", params(TaskFilter, Ordering, Paging),
    responses((status = 200, body = TaskPage),
        (status = 404, description = "function-not-found; tenant-not-found"),
        (status = 422, description = "unprocessable-request: a value of the filter is malformed, as its `parameter` says")))]
pub async fn list(
    State(app): State<Shared>,
    caller: Caller,
    FilterQuery(filter): FilterQuery,
    (Query(Ordering { order }), Query(paging)): (Query<Ordering>, Query<Paging>),
) -> Result<Json<TaskPage>, Problem> {
    let (tenant, selection) = filter::read(&app, &caller, &filter).await?;
    let asked = Find { selection, order: filter::order(order.as_deref())?, page: paging::request(paging) };
    let page = app.store.find(&tenant, &asked).await?;
    let waiting = waiting::of_tasks(&app, &tenant, &page.items).await;
    let rows = page.items.iter().zip(waiting);
    let items = rows.map(|(task, waiting_for)| TaskView { waiting_for, ..TaskView::from(task) }).collect();
    Ok(Json(TaskPage { items, next: page.next }))
}

/// Get a task
///
/// With `Prefer: wait=N` the response waits for the end and then includes the result.
#[utoipa::path(get, path = "/v1/tasks/{task}", tag = "tasks",
    params(("task" = String, Path, description = "Task id"),
        ("prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds for the end")),
    responses((status = 200, body = TaskView), (status = 404, description = "task-not-found"),
        (status = 422, description = "unprocessable-request: not a UUID")))]
pub async fn get(
    State(app): State<Shared>,
    caller: Caller,
    Path(task): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let task = parse_id(&task)?;
    let Some(seconds) = prefer::wait(&headers) else {
        let found = app.store.task(&caller.tenant, task).await?.ok_or_else(not_found)?;
        let waiting_for = waiting::of_tasks(&app, &caller.tenant, std::slice::from_ref(&found)).await.pop().flatten();
        let view = TaskView { waiting_for, ..TaskView::from(&found).with_timeline(&found) };
        return Ok(Json(view).into_response());
    };
    let _room = app.room.wait(&caller, 1)?;
    let found = wait::for_end(&app, &caller, task, seconds, None).await?.ok_or_else(not_found)?;
    Ok(([(PREFERENCE_APPLIED, wait::applied(seconds))], Json(whole(&found))).into_response())
}

/// Returns a task with its result and what happened to it.
fn whole(TaskResult { task, output }: &TaskResult) -> TaskView {
    TaskView::with_result(task, output).with_timeline(task)
}

/// Cancel or purge a task
///
/// The task is FAILED with the code `cancelled` once this returns; a run in progress is stopped. With `purge=true` an
/// ended task is deleted instead, with its input, output and log; a request with its idempotency key may then run again.
#[utoipa::path(delete, path = "/v1/tasks/{task}", tag = "tasks",
    params(("task" = String, Path, description = "Task id"), Deletion),
    responses((status = 200, body = TaskView, description = "Cancelled"), (status = 204, description = "Purged"),
        (status = 404, description = "task-not-found"),
        (status = 409, description = "task-ended: it has ended, and only `purge=true` deletes it; \
            task-not-ended: it cannot be purged yet")))]
pub async fn cancel(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    Path(task): Path<String>,
    Query(Deletion { purge: is_purge }): Query<Deletion>,
) -> Result<Response, Problem> {
    let task = parse_id(&task)?;
    if is_purge {
        return Ok(purge(&app, tenant, task).await?.into_response());
    }
    match app.store.cancel(&tenant, task).await? {
        Cancelled::Cancelled { .. } => {
            app.metrics.task_ended(Status::Failed, Some(ErrorCode::Cancelled));
            let found = app.store.task(&tenant, task).await?.ok_or_else(not_found)?;
            Ok(Json(TaskView::from(&found).with_timeline(&found)).into_response())
        }
        Cancelled::Ended(status) => {
            let detail = format!("the task has already ended: it is {}; purge=true deletes it", status.as_str());
            Err(Problem::new(ErrorCode::TaskEnded, detail))
        }
        Cancelled::NotFound => Err(not_found()),
    }
}

/// Deletes an ended task.
async fn purge(app: &App, tenant: TenantId, task: TaskId) -> Result<StatusCode, Problem> {
    match app.store.purge(vec![(tenant, task)]).await?.first() {
        Some(Purged::Purged) => Ok(StatusCode::NO_CONTENT),
        Some(Purged::NotEnded(status)) => {
            let detail = "only an ended task can be purged: cancel it first, which is a DELETE without purge=true";
            Err(Problem::new(ErrorCode::TaskNotEnded, detail).with("task_status", status.as_str()))
        }
        Some(Purged::NotFound) | None => Err(not_found()),
    }
}

/// Get a task's result
///
/// The bytes of the output, with the content type that the function's version states; with `Prefer: wait=N`, once the task has ended. A failed task is answered like a failed
/// synchronous run.
#[utoipa::path(get, path = "/v1/tasks/{task}/result", tag = "tasks",
    params(("task" = String, Path, description = "Task id"),
        ("prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds for the end")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>),
        (status = 404, description = "task-not-found"),
        (status = 409, description = "task-not-ended; see Retry-After"),
        (status = 424, description = "The task failed; the code is the reason")))]
pub async fn result(
    State(app): State<Shared>,
    caller: Caller,
    Path(task): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let task = parse_id(&task)?;
    let waits = prefer::wait(&headers);
    let _room = waits.map(|_| app.room.wait(&caller, 1)).transpose()?;
    let seconds = waits.unwrap_or_default();
    let TaskResult { task, output } = wait::for_end(&app, &caller, task, seconds, None).await?.ok_or_else(not_found)?;
    match &task.state {
        TaskState::Completed(ended) => {
            // A version that was deleted meanwhile states nothing.
            let version = app.store.function(&task.tenant, &FunctionRef::Id(task.function)).await?;
            let kind = version.as_ref().map(OutputType::of).unwrap_or_default();
            Ok(invoke::answer(output, task.start.is_http, kind, &ended.receipt).await)
        }
        TaskState::Failed(failure, ended) => Err(invoke::failed(failure, &output, &ended.receipt)),
        TaskState::Queued { .. } | TaskState::Running(_) => {
            let detail = "the task has not ended: try again later, or wait for it with `Prefer: wait=20`";
            Err(Problem::new(ErrorCode::TaskNotEnded, detail).with("task_status", task.status().as_str()))
        }
    }
}

/// Get a task's log
///
/// The log of the last run, up to its log limit; empty until the task has ended.
#[utoipa::path(get, path = "/v1/tasks/{task}/logs", tag = "tasks",
    params(("task" = String, Path, description = "Task id")),
    responses((status = 200, content_type = "text/plain", body = String),
        (status = 404, description = "task-not-found")))]
pub async fn logs(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    Path(task): Path<String>,
) -> Result<Response, Problem> {
    let log = app.store.log(&tenant, parse_id(&task)?).await?.ok_or_else(not_found)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], log).into_response())
}

/// Parses a task id from a path or a body.
///
/// # Errors
/// `UnprocessableRequest` if it is not a UUID.
pub(super) fn parse_id(text: &str) -> Result<TaskId, Problem> {
    text.parse().map_err(|_| {
        let detail = format!("{text:?} is not a task id: a UUID is expected");
        Problem::new(ErrorCode::UnprocessableRequest, detail)
    })
}

/// Parses at most `max` task ids from a body.
///
/// # Errors
/// `PayloadTooLarge` if there are more, `UnprocessableRequest` if one is not a UUID.
pub(super) fn parse_ids(texts: &[String], max: usize) -> Result<Vec<TaskId>, Problem> {
    if texts.len() > max {
        let detail = format!("a request can name at most {max} tasks: send several");
        return Err(Problem::new(ErrorCode::PayloadTooLarge, detail).with("max_items", max));
    }
    texts.iter().map(|text| parse_id(text)).collect()
}

/// Returns the same problem for a missing task and for another tenant's.
pub(super) fn not_found() -> Problem {
    Problem::new(ErrorCode::TaskNotFound, "Task not found")
}
