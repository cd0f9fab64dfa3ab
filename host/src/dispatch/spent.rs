//! Deletes the tasks of sync invokes that nobody waits for any more: in batches, so that no answer waits for it.

use std::{mem, sync::Arc};

use fusebox_core::{id::TaskId, keep::Keep, name::TenantId};
use fusebox_store::Store;
use tokio::sync::mpsc;

/// Retention of such a task if nothing deletes it, because its process or the store was gone. Longer than a waiter
/// takes to read an end whose hint was lost, or that of a store that does not answer for some seconds.
pub(super) const UNDELETED: Keep = Keep { results_s: 60, failed_s: 60 };

/// Largest number of tasks that wait for their deletion; beyond it, they are kept for the time of [`UNDELETED`].
const WAITING_MAX: usize = 4_096;
/// Largest number of tasks deleted in one step.
const BATCH_MAX: usize = 256;

/// Sender of tasks to the deletion. Cheap to clone; the deletion ends after the last one.
#[derive(Clone)]
pub(super) struct Spent(mpsc::Sender<(TenantId, TaskId)>);

impl Spent {
    /// Starts the deletion.
    pub(super) fn start(store: Arc<dyn Store>) -> Self {
        let (sender, mut waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
                if let Err(error) = store.purge(mem::take(&mut batch)).await {
                    tracing::debug!(%error, "tasks of answered invocations are kept for a minute");
                }
            }
        });
        Self(sender)
    }

    /// Deletes a task that has ended.
    pub(super) fn delete(&self, tenant: TenantId, task: TaskId) {
        // Without room it is kept for its time.
        let _ = self.0.try_send((tenant, task));
    }
}
