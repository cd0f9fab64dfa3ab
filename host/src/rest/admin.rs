//! Health, readiness and metrics of any process, served on a separate listener. The listener requires no key and serves
//! nothing else: reaching it is the permission to read it.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
    routing::get,
};
use fusebox_core::error::ErrorCode;

use super::{
    error::{self, Problem},
    health::{METRICS_TYPE, Ready},
};
use crate::telemetry::vitals::{Probe, Unhealthy, Vitals};

type Shared = Arc<dyn Vitals>;

/// Builds the router of the three routes.
pub fn router(vitals: Shared) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(error::no_route)
        .with_state(vitals)
}

async fn healthz(State(vitals): State<Shared>) -> Result<String, Problem> {
    vitals.tell(Probe::Alive).await.map_err(not_well)
}

async fn readyz(State(vitals): State<Shared>) -> Result<Json<Ready>, Problem> {
    let warnings = vitals.tell(Probe::Ready).await.map_err(not_well)?;
    Ok(Json(Ready::new(warnings.split_whitespace())))
}

async fn metrics(State(vitals): State<Shared>) -> Result<Response, Problem> {
    let text = vitals.tell(Probe::Metrics).await.map_err(not_well)?;
    Ok(([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response())
}

fn not_well(Unhealthy(why): Unhealthy) -> Problem {
    Problem::new(ErrorCode::ShuttingDown, why)
}
