//! Turns task requests of the REST routes into durable tasks: submissions, batches, retries and replays of dead letters
//! all end here. Synchronous invocations that run as tasks do not: see [`crate::invoke::Invoker`].

use fusebox_core::{
    error::ErrorCode, function::FunctionVersion, id::TaskId, limits::DELAY_MS_MAX, name::TenantId, time::Millis,
};

use super::{
    App,
    error::Problem,
    functions,
    idempotency::TaskIdentity,
    quota::{bytes_reached, refused},
};
use crate::tenancy::Refusal;
use fusebox_store::{Accepted, Expects, FunctionRef, NewTask, TaskRequest};
use fusebox_system::random;

/// `Retry-After` of a full queue, in milliseconds. Short, since queued tasks start all the time.
const FULL_MS: u64 = 1_000;

/// Durable task.
#[derive(Clone, Copy, Debug)]
pub(super) struct AcceptedTask {
    /// Id of the task.
    pub id: TaskId,
    /// Time of acceptance; `None` if an earlier request created the task.
    pub new_at: Option<Millis>,
}

/// Returns the delay, 0 if there is none.
///
/// # Errors
/// `InvalidRequest` above the bound.
pub(super) fn check_delay(delay_ms: Option<u64>) -> Result<u64, Problem> {
    let delay_ms = delay_ms.unwrap_or_default();
    if delay_ms > DELAY_MS_MAX {
        let detail = format!("a task can be delayed by at most {DELAY_MS_MAX} ms (7 days)");
        return Err(Problem::new(ErrorCode::InvalidRequest, detail).with("max", DELAY_MS_MAX));
    }
    Ok(delay_ms)
}

/// Builds the task under the id that its idempotency key yields, or under a new one.
pub(super) fn task(app: &App, request: TaskRequest<'_>, identity: Option<TaskIdentity>) -> NewTask {
    let id = identity.map_or_else(|| random::task_id(app.clock.now()), |identity| identity.id);
    NewTask { fingerprint: identity.map(|identity| identity.fingerprint), ..task_of_id(app, request, id) }
}

/// Builds the task under this id, without a fingerprint.
pub(super) fn task_of_id(app: &App, request: TaskRequest<'_>, id: TaskId) -> NewTask {
    let quotas = app.meter.quotas().of(&request.function.tenant);
    request.into_task(id, app.settings.attempts_max, &quotas)
}

/// Accepts a task, which is durable once this returns.
pub(super) async fn one(app: &App, task: NewTask) -> Result<AcceptedTask, Problem> {
    let mut answers = many(app, vec![task]).await?;
    answers.pop().unwrap_or_else(|| Err(no_answer()))
}

/// Accepts a task of the function version that `function` names; `make` builds the task from the version. Tries a
/// cached, possibly stale version first and lets the store validate it as it accepts the task; only if it has changed
/// is the version looked up. Saves a read of the store for each submission.
pub(super) async fn of(
    app: &App,
    tenant: &TenantId,
    function: &str,
    make: impl Fn(&FunctionVersion) -> Result<NewTask, Problem>,
) -> Result<(NewTask, AcceptedTask), Problem> {
    let reference = functions::reference(function)?;
    let expects = match reference {
        FunctionRef::Id(_) => Expects::There,
        FunctionRef::Name(_) => Expects::Newest,
    };
    // `make` may fail for a stale version and still succeed for the current one.
    if let Some(task) = app.store.remembered(tenant, &reference).and_then(|version| make(&version).ok()) {
        let task = NewTask { expects, ..task };
        match app.store.accept(vec![task.clone()]).await?.pop() {
            Some(Accepted::FunctionChanged) => {}
            Some(answer) => return accepted(app, Sent::from(&task), answer).map(|accepted| (task, accepted)),
            None => return Err(no_answer()),
        }
    }
    let task = make(&functions::find_ready(app, tenant, function).await?)?;
    let accepted = one(app, task.clone()).await?;
    Ok((task, accepted))
}

/// Accepts tasks in one step of the store, each independently; results are in the order of `tasks`.
pub(super) async fn many(app: &App, tasks: Vec<NewTask>) -> Result<Vec<Result<AcceptedTask, Problem>>, Problem> {
    let sent: Vec<_> = tasks.iter().map(Sent::from).collect();
    let answers = app.store.accept(tasks).await?;
    if answers.len() != sent.len() {
        return Err(no_answer());
    }
    Ok(sent.into_iter().zip(answers).map(|(sent, answer)| accepted(app, sent, answer)).collect())
}

/// Accepts retries of dead letters in one step of the store, each independently; the store copies their inputs. Results
/// are in the order of `tasks`.
pub(super) async fn again(app: &App, tasks: Vec<NewTask>) -> Result<Vec<Result<AcceptedTask, Problem>>, Problem> {
    let sent: Vec<_> = tasks.iter().map(Sent::from).collect();
    let answers = app.store.replay(tasks).await?;
    if answers.len() != sent.len() {
        return Err(no_answer());
    }
    Ok(sent.into_iter().zip(answers).map(|(sent, answer)| accepted(app, sent, answer)).collect())
}

/// Id of a task that was sent to the store, and the limits that it was sent with.
struct Sent {
    id: TaskId,
    tenant: TenantId,
    queued_max: u64,
    stored_max: u64,
}

impl From<&NewTask> for Sent {
    fn from(task: &NewTask) -> Self {
        Self { id: task.id, tenant: task.tenant.clone(), queued_max: task.queued_max, stored_max: task.stored_max }
    }
}

fn accepted(app: &App, sent: Sent, answer: Accepted) -> Result<AcceptedTask, Problem> {
    let Sent { id, tenant, queued_max, stored_max } = sent;
    match answer {
        Accepted::New { at } => {
            app.metrics.task_accepted();
            Ok(AcceptedTask { id, new_at: Some(at) })
        }
        Accepted::Duplicate => Ok(AcceptedTask { id, new_at: None }),
        Accepted::Conflict => {
            let detail = "this idempotency key was used for another request: repeat that request, or use another key";
            Err(Problem::new(ErrorCode::IdempotencyConflict, detail))
        }
        Accepted::NoAnswer => {
            let detail = "the store did not answer for this item, which may be queued or not: send it again with its \
                          idempotency key";
            Err(Problem::new(ErrorCode::StoreUnavailable, detail))
        }
        // Its key was valid when the request arrived.
        Accepted::NoTenant => Err(Refusal::BadKey.into()),
        Accepted::InputGone => {
            Err(Problem::new(ErrorCode::InputGone, "the input is no longer kept: submit the task again"))
        }
        // Only [`of`] sets `expects`, and it handles this answer itself.
        Accepted::FunctionChanged => Err(no_answer()),
        Accepted::QueueFull => {
            app.metrics.task_refused();
            let detail = "the tenant's limit of queued tasks is reached: try again in a moment".to_owned();
            Err(refused(ErrorCode::QueueFull, detail, queued_max, FULL_MS))
        }
        Accepted::BytesReached => {
            app.metrics.task_refused();
            Err(bytes_reached(app.meter.quotas(), &tenant, stored_max))
        }
    }
}

fn no_answer() -> Problem {
    tracing::error!("the store has not answered for every task");
    Problem::new(ErrorCode::Internal, "the store gave no answer; the host's log has more")
}
