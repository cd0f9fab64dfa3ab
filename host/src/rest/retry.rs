//! Retries of failed tasks. A retry is a new task; the failed one stays as it is, since an end is final.

use axum::{extract::State, http::HeaderMap, response::Response};
use bytes::Bytes;
use fusebox_api::{functions::LimitParams, tasks::TaskView};
use fusebox_core::{error::ErrorCode, function::FunctionVersion, id::TaskId, setup::Start, tags::Tags, task::Task};

use super::{
    App, Shared,
    accept::{self, AcceptedTask},
    error::Problem,
    extract::Path,
    idempotency::{IdempotencyKey, RequestContent},
    tasks,
};
use crate::tenancy::Caller;
use fusebox_store::{FunctionRef, NewTask, TaskRequest};
use fusebox_system::random;

/// Retry a failed task
///
/// Creates a new task with the same function version, input, arguments, limits, priority and tags; its `retry_of` is the failed task,
/// which does not change. Each request creates another task, unless it repeats an `Idempotency-Key`. `Prefer: wait=N`
/// waits for the end, as for a submission.
#[utoipa::path(post, path = "/v1/tasks/{task}/retry", tag = "tasks",
    params(("task" = String, Path, description = "Task id"),
        ("prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds for the end"),
        ("idempotency-key" = Option<String>, Header, description = "1 to 255 visible ASCII characters")),
    responses(
        (status = 202, body = TaskView, headers(("location" = String, description = "The new task's path"))),
        (status = 200, body = TaskView, description = "The task ended while the request waited"),
        (status = 404, description = "task-not-found; function-not-found: its version was deleted"),
        (status = 409, description = "task-not-failed; input-gone: the task was cancelled"),
        (status = 422, description = "idempotency-conflict: the key was used for another request"),
        (status = 429, description = "queue-full or storage-quota; see Retry-After"),
        (status = 503, description = "store-full or store-unavailable; see Retry-After")))]
pub async fn retry(
    State(app): State<Shared>,
    caller: Caller,
    Path(task): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = tasks::parse_id(&task)?;
    let key = IdempotencyKey::of(&headers)?;
    let failed = app.store.task(&caller.tenant, id).await?.ok_or_else(tasks::not_found)?;
    check(&failed)?;
    let version = app.store.function(&caller.tenant, &FunctionRef::Id(failed.function)).await?;
    let version = version.ok_or_else(|| function_gone(&failed))?;
    let (limits, start, tags) = (LimitParams::default(), Start::default(), Tags::default());
    let priority = failed.priority;
    let asked = RequestContent {
        function: "",
        priority,
        delay_ms: 0,
        limits: &limits,
        start: &start,
        tags: &tags,
        retry_of: Some(id),
    };
    let identity = key.map(|key| key.identify(&caller.tenant, None, &asked, &[]));
    let new_id = identity.map_or_else(|| random::task_id(app.clock.now()).beside(id), |identity| identity.id);
    let fingerprint = identity.map(|identity| identity.fingerprint);
    let task = NewTask { fingerprint, ..accept::task_of_id(&app, again(&failed, &version, Bytes::new()), new_id) };
    let accepting = async { Ok((task.clone(), accept_again(&app, task.clone(), id).await?)) };
    tasks::accept_and_answer(&app, &caller, task.id, &headers, accepting).await
}

/// Accepts a retry. If its id lies beside the failed task's, the store copies the input. An idempotency key yields an
/// id that need not, and then the input is read and submitted again, unless the retry already exists.
async fn accept_again(app: &App, task: NewTask, failed: TaskId) -> Result<AcceptedTask, Problem> {
    if task.id.beside(failed) == task.id {
        let accepted = accept::again(app, vec![task]).await?.pop();
        return accepted.unwrap_or_else(|| Err(Problem::new(ErrorCode::Internal, "the store gave no answer")));
    }
    let input = match app.store.task(&task.tenant, task.id).await? {
        Some(_) => Bytes::new(),
        None => app.store.input(&task.tenant, failed).await?.ok_or_else(tasks::not_found)?,
    };
    accept::one(app, NewTask { input, ..task }).await
}

/// Refuses a task that cannot be retried.
///
/// # Errors
/// `TaskNotFailed` if it has not failed, `InputGone` if it was cancelled.
pub(super) fn check(task: &Task) -> Result<(), Problem> {
    if task.is_dead_letter() {
        return Ok(());
    }
    let status = task.status().as_str();
    if task.failure().is_none() {
        let detail = format!("only a failed task can be retried, and this one is {status}");
        return Err(Problem::new(ErrorCode::TaskNotFailed, detail).with("task_status", status));
    }
    let detail = "the task was cancelled, which discards its input: submit it again";
    Err(Problem::new(ErrorCode::InputGone, detail))
}

/// Builds the request for a retry.
pub(in crate::rest) fn again<'a>(failed: &Task, version: &'a FunctionVersion, input: Bytes) -> TaskRequest<'a> {
    let (Task { limits, priority, id, .. }, start, tags) = (failed, failed.start.clone(), failed.tags.clone());
    let (limits, priority, id) = (*limits, *priority, *id);
    TaskRequest { limits, priority, start, tags, retry_of: Some(id), ..TaskRequest::new(version, input) }
}

/// Builds the problem for a task whose function version was deleted.
pub(super) fn function_gone(task: &Task) -> Problem {
    let detail = format!("the task's function version {} was deleted: submit it to another one", task.function);
    Problem::new(ErrorCode::FunctionNotFound, detail)
}
