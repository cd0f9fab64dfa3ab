//! Workers: who runs tasks, as their dispatchers see them.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Shared, error::Problem, extract::Query, functions::Paging, view::rfc3339};
use crate::store::{Mode, WorkerInfo};

/// One incarnation of a worker.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkerView {
    /// Its id, a UUID; a worker that is started again has another.
    pub id: String,
    /// How it gets its tasks: `local`, `push` or `pull`.
    #[schema(value_type = String)]
    pub mode: Mode,
    /// What it calls itself: its host's name and its process.
    pub name: String,
    /// Its version of Fusebox.
    pub version: String,
    /// Runs that it can do at a time.
    pub slots: u32,
    /// Attempts that it holds.
    pub running: u32,
    /// Attempts that it has ended.
    pub ended: u64,
    /// When it joined.
    pub joined_at: String,
    /// When it was last heard of.
    pub seen_at: String,
    /// Whether it ends and takes nothing more.
    pub draining: bool,
}

/// Who works.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Workers {
    /// The workers, the oldest first.
    pub items: Vec<WorkerView>,
    /// The `cursor` of the next page; null on the last.
    #[serde(default)]
    pub next: Option<String>,
}

/// List workers
///
/// Who runs tasks now. A worker that is not heard of any more leaves the list.
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
