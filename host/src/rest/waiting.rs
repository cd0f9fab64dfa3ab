//! Reasons for which tasks wait, from what the store knows of workers, queues and tanks. What is known is kept for a moment,
//! so that clients that poll cost no more reads.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use fusebox_api::{rfc3339, tasks::WaitingFor};
use fusebox_core::{
    function::FunctionVersion,
    name::TenantId,
    quota::UNLIMITED,
    task::{Task, TaskState},
    time::Millis,
    waiting::{Facts, Waits},
};
use fusebox_store::{Backlog, Crew, Store};

use super::{App, error::Problem};
use crate::tenancy::QuotaBook;

/// Time for which what is known is used.
const FRESH: Duration = Duration::from_secs(1);
/// Largest number of tenants whose tanks are read for one exposition of the metrics; the tasks of others count as waiting for
/// their turn.
const TANKS_MAX: usize = 100;

/// Knowledge of what queued tasks wait for. At most one read of the store at a time is of use, and one of the last second is.
#[derive(Default)]
pub struct Outlook {
    known: Mutex<Option<(Instant, Arc<Known>)>>,
}

/// Workers, queues, and the tanks that were read since.
struct Known {
    crew: Crew,
    backlog: Vec<Backlog>,
    tanks: Mutex<HashMap<TenantId, u64>>,
}

impl Outlook {
    async fn known(&self, store: &dyn Store) -> fusebox_store::Result<Arc<Known>> {
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = lock().as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, known)| known.clone());
        if let Some(known) = fresh {
            return Ok(known);
        }
        let (crew, backlog) = (store.workers().await?, store.backlog().await?);
        let known = Arc::new(Known { crew, backlog, tanks: Mutex::default() });
        *lock() = Some((Instant::now(), known.clone()));
        Ok(known)
    }

    /// Returns the numbers of ready and delayed tasks by the code of the reason for which they wait, of all tenants.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn by_reason(
        &self,
        store: &dyn Store,
        quotas: &QuotaBook,
        now: Millis,
    ) -> fusebox_store::Result<Vec<(&'static str, u64)>> {
        let known = self.known(store).await?;
        let mut sums: HashMap<&'static str, u64> = Waits::CODES.map(|code| (code, 0)).into();
        let mut tanks = 0;
        for of in &known.backlog {
            *sums.entry(Waits::Delayed(None).code()).or_default() += of.delayed;
            if of.ready == 0 {
                continue;
            }
            let is_metered = quotas.of(&of.tenant).fuel_per_minute != UNLIMITED;
            tanks += usize::from(is_metered);
            let facts = known.facts(store, quotas, &of.tenant, is_metered && tanks <= TANKS_MAX).await?;
            // A tank without a unit lacks the fuel of any task.
            *sums.entry(Waits::of_ready(&facts, 1, now).code()).or_default() += of.ready;
        }
        Ok(Waits::CODES.map(|code| (code, sums.get(code).copied().unwrap_or_default())).to_vec())
    }
}

impl Known {
    async fn facts(
        &self,
        store: &dyn Store,
        quotas: &QuotaBook,
        tenant: &TenantId,
        reads_tank: bool,
    ) -> fusebox_store::Result<Facts> {
        let own = quotas.of(tenant);
        let none = Backlog { tenant: tenant.clone(), ready: 0, delayed: 0, running: 0 };
        let of = self.backlog.iter().find(|of| of.tenant == *tenant).unwrap_or(&none);
        let (mut slots, mut held) = (0, 0);
        for worker in self.crew.workers.iter().filter(|worker| !worker.draining) {
            slots += u64::from(worker.slots);
            held += u64::from(worker.running);
        }
        let fuel_left = match reads_tank {
            true => self.fuel_left(store, tenant, own.fuel_per_minute).await?,
            false => UNLIMITED,
        };
        Ok(Facts {
            ready: of.ready,
            delayed: of.delayed,
            running: of.running,
            running_max: own.running_tasks,
            fuel_per_minute: own.fuel_per_minute,
            fuel_left,
            dispatchers: self.crew.dispatchers,
            slots,
            held,
            tenants_ready: self.backlog.iter().filter(|of| of.ready > 0).count() as u64,
        })
    }

    async fn fuel_left(&self, store: &dyn Store, tenant: &TenantId, per_minute: u64) -> fusebox_store::Result<u64> {
        let lock = || self.tanks.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(tenant).copied();
        if let Some(left) = known {
            return Ok(left);
        }
        let left = store.fuel_left(tenant, per_minute).await?;
        lock().insert(tenant.clone(), left);
        Ok(left)
    }
}

/// Returns the facts about a tenant's queue, and the time; `None` if a part of the store does not answer, since a record that
/// can be read is shown all the same.
async fn facts(app: &App, tenant: &TenantId) -> Option<(Facts, Millis)> {
    let read = async {
        let known = app.outlook.known(&*app.store).await?;
        let is_metered = app.meter.quotas().of(tenant).fuel_per_minute != UNLIMITED;
        let facts = known.facts(&*app.store, app.meter.quotas(), tenant, is_metered).await?;
        fusebox_store::Result::Ok((facts, app.store.now().await?))
    };
    read.await.inspect_err(|error| tracing::debug!(%error, "no reason for which tasks wait is known")).ok()
}

/// Returns the reason for which each of some tasks of a tenant waits; `None` for those that are not queued.
pub(super) async fn of_tasks(app: &App, tenant: &TenantId, tasks: &[Task]) -> Vec<Option<WaitingFor>> {
    let is_queued = |task: &Task| matches!(task.state, TaskState::Queued { .. });
    if !tasks.iter().any(is_queued) {
        return vec![None; tasks.len()];
    }
    let Some((facts, now)) = facts(app, tenant).await else { return vec![None; tasks.len()] };
    let of = |task: &Task| match task.state {
        TaskState::Queued { not_before } if not_before > now => Some(view(Waits::Delayed(Some(not_before)), &facts)),
        TaskState::Queued { .. } => Some(view(Waits::of_ready(&facts, task.limits.fuel, now), &facts)),
        TaskState::Running(_) | TaskState::Completed(_) | TaskState::Failed(..) => None,
    };
    tasks.iter().map(of).collect()
}

/// Returns the reason for which the tasks of a version wait, if it has any that have not ended.
pub(super) async fn of_function(app: &App, version: &FunctionVersion) -> Result<Option<WaitingFor>, Problem> {
    match app.store.unfinished(&version.tenant, version.id).await? {
        0 => Ok(None),
        _ => Ok(of_queue(app, &version.tenant, version.limits.fuel).await),
    }
}

/// Returns the reason for which a tenant's tasks wait that may use `fuel` units each.
pub(super) async fn of_queue(app: &App, tenant: &TenantId, fuel: u64) -> Option<WaitingFor> {
    let (facts, now) = facts(app, tenant).await?;
    Waits::of_tenant(&facts, fuel, now).map(|waits| view(waits, &facts))
}

fn view(waits: Waits, facts: &Facts) -> WaitingFor {
    WaitingFor { code: waits.code().to_owned(), message: waits.sentence(facts), until: waits.until().map(rfc3339) }
}
