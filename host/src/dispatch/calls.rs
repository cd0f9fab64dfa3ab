//! Host calls of runs in other processes. A call is served only for an attempt whose lease the worker holds, and only
//! within the grants of the attempt's function. A worker may have no more open calls than slots.

use fusebox_core::{
    capability::{HostAnswer, HostCall, Refusal},
    function::Grants,
    id::WorkerId,
    name::TenantId,
    task::TaskState,
    wire::{AttemptId, FromDispatcher, HeldAttempt},
};

use super::driver::{Driver, FromStore};
use fusebox_store::{FunctionRef, Result, Store, kv::Namespace};

/// Namespace and grants of a run in another process.
#[derive(Clone)]
pub(super) struct RemoteGuest {
    pub(super) of: Namespace,
    pub(super) grants: Grants,
}

impl Driver {
    pub(super) fn on_call(
        &mut self,
        worker: WorkerId,
        number: u64,
        tenant: TenantId,
        held: HeldAttempt,
        call: HostCall,
    ) {
        let AttemptId { task, attempt } = held.id;
        let Some(remote) = self.remotes.get_mut(worker) else { return };
        if !remote.begin_call() {
            tracing::warn!(%worker, "host call refused: the worker has as many open as slots");
            return self.answer_call(worker, number, Err(Refusal::Unavailable));
        }
        let is_adopted = remote.holds_adopted(&held);
        let guest = match self.attempts.get(task, attempt) {
            Some(own) if own.worker == worker && own.token == held.token && !own.reported => own.guest.clone(),
            None if is_adopted => None,
            _ => {
                self.options.metrics.report_refused();
                tracing::warn!(%worker, %task, attempt, "host call refused: not the lease's holder");
                return self.on_called(worker, number, Err(Refusal::Refused));
            }
        };
        let (store, host_calls) = (self.options.store.clone(), self.options.host_calls.clone());
        self.io.spawn(async move {
            let guest = match guest {
                Some(guest) => Ok(Some(guest)),
                None => adopted(&*store, worker, &tenant, held).await,
            };
            let answer = match guest {
                Ok(Some(RemoteGuest { of, grants })) if grants.allow(&call) => host_calls.answer(&of, call).await,
                Ok(_) => Err(Refusal::Refused),
                Err(error) => {
                    tracing::warn!(%error, "cannot look up the lease of a host call");
                    Err(Refusal::Unavailable)
                }
            };
            FromStore::Called { worker, number, answer }
        });
    }

    /// Completes a call.
    pub(super) fn on_called(
        &mut self,
        worker: WorkerId,
        number: u64,
        answer: std::result::Result<HostAnswer, Refusal>,
    ) {
        if let Some(remote) = self.remotes.get_mut(worker) {
            remote.end_call();
        }
        self.answer_call(worker, number, answer);
    }

    fn answer_call(&self, worker: WorkerId, number: u64, answer: std::result::Result<HostAnswer, Refusal>) {
        self.remotes.send(worker, &FromDispatcher::Answer { number, answer });
    }
}

/// Returns the namespace and grants of an adopted attempt, if the store confirms its lease.
async fn adopted(
    store: &dyn Store,
    worker: WorkerId,
    tenant: &TenantId,
    held: HeldAttempt,
) -> Result<Option<RemoteGuest>> {
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
    Ok(version.map(|version| RemoteGuest {
        of: Namespace { tenant: version.tenant, function: version.name },
        grants: version.grants,
    }))
}
