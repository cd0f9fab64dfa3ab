//! Numbers of tasks by group.

use std::collections::HashMap;

use axum::{Json, extract::State};
use fusebox_api::filter::{Grouping, TaskCount, TaskFilter, TaskStats};
use fusebox_core::{id::FunctionId, limits::PAGE_ROWS_MAX, name::TenantId, task::Task};
use fusebox_store::{Find, FunctionRef, Order, PageRequest, Selection};

use super::{
    App, Shared,
    error::Problem,
    extract::Query,
    filter::{self, FilterQuery},
};
use crate::tenancy::Caller;

/// Tasks that one request counts: pages of this listing, each of which looks at 10,000 tasks at most.
const PAGES_MAX: usize = 10;

/// Property by which tasks are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Status,
    Function,
    Code,
}

impl By {
    fn read(text: Option<&str>) -> Result<Self, Problem> {
        match text {
            None | Some("status") => Ok(Self::Status),
            Some("function") => Ok(Self::Function),
            Some("code") => Ok(Self::Code),
            Some(other) => Err(filter::wrong("by", other, "one of status, function and code", "by=code")),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Function => "function",
            Self::Code => "code",
        }
    }
}

/// Count tasks
///
/// Numbers of the tasks that have all properties of the filter, by `status`, `function` or `code`. One request looks at 10
/// pages of 1,000 tasks; where there are more, `complete` is false, and a request with `next` as its `cursor` counts the
/// following ones.
#[utoipa::path(get, path = "/v1/tasks/stats", tag = "tasks", params(TaskFilter, Grouping),
    responses((status = 200, body = TaskStats),
        (status = 404, description = "function-not-found; tenant-not-found"),
        (status = 422, description = "unprocessable-request: a value of the filter is malformed, as its `parameter` says")))]
pub async fn stats(
    State(app): State<Shared>,
    caller: Caller,
    FilterQuery(filter): FilterQuery,
    Query(Grouping { by, cursor }): Query<Grouping>,
) -> Result<Json<TaskStats>, Problem> {
    let by = By::read(by.as_deref())?;
    let (tenant, selection) = filter::read(&app, &caller, &filter).await?;
    Ok(Json(count(&app, &tenant, selection, by, cursor).await?))
}

async fn count(
    app: &App,
    tenant: &TenantId,
    selection: Selection,
    by: By,
    cursor: Option<String>,
) -> Result<TaskStats, Problem> {
    let page = PageRequest { cursor, rows: PAGE_ROWS_MAX };
    let mut asked = Find { selection, order: Order::Newest, page };
    let (mut counts, mut names, mut total) = (HashMap::new(), HashMap::new(), 0);
    for _ in 0..PAGES_MAX {
        let page = app.store.find(tenant, &asked).await?;
        for task in &page.items {
            *counts.entry(key(app, task, by, &mut names).await?).or_insert(0_u64) += 1;
            total += 1;
        }
        asked.page.cursor = page.next;
        if asked.page.cursor.is_none() {
            break;
        }
    }
    let mut groups: Vec<_> = counts.into_iter().map(|(key, tasks)| TaskCount { key, tasks }).collect();
    groups.sort_by(|one, other| other.tasks.cmp(&one.tasks).then_with(|| one.key.cmp(&other.key)));
    let next = asked.page.cursor;
    Ok(TaskStats { by: by.as_str().to_owned(), groups, total, complete: next.is_none(), next })
}

/// Returns the group of a task. Each version is looked up once.
async fn key(app: &App, task: &Task, by: By, names: &mut HashMap<FunctionId, String>) -> Result<String, Problem> {
    match by {
        By::Status => Ok(task.status().as_str().to_owned()),
        By::Code => Ok(task.failure().map_or("", |failure| failure.code.as_str()).to_owned()),
        By::Function => {
            if let Some(known) = names.get(&task.function) {
                return Ok(known.clone());
            }
            let version = app.store.function(&task.tenant, &FunctionRef::Id(task.function)).await?;
            let name = version.map_or_else(|| task.function.to_string(), |version| version.name.to_string());
            names.insert(task.function, name.clone());
            Ok(name)
        }
    }
}
