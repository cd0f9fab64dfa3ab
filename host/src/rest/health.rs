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
}

impl Ready {
    /// Returns this status with the host's version.
    pub(super) const fn new(status: &'static str) -> Self {
        Self { status, version: env!("CARGO_PKG_VERSION") }
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
/// Fails while the host starts or drains, and if its store does not answer.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, body = Ready), (status = 503, description = "shutting-down or store-unavailable")))]
pub async fn readyz(State(app): State<Shared>) -> Result<Json<Ready>, Problem> {
    let status = app.readiness.as_str();
    if !app.readiness.is_ready() {
        return Err(Problem::new(ErrorCode::ShuttingDown, format!("the host accepts no work: it is {status}")));
    }
    app.store.check().await?;
    Ok(Json(Ready::new(status)))
}

/// Metrics
///
/// In the OpenMetrics text format, which Prometheus reads.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    responses((status = 200, content_type = "application/openmetrics-text", body = String)))]
pub async fn metrics(State(app): State<Shared>) -> Result<Response, Problem> {
    let backlog = app.store.backlog().await?;
    let text = app
        .metrics
        .exposition(&backlog)
        .map_err(|error| Problem::new(ErrorCode::Internal, format!("the metrics cannot be written: {error}")))?;
    Ok(([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response())
}
