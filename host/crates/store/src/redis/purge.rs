//! Deletion of ended tasks.

use fusebox_core::{id::TaskId, name::TenantId, task::Status};
use redis::Value;

use super::{answers, batches, caller::Caller};
use crate::{Purged, Result};

/// Deletes ended tasks; returns the answers in their order.
pub(super) async fn purge(caller: &Caller, tasks: &[(TenantId, TaskId)]) -> Result<Vec<Purged>> {
    let call = |batch: &batches::Batch| {
        let call = caller.call(batch.place, "purge");
        batch.items.iter().fold(call, |call, item| {
            let (tenant, task) = &tasks[*item];
            call.arg(tenant.as_str()).arg(task.to_string())
        })
    };
    batches::perform_all(caller, tasks.iter().map(|(_, task)| (*task, 0)), call, purged).await
}

fn purged(answer: Value) -> Result<Purged> {
    let word = answers::text(answer)?;
    let unfinished = [Status::Queued, Status::Running].into_iter().find(|status| status.as_str() == word);
    match (word.as_str(), unfinished) {
        (_, Some(status)) => Ok(Purged::NotEnded(status)),
        ("PURGED", _) => Ok(Purged::Purged),
        ("NONE", _) => Ok(Purged::NotFound),
        _ => Err(answers::unexpected("purge")),
    }
}
