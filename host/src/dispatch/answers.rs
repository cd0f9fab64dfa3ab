//! Turns results of the driver's store operations into events of the core.

use fusebox_core::{
    capability::{HostAnswer, Refusal},
    dispatch::{Event, RequestId, Reserved},
    id::{Attempt, TaskId, WorkerId},
    name::TenantId,
    wire::AttemptId,
};

use super::driver::Driver;
use fusebox_store::{Finished, LeasedTask};

/// Result of a store operation, for the core.
pub(super) enum FromStore {
    Leased { request: RequestId, leased: Vec<LeasedTask> },
    LeaseFailed { request: RequestId },
    Saved(Vec<(Save, Finished)>),
    SaveFailed(Vec<Save>),
    LeasesLost(Vec<(TaskId, Attempt)>),
    AdoptedLost(Vec<(WorkerId, AttemptId)>),
    Announced,
    Called { worker: WorkerId, number: u64, answer: std::result::Result<HostAnswer, Refusal> },
    Drawn { tenant: TenantId, fuel: u64 },
    Backlog(Vec<(TenantId, u64)>),
}

/// Verdict that is being saved.
#[derive(Clone, Copy)]
pub(super) struct Save {
    pub(super) id: AttemptId,
    /// Worker that reported it, if the core does not know the attempt.
    pub(super) foreign: Option<WorkerId>,
}

impl Driver {
    pub(super) fn on_answer(&mut self, answer: FromStore) {
        match answer {
            FromStore::Backlog(tenants) => {
                for (tenant, ready) in tenants {
                    self.tell_quota(&tenant);
                    self.handle(Event::Backlog { tenant, ready });
                }
                // May count some tasks twice, if the read included them; the next lease corrects that.
                for (tenant, more) in std::mem::take(&mut self.backlog.more_ready) {
                    self.handle(Event::MoreReady { tenant, more });
                }
                self.backlog.reading = false;
                if std::mem::take(&mut self.backlog.is_old) {
                    self.ask_backlog();
                }
            }
            FromStore::Leased { request, leased } => {
                let fuel = || leased.iter().map(|leased| leased.task.limits.fuel);
                let reserved =
                    Reserved { fuel: fuel().fold(0, u64::saturating_add), most: fuel().max().unwrap_or_default() };
                let attempts = leased.into_iter().filter_map(|leased| self.attempts.hold(leased)).collect();
                self.handle(Event::Leased { request, attempts, reserved });
            }
            FromStore::LeaseFailed { request } => self.handle(Event::LeaseFailed { request }),
            FromStore::Saved(answers) => answers.into_iter().for_each(|(save, finished)| self.on_saved(save, finished)),
            FromStore::SaveFailed(saves) => {
                // The worker repeats a foreign report itself.
                for AttemptId { task, attempt } in
                    saves.iter().filter(|save| save.foreign.is_none()).map(|save| save.id)
                {
                    self.handle(Event::SaveFailed { task, attempt });
                }
            }
            FromStore::LeasesLost(lost) => {
                for (task, attempt) in lost {
                    self.handle(Event::LeaseLost { task, attempt });
                }
            }
            FromStore::AdoptedLost(lost) => lost.into_iter().for_each(|(worker, id)| self.on_adopted_lost(worker, id)),
            FromStore::Drawn { tenant, fuel } => self.handle(Event::Drawn { tenant, fuel }),
            FromStore::Announced => self.announcing = false,
            FromStore::Called { worker, number, answer } => self.on_called(worker, number, answer),
        }
    }
}
