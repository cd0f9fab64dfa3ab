//! What runs in other processes ask for. A worker is answered only for an attempt whose lease it holds and only what that
//! attempt's function was granted; no worker has more calls open than slots.

use fusebox_core::{
    capability::{Answer, Call, Refusal},
    function::Grants,
    id::WorkerId,
    name::TenantId,
    task::TaskState,
    wire::{AttemptId, FromDispatcher, HeldAttempt},
};

use super::driver::{Driver, FromStore};
use crate::store::{FunctionRef, Result, Store, kv::Namespace};

/// Whose run an attempt is, and what it may ask for.
#[derive(Clone)]
pub(super) struct Guest {
    pub(super) of: Namespace,
    pub(super) grants: Grants,
}

impl Driver {
    pub(super) fn on_call(&mut self, worker: WorkerId, number: u64, tenant: TenantId, held: HeldAttempt, call: Call) {
        let AttemptId { task, attempt } = held.id;
        let Some(remote) = self.remotes.get_mut(worker) else { return };
        if !remote.begin_call() {
            tracing::warn!(%worker, "a worker asks for more at a time than it has slots");
            return self.answer_call(worker, number, Err(Refusal::Unavailable));
        }
        let is_adopted = remote.holds_adopted(&held);
        let guest = match self.attempts.get(task, attempt) {
            Some(own) if own.worker == worker && own.token == held.token && !own.reported => Some(own.guest.clone()),
            None if is_adopted => None,
            _ => {
                self.metrics.report_refused();
                tracing::warn!(%worker, %task, attempt, "a call without the attempt's lease is refused");
                return self.on_called(worker, number, Err(Refusal::Refused));
            }
        };
        let (store, outside) = (self.store.clone(), self.outside.clone());
        self.io.spawn(async move {
            let guest = match guest {
                Some(guest) => Ok(Some(guest)),
                None => adopted(&*store, worker, &tenant, held).await,
            };
            let answer = match guest {
                Ok(Some(Guest { of, grants })) if grants.allow(&call) => outside.answer(&of, call).await,
                Ok(_) => Err(Refusal::Refused),
                Err(error) => {
                    tracing::warn!(%error, "the store does not say whose run asks");
                    Err(Refusal::Unavailable)
                }
            };
            FromStore::Called { worker, number, answer }
        });
    }

    /// A call is over.
    pub(super) fn on_called(&mut self, worker: WorkerId, number: u64, answer: std::result::Result<Answer, Refusal>) {
        if let Some(remote) = self.remotes.get_mut(worker) {
            remote.end_call();
        }
        self.answer_call(worker, number, answer);
    }

    fn answer_call(&self, worker: WorkerId, number: u64, answer: std::result::Result<Answer, Refusal>) {
        self.remotes.send(worker, &FromDispatcher::Answer { number, answer });
    }
}

/// Whose run an attempt of another dispatcher's time is, by what the store says of its lease.
async fn adopted(store: &dyn Store, worker: WorkerId, tenant: &TenantId, held: HeldAttempt) -> Result<Option<Guest>> {
    let Some(task) = store.task(tenant, held.id.task).await? else { return Ok(None) };
    let is_held = match task.state {
        TaskState::Running(lease) => {
            task.attempt == held.id.attempt && lease.worker == worker && lease.token == held.token
        }
        _ => false,
    };
    if !is_held {
        return Ok(None);
    }
    let version = store.function(tenant, &FunctionRef::Id(task.function)).await?;
    Ok(version.map(|version| Guest {
        of: Namespace { tenant: version.tenant, function: version.name },
        grants: version.grants,
    }))
}
