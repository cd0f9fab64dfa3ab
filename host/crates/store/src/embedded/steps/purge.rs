//! Deletion of ended tasks with all that belongs to them.

use fusebox_core::{id::TaskId, name::TenantId};

use super::{Found, Steps, tags_of};
use crate::{
    Purged, Result,
    embedded::{
        engine::Space,
        keys::{self, Origin, Place},
        records::Piece,
    },
};

impl Steps<'_> {
    /// Deletes ended tasks; returns the answers in their order.
    pub(in crate::embedded) fn purge(&mut self, tasks: &[(TenantId, TaskId)]) -> Result<Vec<Purged>> {
        tasks.iter().map(|(tenant, task)| self.purge_one(tenant, *task)).collect()
    }

    fn purge_one(&mut self, tenant: &TenantId, id: TaskId) -> Result<Purged> {
        let found = self.find(id)?.filter(|found| found.task.tenant == *tenant);
        let Some(found) = found else { return Ok(Purged::NotFound) };
        if !found.task.status().is_ended() {
            return Ok(Purged::NotEnded(found.task.status()));
        }
        self.remove_ended(&found)?;
        Ok(Purged::Purged)
    }

    /// Deletes an ended task. Its id stays where it waits for this, and is skipped there.
    pub(super) fn remove_ended(&mut self, Found { task, carried, .. }: &Found) -> Result<()> {
        if let Some(ended) = task.ended().filter(|_| task.is_dead_letter()) {
            self.group.remove(Space::Index, keys::dead_letter(task, ended.at));
        }
        for key in tags_of(task) {
            self.group.remove(Space::Index, key);
        }
        let pieces = [
            (keys::input(task.id), &carried.input),
            (keys::output(task.id), &carried.output),
            (keys::log(task.id), &carried.log),
        ];
        for (key, piece) in pieces {
            if let Piece::Outside(_) = piece {
                self.group.remove(Space::Blobs, key);
            }
        }
        self.group.remove(Space::Records, Origin::of(task).record(Place::Ended, task.id));
        self.group.remove(Space::Records, keys::origin(task.id));
        self.recount(&task.tenant, task.stored_bytes(), 0)
    }
}
