//! Submit many tasks with one request: each accepted or refused on its own, in one step of the store.
//!
//! The answer is 200 with a row for each item, and not 207: what 207 means to its readers is WebDAV's XML.

use std::collections::HashMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use fusebox_core::{error::ErrorCode, function::FunctionVersion, id::TaskId, name::TenantId};

use super::{
    App, Shared,
    accept::{self, Kept, Wish},
    body::BatchBody,
    error::Problem,
    extract::Path,
    functions,
    idempotency::Key,
    items::{Batch, BatchItem, Item},
    rows::{Row, Rows},
};
use crate::{random, store::NewTask, tenancy::Caller};

/// A line of JSON for each item.
const NDJSON: &str = "application/x-ndjson";

/// Submit many tasks of a function
///
/// At most 10,000 items and 24 MiB: a JSON array, or with `Content-Type: application/x-ndjson` a line of JSON for each.
/// Each item is accepted or refused on its own, and the answer has a row for each in their order; with `Accept:
/// application/x-ndjson` a line of JSON for each. Items without keys of their own run in their order.
///
/// With an `Idempotency-Key`, the same batch may be sent again and again; items may have keys of their own.
///
/// Where the store stops answering on the way, the answer is still 200: items that wait are `accepted`, and each of the others
/// has the error `store-unavailable`. Such an item may wait all the same, so send it again with its idempotency key. Where
/// nothing is known of any item, the answer is 503.
#[utoipa::path(post, path = "/v1/functions/{function}/tasks/batch", tag = "tasks",
    params(("function" = String, Path, description = "Version id or name; of items that name none"),
        ("idempotency-key" = Option<String>, Header, description = "1 to 255 visible ASCII characters")),
    request_body(content((Vec<BatchItem> = "application/json"), (BatchItem = "application/x-ndjson"))),
    responses(
        (status = 200, description = "A row for each item", content((Rows = "application/json"),
            (Row = "application/x-ndjson"))),
        (status = 400, description = "invalid-request: the idempotency key"),
        (status = 404, description = "function-not-found"),
        (status = 413, description = "payload-too-large: too many bytes or items"),
        (status = 422, description = "unprocessable-request: no array"),
        (status = 503, description = "overloaded or store-unavailable; see Retry-After")))]
pub async fn of_function(
    State(app): State<Shared>,
    caller: Caller,
    Path(function): Path<String>,
    headers: HeaderMap,
    BatchBody(body, _room): BatchBody,
) -> Result<Response, Problem> {
    functions::find(&app, &caller.tenant, &function).await?;
    submit(&app, &caller, Some(function), &headers, body).await
}

/// Submit many tasks
///
/// As to one function's path, but each item names its `function`.
#[utoipa::path(post, path = "/v1/tasks/batch", tag = "tasks",
    params(("idempotency-key" = Option<String>, Header, description = "1 to 255 visible ASCII characters")),
    request_body(content((Vec<BatchItem> = "application/json"), (BatchItem = "application/x-ndjson"))),
    responses(
        (status = 200, description = "A row for each item", content((Rows = "application/json"),
            (Row = "application/x-ndjson"))),
        (status = 400, description = "invalid-request: the idempotency key"),
        (status = 413, description = "payload-too-large: too many bytes or items"),
        (status = 422, description = "unprocessable-request: no array"),
        (status = 503, description = "overloaded or store-unavailable; see Retry-After")))]
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
    let batch = Batch { tenant: tenant.clone(), function, key: Key::of(headers)?, lines };
    // Reading and hashing megabytes would hold up everyone else's requests.
    let read = tokio::task::spawn_blocking(move || batch.read(&body)).await;
    let items = read.map_err(|error| {
        tracing::error!(%error, "reading a batch panicked");
        Problem::new(ErrorCode::Internal, "the host could not read the batch; its log has the reason")
    })??;
    let fates = accept(app, tenant, items).await?;
    let rows: Vec<Row> = fates.iter().map(Row::new).collect();
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

/// Accepts what can be accepted, in one step; gives each item's fate, in their order.
async fn accept(
    app: &App,
    tenant: &TenantId,
    items: Vec<Result<Item, Problem>>,
) -> Result<Vec<Result<Kept, Problem>>, Problem> {
    let functions = lookup(app, tenant, items.iter().flatten()).await?;
    let now = app.clock.now();
    let make = |place: u32, item: Item| -> Result<NewTask, Problem> {
        let version = functions.get(&item.function).and_then(Option::as_ref);
        let version = version.ok_or_else(|| functions::not_found(&item.function))?;
        let limits = item.limits.over(version.limits, &version.limits)?;
        let Item { priority, delay_ms, identity, input, .. } = item;
        let wish = Wish { function: version, limits, priority, delay_ms, retry_of: None, input };
        Ok(match identity {
            Some(_) => wish.task(app, tenant, identity),
            None => wish.task_of_id(app, tenant, TaskId::in_batch(now, place, random::bytes())),
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
    let mut kept = match tasks.is_empty() {
        true => Vec::new(),
        false => accept::many(app, tasks).await?,
    }
    .into_iter();
    // The store has answered for each task, in their order.
    Ok(fates.into_iter().filter_map(|fate| fate.map(Err).or_else(|| kept.next())).collect())
}

/// The versions that the items' functions mean, each looked up once; `None` where there is none.
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

/// Whether a header names one of these media types.
fn names(headers: &HeaderMap, header: &header::HeaderName, types: &[&str]) -> bool {
    let mut values = headers.get_all(header).into_iter().filter_map(|value| value.to_str().ok());
    values.any(|value| types.iter().any(|kind| value.to_ascii_lowercase().contains(kind)))
}
