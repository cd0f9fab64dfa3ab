//! Properties that must always hold. The checker sees every event and effect of every dispatcher and every change in
//! the store, keeps its own records of them, and trusts nothing that the dispatcher reports.
//!
//! A new rule of the dispatcher becomes a [`Property`] here and a planted bug in `plants.rs` that breaks it.

mod allowance;
mod ledger;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use fusebox_core::{
    dispatch::{Effect, Event},
    id::{Attempt, TaskId, WorkerId},
    limits::LEASE_MS,
    task::{Status, Task, TaskState},
    time::Millis,
};

use self::watch::Watch;
use crate::{
    plants::Planted,
    store::{Change, Store},
};

/// Maximum delay of a driver's reaction to a wake-up.
pub(crate) const LATE_MS_MAX: u64 = 400;

/// A property that can be violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Property {
    /// An accepted task ends exactly once, and nothing changes it afterwards.
    EndsOnce,
    /// Every task ends soon after the last fault, within a bounded number of events.
    NothingLost,
    /// The recorded result of an attempt is the one reported by its own worker.
    Fence,
    /// An attempt is assigned only after its lease is saved, and only to the worker it is leased to.
    SavedFirst,
    /// No worker is leased or assigned more than its credit.
    Credit,
    /// An attempt for a worker's extra slot belongs to a tenant that has nothing there, and there is at most one.
    Extra,
    /// A worker is notified only after its verdict is saved, or once the attempt is no longer the current one.
    ToldLast,
    /// No lease remains with a worker that is lost or was silent for too long.
    DeadWorker,
    /// Nothing is leased or assigned after a drain.
    Drain,
    /// A drain completes exactly once, when nothing is held and no answer is pending.
    Drained,
    /// Attempt numbers of a task increase, and each is assigned once.
    Grows,
    /// Exactly the held leases are renewed, and in time.
    Renewed,
    /// A run is stopped if and only if its lease is lost.
    Stopped,
    /// Credit that expired unused is answered.
    Answered,
    /// Tasks are leased if they are ready, their tenant's quota allows them, and credit is free, or an extra slot of a
    /// worker at which the tenant has nothing.
    Served,
    /// No tenant exceeds its quota of concurrent attempts or fuel.
    Quota,
    /// The answer to a lease step contains all of its attempts, however often it was repeated.
    HandedOver,
    /// No lease lapses and no task expires before its time has passed, regardless of clock adjustments.
    NothingEarly,
}

/// A violation of a property.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) property: Property,
    pub(crate) at: Millis,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}: {}", self.property, self.at, self.what)
    }
}

/// Result of a check. The checker, which knows the time, turns it into a [`Violation`].
type Check = Result<(), (Property, String)>;

fn hold(holds: bool, property: Property, what: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err((property, what())) }
}

#[derive(Default)]
pub(crate) struct Checker {
    /// Records of the running dispatchers.
    watches: BTreeMap<usize, Watch>,
    ended: BTreeSet<TaskId>,
    /// Time at which each running task was leased or its lease last renewed.
    renewed: BTreeMap<TaskId, Millis>,
    /// First violation; later ones are consequences.
    violation: Option<Violation>,
}

impl Checker {
    pub(crate) fn started(&mut self, host: usize) {
        self.watches.insert(host, Watch::default());
    }

    pub(crate) fn over(&mut self, host: usize) {
        self.watches.remove(&host);
    }

    /// Processes an event handled by a dispatcher, with its effects, none of them performed yet.
    pub(crate) fn handled(
        &mut self,
        host: usize,
        (event, effects): (&Event, &[Effect]),
        core: &Planted,
        store: &Store,
        now: Millis,
    ) {
        let Some(watch) = self.watches.get_mut(&host) else { return };
        watch.event(event, now);
        let mut check = effects.iter().try_for_each(|effect| watch.effect(effect, store, now));
        check = check.and_then(|()| watch.settled(event, now));
        check = check.and_then(|()| {
            let live = core.leases_are_live(|worker| watch.is_live(worker, now));
            hold(live, Property::DeadWorker, || "a lease stays with a dead worker".into())
        });
        self.note(check, now);
    }

    /// Processes a change of a task in the store.
    pub(crate) fn changed(&mut self, Change { before, after }: &Change, now: Millis) {
        if let TaskState::Running(_) = after.state {
            self.renewed.insert(after.id, now);
        }
        let check = self.check_change(before, after);
        self.note(check, now);
    }

    /// Processes the answer to a lease step; `before` holds the attempts that its earlier tries have leased and still
    /// hold.
    pub(crate) fn leased(&mut self, before: &[(TaskId, Attempt)], answer: &[(TaskId, Attempt)], now: Millis) {
        let missing = before.iter().find(|leased| !answer.contains(leased));
        let what = || format!("{missing:?} was leased and is not handed over");
        self.note(hold(missing.is_none(), Property::HandedOver, what), now);
    }

    /// Processes a change of a task caused by the passage of time.
    pub(crate) fn ended_by_time(&mut self, Change { before, .. }: &Change, now: Millis) {
        let due = match before.state {
            TaskState::Running(_) => self.renewed.get(&before.id).map_or(Millis(0), |at| at.plus(LEASE_MS)),
            _ => before.expires_at,
        };
        let check = hold(now >= due, Property::NothingEarly, || format!("{}: its time is {}", before.id, due.0));
        self.note(check, now);
    }

    fn check_change(&mut self, before: &Task, after: &Task) -> Check {
        let task = after.id;
        hold(!before.status().is_ended(), Property::EndsOnce, || format!("{task} changed after its end"))?;
        let started = before.status() == Status::Queued && after.status() == Status::Running;
        let grew = after.attempt == before.attempt + u32::from(started) && after.attempt <= after.attempts_max;
        hold(grew, Property::Grows, || format!("{task}: attempt {} follows {}", after.attempt, before.attempt))?;
        if after.status().is_ended() {
            hold(self.ended.insert(task), Property::EndsOnce, || format!("{task} ended twice"))?;
        }
        let (TaskState::Running(lease), TaskState::Completed(ended)) = (&before.state, &after.state) else {
            return Ok(());
        };
        let reported = (ended.receipt.attempt, ended.receipt.worker);
        hold(reported == (before.attempt, Some(lease.worker)), Property::Fence, || {
            format!("{task}: recorded for attempt {} what {reported:?} reported", before.attempt)
        })
    }

    /// Checks the end of a run, when no remaining step could end a task.
    pub(crate) fn finished(&mut self, store: &Store, now: Millis) {
        let left: Vec<String> = store.unended().map(|task| format!("{} {:?}", task.id, task.state)).collect();
        let check = hold(left.is_empty(), Property::NothingLost, || format!("left: {}", left.join("; ")));
        let check = check.and_then(|()| {
            let (ended, accepted) = (self.ended.len(), store.count());
            hold(ended == accepted, Property::EndsOnce, || format!("{accepted} accepted, {ended} ended"))
        });
        let check = check
            .and_then(|()| hold(self.is_idle(), Property::NothingLost, || "a dispatcher holds ended attempts".into()));
        self.note(check, now);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.watches.values().all(Watch::is_idle)
    }

    /// Returns whether a dispatcher must have given up this worker.
    pub(crate) fn has_lost(&self, host: usize, worker: WorkerId) -> bool {
        self.watches.get(&host).is_some_and(|watch| watch.has_lost(worker))
    }

    /// Returns whether a report by this worker on this attempt would be genuine.
    pub(crate) fn is_assigned(&self, host: usize, worker: WorkerId, task: TaskId, attempt: Attempt) -> bool {
        self.watches.get(&host).is_some_and(|watch| watch.is_assigned(worker, task, attempt))
    }

    pub(crate) fn take_violation(&mut self) -> Option<Violation> {
        self.violation.take()
    }

    fn note(&mut self, check: Check, now: Millis) {
        if let (Err((property, what)), None) = (check, &self.violation) {
            self.violation = Some(Violation { property, at: now, what });
        }
    }
}
