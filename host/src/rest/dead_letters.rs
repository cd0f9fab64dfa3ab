//! Dead letters: tasks that FAILED and were not cancelled. Their inputs are kept as long as their records, so that they
//! can be replayed. A replayed dead letter stays listed, as a record of the failure.

use std::collections::HashMap;

use axum::{Json, extract::State};
use bytes::Bytes;
use fusebox_api::{
    Paging,
    batch::{Row, Rows},
    tasks::{Filter, Replay, TaskPage},
};
use fusebox_core::{
    error::ErrorCode,
    function::FunctionVersion,
    id::{FunctionId, TaskId},
    limits::REPLAY_TASKS_MAX,
    name::TenantId,
    task::Task,
};

use super::{
    App, Shared, accept, body::SmallJson, error::Problem, extract::Query, functions, idempotency, paging, retry, rows,
    tasks,
};
use crate::tenancy::Caller;
use fusebox_store::{FunctionRef, NewTask, PageRequest};

/// List dead letters
///
/// The latest failure first.
#[utoipa::path(get, path = "/v1/dead-letters", tag = "tasks", params(Paging, Filter),
    responses((status = 200, body = TaskPage), (status = 404, description = "function-not-found")))]
pub async fn list(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    Query(paging): Query<Paging>,
    Query(filter): Query<Filter>,
) -> Result<Json<TaskPage>, Problem> {
    let page = app.store.dead_letters(&tenant, &paging::request(paging)).await?;
    let letters = match &filter.function {
        Some(function) => of_function(&app, &tenant, function, page.items).await?,
        None => page.items,
    };
    Ok(Json(TaskPage { items: letters.iter().map(Into::into).collect(), next: page.next }))
}

/// Replay dead letters
///
/// Each is retried as a new task whose `retry_of` is the dead letter. A dead letter is replayed once: repeated, the
/// request returns the same task with `replayed`. A replay that fails becomes a dead letter of its own. Replaying all
/// may take several requests: `next` is the `cursor` of the next one.
#[utoipa::path(post, path = "/v1/dead-letters/replay", tag = "tasks", request_body = Replay,
    responses((status = 200, body = Rows, description = "One row per dead letter"),
        (status = 413, description = "payload-too-large: too many ids"),
        (status = 422, description = "unprocessable-request: neither or both of `tasks` and `all`, or an invalid UUID"),
        (status = 503, description = "store-full or store-unavailable; the request can safely be repeated")))]
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
            let detail = "expected either {\"tasks\": [ids]} or {\"all\": true}";
            return Err(Problem::new(ErrorCode::UnprocessableRequest, detail));
        }
    };
    replays.flush().await?;
    Ok(Json(Rows::new(replays.rows, next)))
}

/// Keeps the dead letters of a function: of one version, which may have been deleted, or of all versions of a name.
/// Each version on the page is looked up once, however many versions the name has.
async fn of_function(app: &App, tenant: &TenantId, function: &str, letters: Vec<Task>) -> Result<Vec<Task>, Problem> {
    if let Ok(id) = function.parse::<FunctionId>() {
        return Ok(letters.into_iter().filter(|task| task.function == id).collect());
    }
    let name = functions::find(app, tenant, function).await?.name;
    let (mut known, mut found) = (HashMap::new(), Vec::new());
    for task in letters {
        let is_of_it = match known.get(&task.function) {
            Some(known) => *known,
            None => {
                let version = app.store.function(tenant, &FunctionRef::Id(task.function)).await?;
                *known.entry(task.function).insert_entry(version.is_some_and(|version| version.name == name)).get()
            }
        };
        if is_of_it {
            found.push(task);
        }
    }
    Ok(found)
}

/// Replays in progress. They are accepted in one step of the store, which copies the inputs itself.
struct Replays<'a> {
    app: &'a App,
    tenant: &'a TenantId,
    /// Versions by id, each looked up once; `None` for a deleted one.
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
        let id = idempotency::replay_id(self.tenant, letter.id);
        Ok(accept::task_of_id(self.app, retry::again(letter, version, Bytes::new()), id))
    }

    /// Accepts the group in one step of the store.
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
        let mut accepted = match tasks.is_empty() {
            true => Vec::new(),
            false => accept::again(self.app, tasks).await?,
        }
        .into_iter();
        for (letter, refused) in fates {
            let fate = refused.map(Err).or_else(|| accepted.next());
            let rows = fate.iter().map(rows::row).map(|row| Row { retry_of: Some(letter.to_string()), ..row });
            self.rows.extend(rows);
        }
        Ok(())
    }
}
