//! The four routes of the Python platform, with their paths, field names and codes. Payloads are base64, in which line
//! breaks are accepted; a function's payload is a pickled function or a wasm module, parameters and results are pickles
//! or bytes accordingly.

use axum::{Json, extract::State};
use fusebox_core::{
    error::ErrorCode,
    function::{FunctionVersion, VersionState},
    id::FunctionId,
    limits::WAIT_SECONDS_MAX,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Shared, accept,
    body::{SeedJson, from_base64, to_base64},
    compiling,
    error::Problem,
    extract::Path,
    functions, pickles, tasks,
};
use crate::tenancy::Caller;
use fusebox_store::{FunctionRef, TaskRequest};

/// Request to register a function.
#[derive(Debug, Deserialize, ToSchema)]
pub struct RegisterFunction {
    /// Name of the function.
    name: String,
    /// Function pickled by dill or cloudpickle, or wasm module, in base64.
    payload: String,
}

/// Registered function.
#[derive(Debug, Serialize, ToSchema)]
pub struct FunctionRegistered {
    /// Id of the version, a UUID.
    function_id: String,
}

/// Request to run a task.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ExecuteFunction {
    /// Id of the function version, a UUID.
    function_id: String,
    /// Input in base64: for a pickled function the pickled pair of its positional and its keyword arguments.
    payload: String,
}

/// Accepted task.
#[derive(Debug, Serialize, ToSchema)]
pub struct FunctionExecuted {
    /// Id of the task, a UUID.
    task_id: String,
}

/// State of a task.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusReply {
    /// Id of the task.
    task_id: String,
    /// `QUEUED`, `RUNNING`, `COMPLETED` or `FAILED`.
    status: String,
}

/// Result of a task.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResultReply {
    /// Id of the task.
    task_id: String,
    /// `QUEUED`, `RUNNING`, `COMPLETED` or `FAILED`.
    status: String,
    /// Empty until the task has ended; then, in base64, the output, the guest's error, or a sentence if the host ended
    /// the task. Of a pickled function, each of these is a pickle: the result, or the exception.
    result: String,
    /// Reason of the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<SeedError>,
}

/// Reason of a failure.
#[derive(Debug, Serialize, ToSchema)]
pub struct SeedError {
    /// Stable error code.
    code: String,
    /// Sentence that explains it.
    message: String,
}

/// Register a function (Python platform)
#[utoipa::path(post, path = "/register_function", tag = "Python platform", request_body = RegisterFunction,
    responses((status = 200, body = FunctionRegistered),
        (status = 400, description = "The payload is not a valid function, or a pickle of a Python that this host does \
            not run; the problem says why"),
        (status = 422, description = "A field is missing or of the wrong type")))]
pub async fn register_function(
    State(app): State<Shared>,
    caller: Caller,
    SeedJson(RegisterFunction { name, payload }, _room): SeedJson<RegisterFunction>,
) -> Result<Json<FunctionRegistered>, Problem> {
    let wasm = from_base64("payload", &payload)?;
    if pickles::is_pickle(&wasm) {
        let function = pickles::register(&app, &caller, &name, wasm).await?;
        return Ok(Json(FunctionRegistered { function_id: function.id.to_string() }));
    }
    let asked = functions::Asked { limits: app.settings.limits, ..Default::default() };
    let (mut function, _) = functions::add(&app, &caller, &name, asked, wasm).await?;
    // The client of this route expects that the function can run. It is told if that takes longer still.
    if function.state == VersionState::Compiling {
        let _room = app.room.wait(&caller, 1)?;
        let id = FunctionRef::Id(function.id);
        function = compiling::for_end(&app, &caller, &id, WAIT_SECONDS_MAX).await?;
    }
    if let VersionState::Failed(failure) = &function.state {
        return Err(compiling::failed(&function, failure));
    }
    Ok(Json(FunctionRegistered { function_id: function.id.to_string() }))
}

/// Submit a task (Python platform)
#[utoipa::path(post, path = "/execute_function", tag = "Python platform", request_body = ExecuteFunction,
    responses((status = 200, body = FunctionExecuted),
        (status = 400, description = "The payload is not base64, or not a pickle where the function is one"),
        (status = 404, description = "Unknown function"),
        (status = 422, description = "A malformed id, a missing field or a wrong type")))]
pub async fn execute_function(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    SeedJson(ExecuteFunction { function_id, payload }, _room): SeedJson<ExecuteFunction>,
) -> Result<Json<FunctionExecuted>, Problem> {
    let id: FunctionId = function_id.parse().map_err(|_| {
        let detail = format!("function_id {function_id:?} is not a UUID");
        Problem::new(ErrorCode::UnprocessableRequest, detail)
    })?;
    let input = from_base64("payload", &payload)?;
    let make = |function: &FunctionVersion| {
        pickles::check_parameters(function, &input)?;
        Ok(accept::task(&app, TaskRequest::new(function, input.clone()), None))
    };
    let (task, _) = accept::of(&app, &tenant, &id.to_string(), make).await.map_err(|problem| match problem.code() {
        ErrorCode::FunctionNotFound => Problem::new(ErrorCode::FunctionNotFound, "Function not found"),
        _ => problem,
    })?;
    Ok(Json(FunctionExecuted { task_id: task.id.to_string() }))
}

/// Get a task's status (Python platform)
#[utoipa::path(get, path = "/status/{task}", tag = "Python platform",
    params(("task" = String, Path, description = "Task id")),
    responses((status = 200, body = StatusReply), (status = 404, description = "Unknown task"),
        (status = 422, description = "Not a UUID")))]
pub async fn status(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    Path(task): Path<String>,
) -> Result<Json<StatusReply>, Problem> {
    let id = tasks::parse_id(&task)?;
    let found = app.store.task(&tenant, id).await?.ok_or_else(tasks::not_found)?;
    Ok(Json(StatusReply { task_id: id.to_string(), status: found.status().as_str().to_owned() }))
}

/// Get a task's result (Python platform)
#[utoipa::path(get, path = "/result/{task}", tag = "Python platform",
    params(("task" = String, Path, description = "Task id")),
    responses((status = 200, body = ResultReply), (status = 404, description = "Unknown task"),
        (status = 422, description = "Not a UUID")))]
pub async fn result(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    Path(task): Path<String>,
) -> Result<Json<ResultReply>, Problem> {
    let id = tasks::parse_id(&task)?;
    let found = app.store.result(&tenant, id).await?.ok_or_else(tasks::not_found)?;
    let failure = found.task.failure();
    let pickled = pickles::instead(&app, &found.task, &found.output).await?;
    let result = match (pickled, failure) {
        (Some(pickle), _) => to_base64(&pickle),
        (None, Some(failure)) if failure.code != ErrorCode::GuestError => to_base64(failure.message.as_bytes()),
        (None, _) => to_base64(&found.output),
    };
    let error = failure.map(|failure| SeedError { code: failure.code.to_string(), message: failure.message.clone() });
    let status = found.task.status().as_str().to_owned();
    Ok(Json(ResultReply { task_id: id.to_string(), status, result, error }))
}
