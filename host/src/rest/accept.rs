//! From what a request asks for to durable tasks: one way in for every route.

use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    function::{FunctionVersion, RunLimits},
    id::TaskId,
    limits::{DELAY_MS_MAX, TASK_AGE_MS_MAX},
    name::TenantId,
    task::Priority,
    time::Millis,
};

use super::{App, error::Problem, functions, idempotency::Identity, quota::refused};
use crate::{
    random,
    store::{Accepted, Expects, FunctionRef, NewTask},
};

/// When to try again where too many tasks wait: they move on all the time.
const FULL_MS: u64 = 1_000;

/// A task to be.
pub(super) struct Wish<'a> {
    /// The version to run; the caller has looked it up.
    pub function: &'a FunctionVersion,
    /// What its run may use.
    pub limits: RunLimits,
    /// Order within the tenant.
    pub priority: Priority,
    /// Not to start before so many milliseconds have passed; [`check_delay`] has seen it.
    pub delay_ms: u64,
    /// The task that this is another try of.
    pub retry_of: Option<TaskId>,
    /// The input.
    pub input: Bytes,
}

/// A task that is durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// Its id.
    pub id: TaskId,
    /// When it was accepted; `None` where an earlier request made it.
    pub new_at: Option<Millis>,
}

/// Refuses a delay beyond the bound.
pub(super) fn check_delay(delay_ms: Option<u64>) -> Result<u64, Problem> {
    let delay_ms = delay_ms.unwrap_or_default();
    if delay_ms > DELAY_MS_MAX {
        let detail = format!("a task can be delayed by at most {DELAY_MS_MAX} ms, which is 7 days");
        return Err(Problem::new(ErrorCode::InvalidRequest, detail).with("max", DELAY_MS_MAX));
    }
    Ok(delay_ms)
}

impl Wish<'_> {
    /// The task, with an id of its own or the one that its idempotency key makes.
    pub(super) fn task(self, app: &App, tenant: &TenantId, identity: Option<Identity>) -> NewTask {
        let id = identity.map_or_else(|| random::task_id(app.clock.now()), |identity| identity.id);
        NewTask { fingerprint: identity.map(|identity| identity.fingerprint), ..self.task_of_id(app, tenant, id) }
    }

    /// The task of this id.
    pub(super) fn task_of_id(self, app: &App, tenant: &TenantId, id: TaskId) -> NewTask {
        NewTask {
            id,
            tenant: tenant.clone(),
            function: self.function.id,
            expects: Expects::Nothing,
            function_name: self.function.name.clone(),
            module: self.function.module,
            limits: self.limits,
            priority: self.priority,
            attempts_max: app.settings.attempts_max,
            delay_ms: self.delay_ms,
            expires_in_ms: self.delay_ms.saturating_add(TASK_AGE_MS_MAX),
            fingerprint: None,
            retry_of: self.retry_of,
            queued_max: app.meter.quotas().of(tenant).queued_tasks,
            input: self.input,
        }
    }
}

/// Accepts a task; it is durable when this answers.
pub(super) async fn one(app: &App, task: NewTask) -> Result<Kept, Problem> {
    let mut answers = many(app, vec![task]).await?;
    answers.pop().unwrap_or_else(|| Err(no_answer()))
}

/// Accepts a task of a function, which `make` makes of its version. The version is at first one that the store remembers
/// and checks as it accepts the task; where it has changed, it is looked up.
pub(super) async fn of(
    app: &App,
    tenant: &TenantId,
    function: &str,
    make: impl Fn(&FunctionVersion) -> Result<NewTask, Problem>,
) -> Result<(NewTask, Kept), Problem> {
    let reference = functions::reference(function)?;
    let expects = match reference {
        FunctionRef::Id(_) => Expects::There,
        FunctionRef::Name(_) => Expects::Newest,
    };
    // What cannot be made of a version that is remembered may be of the one that there is.
    if let Some(task) = app.store.remembered(tenant, &reference).and_then(|version| make(&version).ok()) {
        let task = NewTask { expects, ..task };
        match app.store.accept(vec![task.clone()]).await?.pop() {
            Some(Accepted::FunctionChanged) => {}
            Some(answer) => return kept(app, (task.id, task.queued_max), answer).map(|kept| (task, kept)),
            None => return Err(no_answer()),
        }
    }
    let task = make(&functions::find(app, tenant, function).await?)?;
    let kept = one(app, task.clone()).await?;
    Ok((task, kept))
}

/// Accepts tasks in one step, each on its own; answers in their order.
pub(super) async fn many(app: &App, tasks: Vec<NewTask>) -> Result<Vec<Result<Kept, Problem>>, Problem> {
    let ids: Vec<_> = tasks.iter().map(|task| (task.id, task.queued_max)).collect();
    let answers = app.store.accept(tasks).await?;
    if answers.len() != ids.len() {
        return Err(no_answer());
    }
    Ok(ids.into_iter().zip(answers).map(|(id, answer)| kept(app, id, answer)).collect())
}

/// Accepts other tries of dead letters in one step, each on its own and with the input that the store has; answers in
/// their order.
pub(super) async fn again(app: &App, tasks: Vec<NewTask>) -> Result<Vec<Result<Kept, Problem>>, Problem> {
    let ids: Vec<_> = tasks.iter().map(|task| (task.id, task.queued_max)).collect();
    let answers = app.store.replay(tasks).await?;
    if answers.len() != ids.len() {
        return Err(no_answer());
    }
    Ok(ids.into_iter().zip(answers).map(|(id, answer)| kept(app, id, answer)).collect())
}

fn kept(app: &App, (id, queued_max): (TaskId, u64), answer: Accepted) -> Result<Kept, Problem> {
    match answer {
        Accepted::New { at } => {
            app.metrics.task_accepted();
            Ok(Kept { id, new_at: Some(at) })
        }
        Accepted::Duplicate => Ok(Kept { id, new_at: None }),
        Accepted::Conflict => {
            let detail = "this idempotency key came with another request before: send that one, or take another key";
            Err(Problem::new(ErrorCode::IdempotencyConflict, detail))
        }
        Accepted::NoAnswer => {
            let detail = "the store did not answer for this item, which may wait or not: send it again, with the \
                          idempotency key that it had";
            Err(Problem::new(ErrorCode::StoreUnavailable, detail))
        }
        Accepted::InputGone => {
            Err(Problem::new(ErrorCode::InputGone, "the input is kept no longer: submit the task again"))
        }
        // Nobody has looked it up just before this.
        Accepted::FunctionChanged => Err(no_answer()),
        Accepted::QueueFull => {
            app.metrics.task_refused();
            let detail = "as many tasks wait as may wait: try again in a moment".to_owned();
            Err(refused(ErrorCode::QueueFull, detail, queued_max, FULL_MS))
        }
    }
}

fn no_answer() -> Problem {
    tracing::error!("the store has not answered for every task");
    Problem::new(ErrorCode::Internal, "the store gave no answer; the host's log has more")
}
