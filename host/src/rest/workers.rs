//! Workers that run tasks, as reported by their dispatchers.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Shared, error::Problem, extract::Query, functions::Paging, view::rfc3339};
use crate::store::{Mode, WorkerInfo};

/// One incarnation of a worker.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkerView {
    /// Id of the incarnation, a UUID; a restarted worker has another.
    pub id: String,
    /// Delivery mode of its tasks: `local`, `push` or `pull`.
    #[schema(value_type = String)]
    pub mode: Mode,
    /// Display name: name of its host, and its process id.
    pub name: String,
    /// Version of Fusebox that it runs.
    pub version: String,
    /// Number of runs it can execute at a time.
    pub slots: u32,
    /// Number of attempts it holds.
    pub running: u32,
    /// Number of attempts it has ended.
    pub ended: u64,
    /// Time at which it joined.
    pub joined_at: String,
    /// Time of its last message.
    pub seen_at: String,
    /// True if it is shutting down and takes no more attempts.
    pub draining: bool,
}

/// Page of workers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Workers {
    /// Workers, sorted by id: the oldest first.
    pub items: Vec<WorkerView>,
    /// `cursor` of the next page; null on the last.
    #[serde(default)]
    pub next: Option<String>,
}

/// List workers
///
/// Workers that run tasks now. A worker that sends nothing any more leaves the list.
#[utoipa::path(get, path = "/v1/workers", tag = "operations", params(Paging),
    responses((status = 200, body = Workers), (status = 503, description = "store-unavailable; see Retry-After")))]
pub async fn list(State(app): State<Shared>, Query(paging): Query<Paging>) -> Result<Json<Workers>, Problem> {
    let (page, next) = paging.of(app.store.workers().await?.workers, |worker| worker.id.to_string());
    Ok(Json(Workers { items: page.iter().map(Into::into).collect(), next }))
}

impl From<&WorkerInfo> for WorkerView {
    fn from(worker: &WorkerInfo) -> Self {
        Self {
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
}
