//! Endpoints: functions that answer HTTP requests, at `/fn/{function}/…` and, where an operator has set one, on a domain
//! and a listener of their own.
//!
//! | module | holds |
//! |---|---|
//! | [`hosts`] | domain and listener of functions: which requests go to functions |
//! | `place` | the function that a request names, and the path within it |
//! | `admit` | access: by key, or to a function that is public |
//! | `request` | from a client's request to a function's |
//! | `response` | from a function's response to a client's |
//! | `tail` | responses that are passed on as their functions write them |

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Extension, Request, State},
    http::{HeaderValue, Method, StatusCode, Version, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use fusebox_api::tasks::TaskView;
use fusebox_core::{error::ErrorCode, http, limits::INPUT_BYTES_MAX, outcome::Ended, setup::Start, tags::Tags};

use self::tail::First;
use super::{
    App, Shared, accept,
    access::operations,
    body::{EndpointBody, of_endpoint},
    error::Problem,
    idempotency::{self, IdempotencyKey, RequestContent},
    invoke::{self, WantsLog},
    output::OutputType,
    prefer, tags,
    tasks::PREFERENCE_APPLIED,
};
use crate::{invoke::Exchange, tenancy::Caller};
use fusebox_store::TaskRequest;
use utoipa::openapi::{RefOr, path::Parameter};
use utoipa_axum::{router::UtoipaMethodRouter, routes};

pub(super) use self::admit::admit;
pub(super) use self::place::Apart;
pub use self::place::Reached;

mod admit;
pub mod hosts;
mod place;
mod request;
mod response;
mod tail;

pub(super) use self::response::{Served, protect};

/// Path of a request to a function.
const INNER: &str = "/fn/{function}/{*path}";

/// Send a request to a function
///
/// The function receives method, path, query, headers and body, and its answer is the response: status, headers and
/// body. The path `/` of the function is `/fn/{function}/`. A function that was registered as public needs no key; a
/// request without one reaches functions of the tenant `default`. Credentials of this API and cookies do not reach a
/// function here, and the response carries `Content-Security-Policy: sandbox` and no cookies.
///
/// With `Prefer: respond-async` the request becomes a task, and the response is its result; see `/v1/tasks/{task}/result`.
/// A function that fails answers 502, or 504 beyond its time, with its own code.
#[utoipa::path(method(get, post, put, patch, delete, options), path = "/fn/{function}/{*path}", tag = "endpoints",
    params(("function" = String, Path, description = "Version id or name"),
        ("path" = String, Path, description = "Path within the function"),
        ("prefer" = Option<String>, Header, description = "`respond-async`: make a task of the request"),
        ("idempotency-key" = Option<String>, Header, description = "Key of that task: 1 to 255 visible ASCII characters"),
        ("fusebox-tags" = Option<String>, Header, description = "Tags of that task: `k=v, k2=v2`, at most 16")),
    request_body(content = Vec<u8>, content_type = "*/*"),
    responses(
        (status = "default", description = "The function's own response",
            headers(("fusebox-receipt" = String, description = "Resources used by the run, as JSON"))),
        (status = 202, body = TaskView, headers(("location" = String, description = "Path of the task"))),
        (status = 404, description = "function-not-found"),
        (status = 413, description = "payload-too-large"),
        (status = 429, description = "running-quota, fuel-quota, queue-full or storage-quota; see Retry-After"),
        (status = 502, description = "The function failed: guest-error, trap and other codes of a failed run"),
        (status = 503, description = "overloaded, no-dispatcher or store-full; see Retry-After"),
        (status = 504, description = "deadline-exceeded: the function took too long")))]
pub async fn serve(
    State(app): State<Shared>,
    caller: Caller,
    Extension(reached): Extension<Reached>,
    WantsLog(wants_log): WantsLog,
    request: Request,
) -> Result<Response, Problem> {
    let (mut head, body) = request.into_parts();
    let is_async = prefer::is_async(&head.headers);
    let key = IdempotencyKey::of(&head.headers)?.filter(|_| is_async);
    let tags = if is_async { tags::of(&head.headers)? } else { Tags::default() };
    let is_head = head.method == Method::HEAD;
    // A client of HTTP/1.0 could not tell a response that is cut off from one that has ended.
    let may_stream = !is_async && head.version > Version::HTTP_10;
    let own = request::of_function(&mut head, &reached, app.settings.is_tls)?;
    let module = may_stream.then_some(reached.version.module);
    let body = of_endpoint(Request::from_parts(head, body), &app, module, request::passing_trailers).await?;
    let (body, room, arriving) = match body {
        EndpointBody::Whole(body, room) => (body, room, None),
        EndpointBody::Arriving(arriving) => (Bytes::new(), None, Some(arriving)),
    };
    let input = with_body(own, body)?;
    if is_async {
        return later(&app, &caller, reached, (key, tags), input).await;
    }
    let Reached { version, is_apart, .. } = reached;
    let (function, kind) = (version.id, OutputType::of(&version));
    let (exchange, pieces) = may_stream.then(|| Exchange::new(arriving)).unzip();
    let running = async move {
        let start = Start { is_http: true, ..Start::default() };
        let ended = invoke::run(&app, Arc::unwrap_or_clone(version), start, input, exchange).await;
        drop(room);
        ended
    };
    let mut response = match tail::first(function, Box::pin(running), pieces, is_head).await? {
        First::Whole(ended, head) => {
            let tail = (wants_log && !caller.is_public).then(|| invoke::log_tail(&ended.log));
            let mut response = answered(ended, head, kind, &caller, is_head)?;
            if let Some(tail) = tail {
                response.headers_mut().insert(invoke::LOG, tail);
            }
            response
        }
        First::Part(head, tail) => response::of_part(head, tail).map_err(|fault| invoke::unsendable(&fault))?,
    };
    response.extensions_mut().insert(Served { is_apart });
    Ok(response)
}

/// Returns the routes of functions: any path within one, and its root with and without a slash.
pub(super) fn routes() -> UtoipaMethodRouter<Shared> {
    let (schemas, mut paths, router) = routes!(serve);
    let inner = paths.paths.get(INNER).cloned().unwrap_or_default();
    for (path, id) in [("/fn/{function}", "serve_root"), ("/fn/{function}/", "serve_slash")] {
        let mut item = inner.clone();
        for (_, operation) in operations(&mut item) {
            operation.operation_id = Some(id.to_owned());
            operation.description = Some("Same as at other paths of the function.".to_owned());
            operation.responses.responses.retain(|status, _| status == "default");
            operation.parameters.iter_mut().for_each(|all| all.retain(|one| !is_path(one)));
        }
        paths.paths.insert(path.to_owned(), item);
    }
    (schemas, paths, router)
}

/// Returns true for the parameter that the root of a function lacks.
fn is_path(parameter: &RefOr<Parameter>) -> bool {
    matches!(parameter, RefOr::T(parameter) if parameter.name == "path")
}

/// Joins head and body.
///
/// # Errors
/// `InvalidRequest` if the head is too large, `PayloadTooLarge` if both are, together.
fn with_body(request: http::Request, body: Bytes) -> Result<Bytes, Problem> {
    let message = http::Request { body, ..request }.to_bytes()?;
    if message.len() as u64 > INPUT_BYTES_MAX {
        let detail = format!("a request to a function has at most {INPUT_BYTES_MAX} bytes, headers and body together");
        return Err(Problem::new(ErrorCode::PayloadTooLarge, detail).with("max_bytes", INPUT_BYTES_MAX));
    }
    Ok(message)
}

/// Makes a task of a request.
async fn later(
    app: &App,
    caller: &Caller,
    Reached { version, .. }: Reached,
    (key, tags): (Option<IdempotencyKey>, Tags),
    input: Bytes,
) -> Result<Response, Problem> {
    let start = Start { is_http: true, ..Start::default() };
    let (function, limits) = (version.name.to_string(), Default::default());
    let asked = RequestContent {
        function: &function,
        priority: Default::default(),
        delay_ms: 0,
        limits: &limits,
        start: &start,
        tags: &tags,
        retry_of: None,
    };
    let identity = key.map(|key| key.identify(&caller.tenant, None, &asked, &input));
    let request = TaskRequest { start: start.clone(), tags: tags.clone(), ..TaskRequest::new(&version, input) };
    let task = accept::task(app, request, identity);
    let accepted = accept::one(app, task.clone()).await?;
    let at = accepted.new_at.unwrap_or_else(|| app.clock.now());
    let headers = [
        (header::LOCATION, HeaderValue::try_from(format!("/v1/tasks/{}", accepted.id))),
        (PREFERENCE_APPLIED, Ok(HeaderValue::from_static("respond-async"))),
    ];
    let mut response = (StatusCode::ACCEPTED, Json(TaskView::from(&task.accepted(at)))).into_response();
    for (name, value) in headers {
        response.headers_mut().extend(value.ok().map(|value| (name, value)));
    }
    if accepted.new_at.is_none() {
        response.headers_mut().insert(idempotency::REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Builds the response of a run that has ended. `head` is the response if the run passed it on.
fn answered(
    ended: Ended,
    head: Option<http::Response>,
    kind: OutputType,
    caller: &Caller,
    is_head: bool,
) -> Result<Response<Body>, Problem> {
    let Ended { failure, output, receipt, .. } = ended;
    // A response of status 500 or above is an error of the function, and its answer all the same.
    let own = match &failure {
        None => match head {
            Some(head) => head,
            None => http::Response::parse(&output).map_err(|fault| invoke::unreadable(&fault, &receipt))?,
        },
        Some(failure) => match response::fault(failure, &output) {
            Some(own) => head.unwrap_or(own),
            None => return Err(invoke::failed_publicly(failure, &output, &receipt, caller)),
        },
    };
    let mut response = response::of_client(own, is_head).map_err(|fault| invoke::unreadable(&fault, &receipt))?;
    let headers = response.headers_mut();
    let own = headers.remove(header::CONTENT_TYPE);
    headers.extend(kind.of_response(own).map(|kind| (header::CONTENT_TYPE, kind)));
    headers.insert(invoke::RECEIPT, invoke::receipt_header(&receipt));
    Ok(response)
}

/// Returns a version of a function, for tests of what reaches it.
#[cfg(test)]
fn test_version(name: &str) -> fusebox_core::function::FunctionVersion {
    use fusebox_core::{function, id, name::TenantId, setup::Setup, time::Millis};
    function::FunctionVersion {
        id: fusebox_system::random::function_id(Millis(1)),
        tenant: TenantId::default_tenant(),
        name: name.parse().unwrap(),
        version: 1,
        module: id::ModuleDigest([0; 32]),
        module_bytes: 1,
        abi: function::Abi::Http,
        limits: function::RunLimits::default(),
        grants: function::Grants::default(),
        setup: Setup::default(),
        created_at: Millis(1),
        state: function::VersionState::Ready,
    }
}
