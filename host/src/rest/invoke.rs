//! Synchronous invocation: the request's body is the input, the response's body the output, a header holds the receipt.

use std::convert::Infallible;

use axum::{
    extract::{FromRequestParts, State},
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use fusebox_api::{setup::StartParams, tasks::ReceiptView};
use fusebox_core::{
    error::ErrorCode,
    function::FunctionVersion,
    http,
    outcome::{Ended, Failure, Receipt},
    setup::Start,
};

use super::{
    App, Shared,
    body::{InputBody, to_base64},
    error::{Problem, STORE_FULL},
    extract::Path,
    functions,
    output::OutputType,
    quota::{bytes_reached, refused},
    setup::StartQuery,
};
use crate::{
    invoke::{Exchange, InvokeError, Invoker},
    tenancy::Caller,
};

/// Response header with the receipt as JSON.
pub const RECEIPT: HeaderName = HeaderName::from_static("fusebox-receipt");
/// In a request, `tail` requests the end of the log; in the response, holds it in base64.
pub const LOG: HeaderName = HeaderName::from_static("fusebox-log");
/// Response header with the status of a function's HTTP response that is the result of a request of the API.
const STATUS: HeaderName = HeaderName::from_static("fusebox-status");
/// `Retry-After` in seconds if nothing runs tasks: a process has to be started first.
const NOBODY_S: u32 = 5;
/// Bytes of log that an answer holds at most; servers and proxies limit the size of headers.
const LOG_TAIL_BYTES: usize = 4 << 10;

/// True if the request wants the end of the log. An extractor, since `HeaderMap` as an argument would copy all headers.
pub struct WantsLog(pub(super) bool);

/// Content type of the request. An extractor, for the same reason.
pub struct ContentType(pub(super) Option<Bytes>);

impl<S: Send + Sync> FromRequestParts<S> for ContentType {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let stated = parts.headers.get(header::CONTENT_TYPE);
        Ok(Self(stated.map(|value| Bytes::copy_from_slice(value.as_bytes()))))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WantsLog {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.headers.get(LOG).is_some_and(|value| value == "tail")))
    }
}

/// Run a function synchronously
///
/// The body is the input; the response's body is the output, and its header `fusebox-receipt` holds the resources used, as
/// JSON. Nothing is kept: `fusebox up` stores nothing; with workers in other processes the run is a task, which is cancelled
/// if the client disconnects, and deleted with the answer. An `Idempotency-Key` has no effect. With the request header
/// `fusebox-log: tail`, the response carries the last 4 KiB of the run's log in that header, in base64. A function that
/// fails answers 424 with its own code, never 500: `detail` ends with the last lines of stderr, `backtrace` names the
/// functions in which the run ended, and `log` is the end of the log, as text.
#[utoipa::path(post, path = "/v1/functions/{function}/invoke", tag = "functions",
    params(("function" = String, Path, description = "Version id or name"), StartParams),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, content_type = "application/octet-stream", body = Vec<u8>,
            headers(("fusebox-receipt" = String, description = "Resources used by the run, as JSON"))),
        (status = 400, description = "invalid-setup: the arguments or the export"),
        (status = 404, description = "function-not-found"),
        (status = 409, description = "function-compiling, function-failed"),
        (status = 413, description = "payload-too-large"),
        (status = 424, description = "The function failed: guest-error, trap, stack-overflow, out-of-fuel, out-of-cpu, \
            deadline-exceeded, out-of-memory, output-too-large, log-flood, bad-pointer or bad-module"),
        (status = 429, description = "running-quota, fuel-quota or storage-quota; see Retry-After"),
        (status = 503, description = "overloaded: every slot is busy; no-dispatcher: no worker; store-full; \
            see Retry-After")))]
pub async fn invoke(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    Path(function): Path<String>,
    StartQuery(start): StartQuery,
    WantsLog(wants_log): WantsLog,
    ContentType(content_type): ContentType,
    InputBody(input, _room): InputBody,
) -> Result<Response, Problem> {
    let function = functions::find_ready(&app, &tenant, &function).await?;
    let (start, input) = start.stating(function.abi, content_type.as_deref())?.entering(function.abi, input);
    let (is_http, kind) = (start.is_http, OutputType::of(&function));
    let ended = run(&app, function, start, input, None).await?;
    let tail = wants_log.then(|| log_tail(&ended.log));
    let mut response = match ended.failure {
        None => answer(ended.output, is_http, kind, &ended.receipt).await,
        Some(failure) => {
            let mut problem = failed(&failure, &ended.output, &ended.receipt);
            if !ended.log.is_empty() {
                problem = problem.with("log", String::from_utf8_lossy(end_of(&ended.log)));
            }
            problem.into_response()
        }
    };
    if let Some(tail) = tail {
        response.headers_mut().insert(LOG, tail);
    }
    Ok(response)
}

/// Runs a function for a request, within its tenant's quotas, and counts the run.
pub(super) async fn run(
    app: &App,
    function: FunctionVersion,
    start: Start,
    input: Bytes,
    exchange: Option<Exchange>,
) -> Result<Ended, Problem> {
    let ended = run_in(app, &*app.invoker, function, start, input, exchange).await?;
    app.metrics.invoked(ended.failure.as_ref().map(|failure| failure.code), &ended.receipt);
    Ok(ended)
}

/// Runs a function in slots, within its tenant's quotas.
pub(super) async fn run_in(
    app: &App,
    invoker: &dyn Invoker,
    function: FunctionVersion,
    start: Start,
    input: Bytes,
    exchange: Option<Exchange>,
) -> Result<Ended, Problem> {
    let tenant = function.tenant.clone();
    let _counted = app.meter.invoke(&tenant)?;
    invoker.invoke(function, start, input, exchange).await.map_err(|error| match error {
        InvokeError::QueueFull { max } => {
            let detail = "the tenant's limit of queued tasks is reached: try again in a moment".to_owned();
            refused(ErrorCode::QueueFull, detail, max, 1_000)
        }
        InvokeError::BytesReached { max } => bytes_reached(app.meter.quotas(), &tenant, max),
        InvokeError::NoFuel { per_minute, wait_ms } => {
            let detail =
                format!("this tenant's runs may reserve {per_minute} fuel a minute: try again in {wait_ms} ms");
            refused(ErrorCode::FuelQuota, detail, per_minute, wait_ms)
        }
        InvokeError::LineFull { max } => refused(ErrorCode::RunningQuota, error.to_string(), max as u64, 1_000),
        InvokeError::NoDispatcher | InvokeError::NoWorkers => {
            Problem::new(ErrorCode::NoDispatcher, error.to_string()).with_header(header::RETRY_AFTER, NOBODY_S.into())
        }
        InvokeError::Overloaded => Problem::new(ErrorCode::Overloaded, error.to_string()),
        InvokeError::Unavailable(reason) => {
            tracing::warn!(reason, "an invocation could not be stored");
            Problem::new(ErrorCode::StoreUnavailable, "the store does not answer: try again in a moment")
        }
        InvokeError::StoreFull(_) => Problem::store_full(STORE_FULL),
        InvokeError::ShuttingDown => Problem::new(ErrorCode::ShuttingDown, error.to_string()),
        InvokeError::Lost(reason) => {
            tracing::error!(reason, "the process that ran an invocation ended");
            Problem::new(ErrorCode::Overloaded, "the run was lost with its process: try again")
        }
        InvokeError::Internal(reason) => {
            tracing::error!(reason, "an invocation could not be run");
            Problem::new(ErrorCode::Internal, "the host could not run the function; its log has the reason")
        }
    })
}

/// Builds the response of a successful run, with the content type of its version's outputs. Of an HTTP response it has the
/// body and the content type, and the status in a header: the request of the API has succeeded, whatever the function answered.
pub(super) async fn answer(output: Bytes, is_http: bool, kind: OutputType, receipt: &Receipt) -> Response {
    let own = is_http.then(|| http::Response::parse(&output).ok()).flatten();
    let content_type = match &own {
        Some(own) => {
            let own = own.header("content-type").and_then(|own| HeaderValue::from_maybe_shared(own.clone()).ok());
            kind.of_response(own).unwrap_or(HeaderValue::from_static("application/octet-stream"))
        }
        None => kind.header(&output).await,
    };
    let status = own.as_ref().map(|own| (STATUS, HeaderValue::from(own.status)));
    let body = own.map_or(output, |own| own.body);
    let headers = [(header::CONTENT_TYPE, content_type), (RECEIPT, receipt_header(receipt))];
    let mut response = (StatusCode::OK, headers, body).into_response();
    response.headers_mut().extend(status);
    response
}

/// Builds the problem of a failed run.
pub(super) fn failed(failure: &Failure, error: &[u8], receipt: &Receipt) -> Problem {
    let mut problem = Problem::new(failure.code, failure.message.clone())
        .with("receipt", serde_json::to_value(ReceiptView::from(receipt)).unwrap_or_default())
        .with_header(RECEIPT, receipt_header(receipt));
    if !failure.backtrace.is_empty() {
        problem = problem.with("backtrace", failure.backtrace.clone());
    }
    if failure.code == ErrorCode::GuestError {
        problem = problem.with("error", to_base64(error)).with("output", to_base64(error));
    }
    problem
}

/// Builds the problem of a run for a client that sent an HTTP request to the function. A stranger learns the reason
/// alone.
pub(super) fn failed_publicly(failure: &Failure, error: &[u8], receipt: &Receipt, caller: &Caller) -> Problem {
    match caller.is_public {
        true => Problem::new(failure.code, "the function failed: its owner finds the reason with its own key"),
        false => failed(failure, error, receipt),
    }
    .of_gateway()
}

/// Builds the problem of a response that cannot be sent.
pub(super) fn unreadable(fault: &dyn std::fmt::Display, receipt: &Receipt) -> Problem {
    unsendable(fault).with_header(RECEIPT, receipt_header(receipt))
}

/// Builds the problem of a response that cannot be sent, while its run goes on.
pub(super) fn unsendable(fault: &dyn std::fmt::Display) -> Problem {
    Problem::new(ErrorCode::GuestError, format!("the function's response cannot be sent: {fault}")).of_gateway()
}

pub(super) fn receipt_header(receipt: &Receipt) -> HeaderValue {
    let json = serde_json::to_vec(receipt).unwrap_or_default();
    HeaderValue::from_maybe_shared(Bytes::from(json)).unwrap_or(HeaderValue::from_static("{}"))
}

pub(super) fn log_tail(log: &[u8]) -> HeaderValue {
    HeaderValue::try_from(to_base64(end_of(log))).unwrap_or(HeaderValue::from_static(""))
}

fn end_of(log: &[u8]) -> &[u8] {
    &log[log.len().saturating_sub(LOG_TAIL_BYTES)..]
}
