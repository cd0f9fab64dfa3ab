//! Routes for operators and their monitoring: liveness, readiness, metrics.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use fusebox_core::error::ErrorCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Shared, error::Problem};

/// Readiness of the host.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    /// Always `ready`; any other state is answered with a problem.
    status: &'static str,
    /// Version of the host.
    version: &'static str,
    /// Conditions that an operator should look at, as error codes: `store-full` while the store is nearly full.
    warnings: Vec<String>,
}

impl Ready {
    /// Returns the answer of a host that is ready.
    pub(super) fn new<'a>(warnings: impl IntoIterator<Item = &'a str>) -> Self {
        let warnings = warnings.into_iter().map(str::to_owned).collect();
        Self { status: "ready", version: env!("CARGO_PKG_VERSION"), warnings }
    }
}

/// Content type of the metrics.
pub(super) const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Check liveness
#[utoipa::path(get, path = "/healthz", tag = "operations",
    responses((status = 200, content_type = "text/plain", body = String)))]
pub async fn healthz() -> &'static str {
    "ok"
}

/// Check readiness
///
/// Fails while the host starts or drains, and if its store does not answer. A store that is nearly full is a warning.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, body = Ready), (status = 503, description = "shutting-down or store-unavailable")))]
pub async fn readyz(State(app): State<Shared>) -> Result<Json<Ready>, Problem> {
    if !app.readiness.is_ready() {
        let status = app.readiness.as_str();
        return Err(Problem::new(ErrorCode::ShuttingDown, format!("the host accepts no work: it is {status}")));
    }
    app.store.check().await?;
    Ok(Json(Ready::new(app.readiness.warnings())))
}

/// Metrics
///
/// In the OpenMetrics text format, which Prometheus reads.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    responses((status = 200, content_type = "application/openmetrics-text", body = String)))]
pub async fn metrics(State(app): State<Shared>) -> Result<Response, Problem> {
    let backlog = app.store.backlog().await?;
    let waiting = app.outlook.by_reason(&*app.store, app.meter.quotas(), app.store.now().await?).await?;
    app.metrics.tasks_waiting(&waiting);
    let text = app
        .metrics
        .exposition(&backlog)
        .map_err(|error| Problem::new(ErrorCode::Internal, format!("the metrics cannot be written: {error}")))?;
    Ok(([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response())
}
