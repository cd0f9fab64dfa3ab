//! Workers that run tasks, as reported by their dispatchers.

use axum::{Json, extract::State};
use fusebox_api::{
    Paging, rfc3339,
    workers::{WorkerView, Workers},
};

use super::{Shared, error::Problem, extract::Query, paging};
use fusebox_store::WorkerInfo;

/// List workers
///
/// Workers that run tasks now. A worker that sends nothing any more leaves the list.
#[utoipa::path(get, path = "/v1/workers", tag = "operations", params(Paging),
    responses((status = 200, body = Workers), (status = 503, description = "store-unavailable; see Retry-After")))]
pub async fn list(State(app): State<Shared>, Query(paging): Query<Paging>) -> Result<Json<Workers>, Problem> {
    let (page, next) = paging::of(paging, app.store.workers().await?.workers, |worker| worker.id.to_string());
    Ok(Json(Workers { items: page.iter().map(view).collect(), next }))
}

fn view(worker: &WorkerInfo) -> WorkerView {
    WorkerView {
        id: worker.id.to_string(),
        mode: worker.mode,
        name: worker.name.clone(),
        version: worker.version.clone(),
        slots: worker.slots,
        running: worker.running,
        ended: worker.ended,
        joined_at: rfc3339(worker.joined_at),
        seen_at: rfc3339(worker.seen_at),
        draining: worker.draining,
    }
}
