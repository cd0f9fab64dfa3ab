//! Acts on many tasks: cancel, retry and delete by a filter. A request is answered once the job is durable; `runner` performs
//! it.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use fusebox_api::{
    Paging,
    filter::TaskFilter,
    jobs::{JobPage, JobView},
    rfc3339,
};
use fusebox_core::{error::ErrorCode, id::JobId};
use fusebox_store::{Act, JOBS_OPEN_MAX, Job, JobAdded, JobState, Selection};
use fusebox_system::random;

pub use self::runner::Runner;
use super::{
    App, Shared,
    body::SmallJson,
    error::Problem,
    extract::{Path, Query},
    filter, paging,
    quota::refused,
};
use crate::tenancy::{Caller, Refusal};

mod runner;

/// `Retry-After` of a tenant with too many jobs, in milliseconds.
const JOBS_MS: u64 = 5_000;

/// Cancel tasks
///
/// Cancels those of the filter's tasks that have not ended, in the background: `/v1/jobs/{job}` says how far it is.
#[utoipa::path(post, path = "/v1/tasks/cancel", tag = "tasks", request_body = TaskFilter,
    responses((status = 202, body = JobView, headers(("location" = String, description = "Path of the job"))),
        (status = 404, description = "function-not-found; tenant-not-found"),
        (status = 422, description = "unprocessable-request: the filter is empty, or a value is malformed"),
        (status = 429, description = "job-quota: the tenant has 4 jobs that are running; see Retry-After")))]
pub async fn cancel(
    State(app): State<Shared>,
    caller: Caller,
    SmallJson(filter): SmallJson<TaskFilter>,
) -> Result<Response, Problem> {
    begin(&app, &caller, Act::Cancel, filter).await
}

/// Retry failed tasks
///
/// Retries those of the filter's tasks that are dead letters, each once, in the background: `/v1/jobs/{job}` says how far it
/// is. Where the tenant's queue is full, the job waits.
#[utoipa::path(post, path = "/v1/tasks/retry", tag = "tasks", request_body = TaskFilter,
    responses((status = 202, body = JobView, headers(("location" = String, description = "Path of the job"))),
        (status = 404, description = "function-not-found; tenant-not-found"),
        (status = 422, description = "unprocessable-request: the filter is empty, or a value is malformed"),
        (status = 429, description = "job-quota: the tenant has 4 jobs that are running; see Retry-After")))]
pub async fn retry(
    State(app): State<Shared>,
    caller: Caller,
    SmallJson(filter): SmallJson<TaskFilter>,
) -> Result<Response, Problem> {
    begin(&app, &caller, Act::Retry, filter).await
}

/// Delete ended tasks
///
/// Deletes those of the filter's tasks that have ended, with their inputs, outputs and logs, in the background:
/// `/v1/jobs/{job}` says how far it is.
#[utoipa::path(post, path = "/v1/tasks/delete", tag = "tasks", request_body = TaskFilter,
    responses((status = 202, body = JobView, headers(("location" = String, description = "Path of the job"))),
        (status = 404, description = "function-not-found; tenant-not-found"),
        (status = 422, description = "unprocessable-request: the filter is empty, or a value is malformed"),
        (status = 429, description = "job-quota: the tenant has 4 jobs that are running; see Retry-After")))]
pub async fn delete(
    State(app): State<Shared>,
    caller: Caller,
    SmallJson(filter): SmallJson<TaskFilter>,
) -> Result<Response, Problem> {
    begin(&app, &caller, Act::Delete, filter).await
}

/// List jobs
///
/// Those that are running, and the latest that have ended.
#[utoipa::path(get, path = "/v1/jobs", tag = "tasks", params(Paging), responses((status = 200, body = JobPage)))]
pub async fn list(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    Query(paging): Query<Paging>,
) -> Result<Json<JobPage>, Problem> {
    let (page, next) = paging::of(paging, app.store.jobs(&tenant).await?, |job| job.id.to_string());
    Ok(Json(JobPage { items: page.iter().map(view).collect(), next }))
}

/// Get a job
#[utoipa::path(get, path = "/v1/jobs/{job}", tag = "tasks", params(("job" = String, Path, description = "Job id")),
    responses((status = 200, body = JobView), (status = 404, description = "job-not-found")))]
pub async fn get(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    Path(job): Path<String>,
) -> Result<Json<JobView>, Problem> {
    let found = app.store.job(&tenant, parse(&job)?).await?.ok_or_else(not_found)?;
    Ok(Json(view(&found)))
}

/// Stop a job
///
/// It goes no further than the page of tasks that it handles now; what it has done stays. One that has ended does not change.
#[utoipa::path(delete, path = "/v1/jobs/{job}", tag = "tasks", params(("job" = String, Path, description = "Job id")),
    responses((status = 200, body = JobView), (status = 404, description = "job-not-found")))]
pub async fn stop(
    State(app): State<Shared>,
    Caller { tenant, .. }: Caller,
    Path(job): Path<String>,
) -> Result<Json<JobView>, Problem> {
    let found = app.store.stop_job(&tenant, parse(&job)?).await?.ok_or_else(not_found)?;
    Ok(Json(view(&found)))
}

async fn begin(app: &App, caller: &Caller, act: Act, filter: TaskFilter) -> Result<Response, Problem> {
    if (TaskFilter { tenant: None, ..filter.clone() }) == TaskFilter::default() {
        let detail = "the filter names no property of the tasks: add one, such as {\"status\": \"FAILED\"}";
        let problem = Problem::new(ErrorCode::UnprocessableRequest, detail);
        return Err(problem.with("example", "{\"status\": \"FAILED\"}"));
    }
    let (tenant, selection) = filter::read(app, caller, &filter).await?;
    let now = app.store.now().await?;
    // Otherwise a retry that fails would be retried by the same job.
    let until = selection.until.map_or_else(|| now.plus(1), |until| until.min(now.plus(1)));
    let job = Job {
        id: JobId::new(now, random::bytes()),
        tenant,
        act,
        filter: serde_json::to_string(&filter).unwrap_or_default(),
        selection: Selection { until: Some(until), ..selection },
        cursor: None,
        changed: 0,
        skipped: 0,
        created_at: now,
        ended_at: None,
        state: JobState::Open,
        starts: 0,
    };
    match app.store.add_job(job.clone(), JOBS_OPEN_MAX).await? {
        JobAdded::Added => {}
        JobAdded::TooMany => {
            let detail = format!("{JOBS_OPEN_MAX} jobs of the tenant are running, its limit: wait for one, or stop it");
            return Err(refused(ErrorCode::JobQuota, detail, JOBS_OPEN_MAX as u64, JOBS_MS));
        }
        JobAdded::NoTenant => return Err(Refusal::BadKey.into()),
    }
    app.jobs.wake();
    let location = [(header::LOCATION, format!("/v1/jobs/{}", job.id))];
    Ok((StatusCode::ACCEPTED, location, Json(view(&job))).into_response())
}

fn parse(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|_| {
        let detail = format!("{text:?} is not a job id: a UUID is expected");
        Problem::new(ErrorCode::UnprocessableRequest, detail)
    })
}

fn not_found() -> Problem {
    Problem::new(ErrorCode::JobNotFound, "Job not found")
}

fn view(job: &Job) -> JobView {
    let (status, error) = match &job.state {
        JobState::Open => ("running", None),
        JobState::Done => ("done", None),
        JobState::Stopped => ("stopped", None),
        JobState::Failed(reason) => ("failed", Some(reason.clone())),
    };
    JobView {
        id: job.id.to_string(),
        act: job.act.as_str().to_owned(),
        status: status.to_owned(),
        // Written by this or an earlier version, which has fewer properties.
        filter: serde_json::from_str(&job.filter).unwrap_or_default(),
        changed: job.changed,
        skipped: job.skipped,
        created_at: rfc3339(job.created_at),
        ended_at: job.ended_at.map(rfc3339),
        error,
    }
}
