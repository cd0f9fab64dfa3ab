//! Dead letters: tasks that FAILED and were not cancelled. They keep their input as long as their record, so that they
//! can be replayed. A letter that was replayed stays listed: it is what happened.

use std::collections::{HashMap, HashSet};

use axum::{Json, extract::State};
use fusebox_core::{
    error::ErrorCode,
    function::FunctionVersion,
    id::{FunctionId, TaskId},
    limits::{REPLAY_BYTES, REPLAY_TASKS_MAX},
    name::TenantId,
    task::Task,
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    App, Shared, accept,
    body::SmallJson,
    error::Problem,
    extract::Query,
    functions::{self, Paging},
    idempotency, retry,
    rows::{Row, Rows},
    tasks,
    view::TaskPage,
};
use crate::{
    store::{FunctionRef, NewTask, PageRequest},
    tenancy::Caller,
};

/// Which dead letters.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only those of this function: a name, for all its versions, or a version id. A page may have fewer rows then.
    function: Option<String>,
}

/// What to replay: some, or all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Ids of dead letters, at most 1000.
    tasks: Option<Vec<String>>,
    /// All of them, the latest first; at most 1000 a request.
    #[serde(default)]
    all: bool,
    /// With `all`: the `next` of the answer before.
    cursor: Option<String>,
}

/// List dead letters
///
/// The latest to fail first.
#[utoipa::path(get, path = "/v1/dead-letters", tag = "tasks", params(Paging, Filter),
    responses((status = 200, body = TaskPage), (status = 404, description = "function-not-found")))]
pub async fn list(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    Query(paging): Query<Paging>,
    Query(filter): Query<Filter>,
) -> Result<Json<TaskPage>, Problem> {
    let wanted = match &filter.function {
        Some(function) => Some(versions(&app, &tenant, function).await?),
        None => None,
    };
    let page = app.store.dead_letters(&tenant, &paging.request()).await?;
    let letters = page.items.iter().filter(|task| wanted.as_ref().is_none_or(|ids| ids.contains(&task.function)));
    Ok(Json(TaskPage { items: letters.map(Into::into).collect(), next: page.next }))
}

/// Replay dead letters
///
/// Each is tried again as a new task, which names it as `retry_of`. A letter is replayed once: where it was before, its
/// row has the task made then and `replayed`. What fails again is a dead letter of its own. All of them may take several
/// requests: `next` is the `cursor` of the one that follows.
#[utoipa::path(post, path = "/v1/dead-letters/replay", tag = "tasks", request_body = Replay,
    responses((status = 200, body = Rows, description = "A row for each letter"),
        (status = 413, description = "payload-too-large: too many ids"),
        (status = 422, description = "unprocessable-request: neither or both of `tasks` and `all`, or no UUID"),
        (status = 503, description = "store-unavailable; it is safe to ask again")))]
pub async fn replay(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    SmallJson(asked): SmallJson<Replay>,
) -> Result<Json<Rows>, Problem> {
    let mut replays =
        Replays { app: &app, tenant: &tenant, functions: HashMap::new(), group: Vec::new(), rows: Vec::new() };
    let next = match (asked.tasks, asked.all) {
        (Some(ids), false) => {
            for id in tasks::parse_ids(&ids, REPLAY_TASKS_MAX)? {
                let found = app.store.task(&tenant, id).await?.ok_or_else(tasks::not_found);
                replays.add(id, found).await?;
            }
            None
        }
        (None, true) => {
            let rows = u32::try_from(REPLAY_TASKS_MAX).unwrap_or(u32::MAX);
            let page = app.store.dead_letters(&tenant, &PageRequest { cursor: asked.cursor, rows }).await?;
            for letter in page.items {
                replays.add(letter.id, Ok(letter)).await?;
            }
            page.next
        }
        _ => {
            let detail = "say which: {\"tasks\": [ids]} or {\"all\": true}";
            return Err(Problem::new(ErrorCode::UnprocessableRequest, detail));
        }
    };
    replays.flush().await?;
    Ok(Json(Rows::new(replays.rows, next)))
}

/// The versions that a filter means. One that was deleted still has its letters.
async fn versions(app: &App, tenant: &TenantId, function: &str) -> Result<HashSet<FunctionId>, Problem> {
    if let Ok(id) = function.parse() {
        return Ok(HashSet::from([id]));
    }
    let name = functions::find(app, tenant, function).await?.name;
    Ok(app.store.versions(tenant, &name).await?.into_iter().map(|version| version.id).collect())
}

/// Replays letters in groups, so that no more than one group's inputs are in memory.
struct Replays<'a> {
    app: &'a App,
    tenant: &'a TenantId,
    /// Each version, looked up once.
    functions: HashMap<FunctionId, Option<FunctionVersion>>,
    group: Vec<(TaskId, Result<NewTask, Problem>)>,
    rows: Vec<Row>,
}

impl Replays<'_> {
    async fn add(&mut self, id: TaskId, letter: Result<Task, Problem>) -> Result<(), Problem> {
        let task = match letter {
            Ok(letter) => self.again(&letter).await,
            Err(problem) => Err(problem),
        };
        let task = match task {
            Ok(task) => Ok(task),
            Err(problem) => Err(problem.of_item()?),
        };
        self.group.push((id, task));
        let bytes: usize = self.group.iter().flat_map(|(_, task)| task).map(|task| task.input.len()).sum();
        if bytes as u64 >= REPLAY_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn again(&mut self, letter: &Task) -> Result<NewTask, Problem> {
        retry::check(letter)?;
        if !self.functions.contains_key(&letter.function) {
            let version = self.app.store.function(self.tenant, &FunctionRef::Id(letter.function)).await?;
            self.functions.insert(letter.function, version);
        }
        let version = self.functions.get(&letter.function).and_then(Option::as_ref);
        let version = version.ok_or_else(|| retry::function_gone(letter))?;
        let input = self.app.store.input(self.tenant, letter.id).await?.ok_or_else(tasks::not_found)?;
        let id = idempotency::replay_id(self.tenant, letter.id);
        Ok(retry::again(letter, version, input).task_of_id(self.app, self.tenant, id))
    }

    /// Accepts the group in one step.
    async fn flush(&mut self) -> Result<(), Problem> {
        let mut tasks = Vec::new();
        let mut fates = Vec::new();
        for (letter, task) in self.group.drain(..) {
            match task {
                Ok(task) => {
                    tasks.push(task);
                    fates.push((letter, None));
                }
                Err(problem) => fates.push((letter, Some(problem))),
            }
        }
        let mut kept = match tasks.is_empty() {
            true => Vec::new(),
            false => accept::many(self.app, tasks).await?,
        }
        .into_iter();
        for (letter, refused) in fates {
            let fate = refused.map(Err).or_else(|| kept.next());
            let rows = fate.iter().map(Row::new).map(|row| Row { retry_of: Some(letter.to_string()), ..row });
            self.rows.extend(rows);
        }
        Ok(())
    }
}
