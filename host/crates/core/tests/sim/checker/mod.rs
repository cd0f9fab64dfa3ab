//! What must hold whatever happens. The checker sees every event and effect of every dispatcher and every change in the
//! store, keeps its own books of them, and believes nothing that the dispatcher says.
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

/// A driver handles a wake-up at most this late.
pub(crate) const LATE_MS_MAX: u64 = 400;

/// What a violation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Property {
    /// An accepted task ends exactly once, and nothing changes it after that.
    EndsOnce,
    /// Every task ends, soon after nothing goes wrong any more, and in a bounded number of events.
    NothingLost,
    /// What is recorded of an attempt is what its own worker reported of it.
    Fence,
    /// An attempt is assigned only after its lease is saved, and only to the worker it is leased to.
    SavedFirst,
    /// No worker is leased or assigned more than its credit.
    Credit,
    /// An attempt for a worker's extra slot is of a tenant that has nothing there, and there is one at most.
    Extra,
    /// A worker is told only after its verdict is saved, or once the attempt is no longer the current one.
    ToldLast,
    /// No lease stays with a worker that is gone or was silent for too long.
    DeadWorker,
    /// Nothing is leased or assigned after a drain.
    Drain,
    /// A drain is over once, when nothing is held and nothing is on its way.
    Drained,
    /// Attempts of a task grow, and each is assigned once.
    Grows,
    /// Leases held are renewed in good time, and only those.
    Renewed,
    /// A run is told to stop when its lease is lost, and only then.
    Stopped,
    /// Credit that expired unused is answered.
    Answered,
    /// Where tasks are ready, their tenant may have them and credit is free, or an extra slot where the tenant has nothing,
    /// tasks are leased.
    Served,
    /// No tenant has more under way than it may, by number or by fuel.
    Quota,
    /// A lease step's attempts are handed over with its answer, however often it was sent.
    HandedOver,
    /// No lease lapses and no task expires before its time has passed, whatever clocks say.
    NothingEarly,
}

/// A property that did not hold.
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

/// The answer to a check; turned into a [`Violation`] by the checker, which knows the time.
type Check = Result<(), (Property, String)>;

fn hold(holds: bool, property: Property, what: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err((property, what())) }
}

#[derive(Default)]
pub(crate) struct Checker {
    /// One a dispatcher that is up.
    watches: BTreeMap<usize, Watch>,
    ended: BTreeSet<TaskId>,
    /// When each running task was leased, or its lease renewed.
    renewed: BTreeMap<TaskId, Millis>,
    /// The first violation; what follows from it is of no interest.
    violation: Option<Violation>,
}

impl Checker {
    pub(crate) fn started(&mut self, host: usize) {
        self.watches.insert(host, Watch::default());
    }

    pub(crate) fn over(&mut self, host: usize) {
        self.watches.remove(&host);
    }

    /// A dispatcher has handled `event` with these effects, none of them performed yet.
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

    /// The store has changed a task.
    pub(crate) fn changed(&mut self, Change { before, after }: &Change, now: Millis) {
        if let TaskState::Running(_) = after.state {
            self.renewed.insert(after.id, now);
        }
        let check = self.check_change(before, after);
        self.note(check, now);
    }

    /// A lease step is answered: `before` is what its earlier tries have leased and still hold.
    pub(crate) fn leased(&mut self, before: &[(TaskId, Attempt)], answer: &[(TaskId, Attempt)], now: Millis) {
        let missing = before.iter().find(|leased| !answer.contains(leased));
        let what = || format!("{missing:?} was leased and is not handed over");
        self.note(hold(missing.is_none(), Property::HandedOver, what), now);
    }

    /// Time itself has changed a task.
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

    /// The run is over: nothing can happen any more that would end a task.
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

    /// Whether a dispatcher must have given this worker up.
    pub(crate) fn has_lost(&self, host: usize, worker: WorkerId) -> bool {
        self.watches.get(&host).is_some_and(|watch| watch.has_lost(worker))
    }

    /// Whether a report of this worker on this attempt would be a true one.
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
