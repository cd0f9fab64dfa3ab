//! Planted bugs: the behaviour of broken dispatchers, produced by changing the events and effects of the real one. Each
//! is named after the rule it breaks, and the checker must detect each.

use std::collections::{BTreeMap, BTreeSet};

use fusebox_core::{
    dispatch::{Dispatcher, Effect, Event, RequestId, Reserved, Room, SaveVerdict, UNTIL_SPENT},
    id::{Attempt, TaskId, WorkerId},
    name::TenantId,
    time::Millis,
};

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// Credit is returned as soon as it is spent.
    NeverSpendCredit,
    /// Credit is not limited by the worker's capacity.
    IgnoreTheCapacity,
    /// Nothing is leased for extra slots.
    IgnoreTheExtraSlot,
    /// An attempt for an extra slot belongs to the tenant served last.
    GiveTheExtraSlotToAnyone,
    /// A report counts for the current attempt, regardless of its worker and attempt number.
    IgnoreTheFence,
    /// A lost worker is sent nothing more but keeps its attempts.
    KeepADeadWorkersLeases,
    /// Attempts released by a worker's goodbye are treated as lost.
    SpendAGoodbye,
    /// A worker is never considered silent.
    IgnoreSilence,
    /// A released attempt is assigned again before the store has leased it.
    AssignBeforeSaved,
    /// Attempts released by a drain are forgotten.
    LoseOnDrain,
    /// A worker is notified before its report is saved.
    TellBeforeSaved,
    /// A drain has no effect.
    IgnoreTheDrain,
    /// No wake-up is requested.
    NeverWake,
    /// A verdict that could not be saved is not saved again.
    ForgetFailedSaves,
    /// An attempt is sent to its worker twice.
    AssignTwice,
    /// Runs of cancelled tasks and lost leases continue.
    NeverStop,
    /// A backlog or hint that arrives during a lease step is ignored.
    ForgetTheBacklog,
    /// A pull request that cannot be served is not answered.
    NeverAnswer,
    /// The number of concurrent attempts is not limited by quotas.
    IgnoreTheQuota,
    /// Runs reserve no fuel.
    ReserveNothing,
    /// Fuel is never drawn.
    NeverDraw,
    /// A repeated lease step carries new tokens.
    ForgetTheTokens,
    /// Leases and tasks end by the machine's wall clock.
    StoreGoesByTheWall,
    /// Renewals and silence are measured by the machine's wall clock.
    DispatcherGoesByTheWall,
}

/// The dispatcher with at most one planted bug.
pub(crate) struct Planted {
    core: Dispatcher,
    plant: Option<Plant>,
    draining: bool,
    /// Last assignment of each task.
    assigned: BTreeMap<TaskId, (WorkerId, Attempt)>,
    /// Attempts that the store will lease next if nothing else happens.
    expected: Vec<(TaskId, Attempt)>,
    requests: BTreeSet<RequestId>,
    /// Tenant served last at each worker.
    served: BTreeMap<WorkerId, TenantId>,
    /// Lost workers of which the dispatcher is not notified.
    gone: BTreeSet<WorkerId>,
}

impl Planted {
    pub(crate) fn new(seed: u64, plant: Option<Plant>) -> Self {
        let core = Dispatcher::new(seed);
        let (assigned, expected, gone) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        let (requests, served) = (BTreeSet::new(), BTreeMap::new());
        Self { core, plant, draining: false, assigned, expected, requests, served, gone }
    }

    pub(crate) fn leases_are_live(&self, is_live: impl Fn(WorkerId) -> bool) -> bool {
        self.core.leases_are_live(is_live)
    }

    pub(crate) fn handle(&mut self, event: Event, now: Millis, effects: &mut Vec<Effect>) {
        self.draining |= event == Event::Drain;
        if let Event::Leased { request, .. } | Event::LeaseFailed { request } = &event {
            self.requests.remove(request);
        }
        let Some(event) = self.change_event(event) else { return };
        let mut pure = Vec::new();
        if self.plant == Some(Plant::IgnoreSilence) && event == Event::Tick {
            for worker in self.assigned.values().map(|(worker, _)| *worker) {
                self.core.handle(Event::Heartbeat { worker }, now, &mut pure);
            }
        }
        self.core.handle(event, now, &mut pure);
        for effect in pure {
            self.change_effect(effect, now, effects);
        }
    }

    fn change_event(&mut self, event: Event) -> Option<Event> {
        match (self.plant, event) {
            (Some(Plant::IgnoreTheFence), Event::Finished { worker, task, attempt, report, cost }) => {
                let (worker, attempt) = self.assigned.get(&task).copied().unwrap_or((worker, attempt));
                Some(Event::Finished { worker, task, attempt, report, cost })
            }
            (Some(Plant::IgnoreTheCapacity), Event::WorkerJoined { worker, room }) => {
                Some(Event::WorkerJoined { worker, room: Room { capacity: u32::MAX, ..room } })
            }
            (Some(Plant::IgnoreTheExtraSlot), Event::WorkerJoined { worker, room }) => {
                Some(Event::WorkerJoined { worker, room: Room { has_extra: false, ..room } })
            }
            (Some(Plant::SpendAGoodbye), Event::WorkerLeft { worker }) => Some(Event::WorkerLost { worker }),
            (Some(Plant::KeepADeadWorkersLeases), Event::WorkerLost { worker } | Event::WorkerLeft { worker }) => {
                self.gone.insert(worker);
                Some(Event::WorkerDrains { worker })
            }
            (Some(Plant::ForgetTheBacklog), Event::Backlog { .. } | Event::MoreReady { .. })
                if !self.requests.is_empty() =>
            {
                None
            }
            (Some(Plant::IgnoreTheDrain), Event::Drain) | (Some(Plant::IgnoreTheQuota), Event::Quota { .. }) => None,
            (Some(Plant::ReserveNothing), Event::Leased { request, attempts, .. }) => {
                Some(Event::Leased { request, attempts, reserved: Reserved::default() })
            }
            (Some(Plant::ForgetFailedSaves), Event::SaveFailed { .. }) => None,
            (Some(Plant::NeverStop), Event::CancelRequested { .. } | Event::LeaseLost { .. }) => None,
            (_, event) => Some(event),
        }
    }

    fn change_effect(&mut self, effect: Effect, now: Millis, effects: &mut Vec<Effect>) {
        if let Effect::Assign { worker, task, attempt, .. } = effect {
            self.assigned.insert(task, (worker, attempt));
        }
        let mut effect = effect;
        if let Effect::Lease { request, tenant, worker, extra, .. } = &mut effect {
            self.requests.insert(*request);
            match self.plant {
                Some(Plant::GiveTheExtraSlotToAnyone) if *extra => {
                    if let Some(last) = self.served.get(worker) {
                        *tenant = last.clone();
                    }
                }
                _ => drop(self.served.insert(*worker, tenant.clone())),
            }
        }
        let mut follow_up = None;
        match (self.plant, &effect) {
            (Some(Plant::NeverSpendCredit), &Effect::Assign { worker, .. }) => {
                follow_up = Some(Event::CreditGranted { worker, slots: 1, expires_at: UNTIL_SPENT });
            }
            (Some(Plant::AssignBeforeSaved), &Effect::Save { task, attempt, verdict, .. })
                if verdict != SaveVerdict::End =>
            {
                self.expected.push((task, attempt + 1));
            }
            (Some(Plant::AssignBeforeSaved), Effect::Lease { request, .. }) if !self.expected.is_empty() => {
                let attempts = std::mem::take(&mut self.expected);
                let reserved = Reserved::default();
                follow_up = Some(Event::Leased { request: *request, attempts, reserved });
            }
            (Some(Plant::LoseOnDrain), &Effect::Save { task, attempt, verdict: SaveVerdict::Release, .. })
                if self.draining =>
            {
                let lost = Event::Saved { task, attempt };
                let mut after = Vec::new();
                self.core.handle(lost, now, &mut after);
                effects.extend(after.into_iter().filter(|effect| !matches!(effect, Effect::Acknowledge { .. })));
                return;
            }
            (Some(Plant::TellBeforeSaved), &Effect::Save { worker, task, attempt, .. }) => {
                effects.push(Effect::Acknowledge { worker, task, attempt });
            }
            (Some(Plant::AssignTwice), Effect::Assign { .. }) => effects.push(effect.clone()),
            (Some(Plant::NeverWake), Effect::WakeAt { .. })
            | (Some(Plant::NeverAnswer), Effect::NothingYet { .. })
            | (Some(Plant::NeverDraw), Effect::Draw { .. }) => return,
            (_, Effect::NothingYet { worker, .. }) if self.gone.contains(worker) => return,
            _ => {}
        }
        effects.push(effect);
        if let Some(event) = follow_up {
            self.core.handle(event, now, effects);
        }
    }
}
