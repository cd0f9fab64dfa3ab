//! Submission of many tasks in one request. Each is accepted or refused independently, in one step of the store.
//!
//! The response is 200 with a row per item rather than 207, whose readers expect WebDAV's XML.

use std::collections::HashMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use fusebox_api::batch::{BatchItem, Row, Rows};
use fusebox_core::{error::ErrorCode, function::FunctionVersion, id::TaskId, name::TenantId};

use super::{
    App, Shared,
    accept::{self, AcceptedTask},
    body::BatchBody,
    compiling,
    error::Problem,
    extract::Path,
    functions,
    idempotency::IdempotencyKey,
    items::{Batch, Item},
    rows, tags,
};
use crate::tenancy::Caller;
use fusebox_store::{NewTask, TaskRequest};
use fusebox_system::random;

/// Media type of one JSON text per line.
const NDJSON: &str = "application/x-ndjson";

/// Submit many tasks of a function
///
/// At most 10,000 items and 24 MiB: a JSON array, or one JSON object per line with `Content-Type:
/// application/x-ndjson`. Each item is accepted or refused independently. The response has one row per item, in order;
/// with `Accept: application/x-ndjson`, one JSON object per line. Items without an idempotency key of their own run in
/// order.
///
/// With an `Idempotency-Key`, the same batch can be sent again safely; items can also have keys of their own.
///
/// If the store stops answering midway, the response is still 200: items known to be queued are `accepted`, the others
/// have the error `store-unavailable`. Such an item may nevertheless be queued, so send it again with its idempotency
/// key. If nothing is known about any item, the response is 503.
#[utoipa::path(post, path = "/v1/functions/{function}/tasks/batch", tag = "tasks",
    params(("function" = String, Path, description = "Version id or name, for items without `function`"),
        ("idempotency-key" = Option<String>, Header, description = "1 to 255 visible ASCII characters"),
        ("fusebox-tags" = Option<String>, Header, description = "Tags of every item: `k=v, k2=v2`, at most 16")),
    request_body(content((Vec<BatchItem> = "application/json"), (BatchItem = "application/x-ndjson"))),
    responses(
        (status = 200, description = "One row per item", content((Rows = "application/json"),
            (Row = "application/x-ndjson"))),
        (status = 400, description = "invalid-request: the idempotency key"),
        (status = 404, description = "function-not-found"),
        (status = 413, description = "payload-too-large: too many bytes or items"),
        (status = 422, description = "unprocessable-request: not an array; invalid-tags"),
        (status = 503, description = "overloaded, store-full or store-unavailable; see Retry-After")))]
pub async fn of_function(
    State(app): State<Shared>,
    caller: Caller,
    Path(function): Path<String>,
    headers: HeaderMap,
    BatchBody(body, _room): BatchBody,
) -> Result<Response, Problem> {
    functions::find_ready(&app, &caller.tenant, &function).await?;
    submit(&app, &caller, Some(function), &headers, body).await
}

/// Submit many tasks
///
/// Like a batch for one function, but each item has its own `function`.
#[utoipa::path(post, path = "/v1/tasks/batch", tag = "tasks",
    params(("idempotency-key" = Option<String>, Header, description = "1 to 255 visible ASCII characters"),
        ("fusebox-tags" = Option<String>, Header, description = "Tags of every item: `k=v, k2=v2`, at most 16")),
    request_body(content((Vec<BatchItem> = "application/json"), (BatchItem = "application/x-ndjson"))),
    responses(
        (status = 200, description = "One row per item", content((Rows = "application/json"),
            (Row = "application/x-ndjson"))),
        (status = 400, description = "invalid-request: the idempotency key"),
        (status = 413, description = "payload-too-large: too many bytes or items"),
        (status = 422, description = "unprocessable-request: not an array; invalid-tags"),
        (status = 503, description = "overloaded, store-full or store-unavailable; see Retry-After")))]
pub async fn of_any(
    State(app): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    BatchBody(body, _room): BatchBody,
) -> Result<Response, Problem> {
    submit(&app, &caller, None, &headers, body).await
}

async fn submit(
    app: &App,
    caller: &Caller,
    function: Option<String>,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let _room = app.room.batch(caller)?;
    let tenant = &caller.tenant;
    let lines = names(headers, &header::CONTENT_TYPE, &["ndjson", "jsonl"]);
    let batch =
        Batch { tenant: tenant.clone(), function, key: IdempotencyKey::of(headers)?, tags: tags::of(headers)?, lines };
    // Parsing and hashing megabytes on a runtime thread would delay every other request.
    let read = tokio::task::spawn_blocking(move || batch.read(&body)).await;
    let items = read.map_err(|error| {
        tracing::error!(%error, "reading a batch panicked");
        Problem::new(ErrorCode::Internal, "the host could not read the batch; its log has the reason")
    })??;
    let fates = accept(app, tenant, items).await?;
    let rows: Vec<Row> = fates.iter().map(rows::row).collect();
    if names(headers, &header::ACCEPT, &["ndjson"]) {
        let mut lines = Vec::new();
        for row in &rows {
            lines.extend(serde_json::to_vec(row).unwrap_or_default());
            lines.push(b'\n');
        }
        return Ok(([(header::CONTENT_TYPE, NDJSON)], lines).into_response());
    }
    Ok(Json(Rows::new(rows, None)).into_response())
}

/// Accepts the valid items in one step of the store; returns the result of each item in order.
async fn accept(
    app: &App,
    tenant: &TenantId,
    items: Vec<Result<Item, Problem>>,
) -> Result<Vec<Result<AcceptedTask, Problem>>, Problem> {
    let functions = lookup(app, tenant, items.iter().flatten()).await?;
    let now = app.clock.now();
    let make = |place: u32, item: Item| -> Result<NewTask, Problem> {
        let version = functions.get(&item.function).and_then(Option::as_ref);
        let version = version.ok_or_else(|| functions::not_found(&item.function))?;
        compiling::check(version)?;
        let limits = item.limits.over(version.limits, &version.limits)?;
        let Item { priority, delay_ms, start, identity, tags, input, .. } = item;
        let request = TaskRequest { limits, priority, delay_ms, start, tags, ..TaskRequest::new(version, input) };
        Ok(match identity {
            Some(_) => accept::task(app, request, identity),
            None => accept::task_of_id(app, request, TaskId::in_batch(now, place, random::bytes())),
        })
    };
    let mut tasks = Vec::new();
    let mut fates: Vec<Option<Problem>> = Vec::new();
    for (place, item) in (0..).zip(items) {
        match item.and_then(|item| make(place, item)) {
            Ok(task) => {
                tasks.push(task);
                fates.push(None);
            }
            Err(problem) => fates.push(Some(problem)),
        }
    }
    let mut accepted = match tasks.is_empty() {
        true => Vec::new(),
        false => accept::many(app, tasks).await?,
    }
    .into_iter();
    // The store returned one result per task, in order.
    Ok(fates.into_iter().filter_map(|fate| fate.map(Err).or_else(|| accepted.next())).collect())
}

/// Looks each of the items' functions up once; `None` for one that does not exist.
async fn lookup(
    app: &App,
    tenant: &TenantId,
    items: impl Iterator<Item = &Item>,
) -> Result<HashMap<String, Option<FunctionVersion>>, Problem> {
    let mut found = HashMap::new();
    for item in items {
        if !found.contains_key(&item.function) {
            let version = match functions::find(app, tenant, &item.function).await {
                Ok(version) => Some(version),
                Err(problem) => problem.of_item().map(|_| None)?,
            };
            found.insert(item.function.clone(), version);
        }
    }
    Ok(found)
}

/// Returns true if the header contains one of these media types.
fn names(headers: &HeaderMap, header: &header::HeaderName, types: &[&str]) -> bool {
    let mut values = headers.get_all(header).into_iter().filter_map(|value| value.to_str().ok());
    values.any(|value| types.iter().any(|kind| value.to_ascii_lowercase().contains(kind)))
}
