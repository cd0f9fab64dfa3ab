//! Deletion of ended tasks with all that belongs to them.

use fusebox_core::{id::TaskId, name::TenantId, task::Task};

use super::{Place, Steps};
use crate::{
    Purged, Result,
    embedded::{engine::Space, keys},
};

impl Steps<'_> {
    /// Deletes ended tasks; returns the answers in their order.
    pub(in crate::embedded) fn purge(&mut self, tasks: &[(TenantId, TaskId)]) -> Result<Vec<Purged>> {
        tasks.iter().map(|(tenant, task)| self.purge_one(tenant, *task)).collect()
    }

    fn purge_one(&mut self, tenant: &TenantId, id: TaskId) -> Result<Purged> {
        let Some(task) = self.task(id)?.filter(|task| task.tenant == *tenant) else { return Ok(Purged::NotFound) };
        if !task.status().is_ended() {
            return Ok(Purged::NotEnded(task.status()));
        }
        self.leave(&task, Place::Ready)?;
        self.remove_ended(&task)?;
        Ok(Purged::Purged)
    }

    /// Deletes an ended task that is in no timed index any more.
    pub(super) fn remove_ended(&mut self, task: &Task) -> Result<()> {
        self.group.remove(Space::Index, keys::listed(task));
        if let Some(ended) = task.ended().filter(|_| task.is_dead_letter()) {
            self.group.remove(Space::Index, keys::dead_letter(task, ended.at));
            self.group.remove(Space::Blobs, keys::input(task.id));
        }
        self.group.remove(Space::Records, keys::task(task.id));
        self.group.remove(Space::Blobs, keys::output(task.id));
        self.group.remove(Space::Blobs, keys::log(task.id));
        self.recount(&task.tenant, task.stored_bytes(), 0)
    }
}
