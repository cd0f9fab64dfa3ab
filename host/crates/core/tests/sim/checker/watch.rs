//! The checker's record of one dispatcher from start to end: pending requests, attempts held, credit.

use std::collections::{BTreeMap, BTreeSet};

use fusebox_core::{
    dispatch::{Effect, Event, Report, RequestId, SaveVerdict},
    id::{Attempt, TaskId, WorkerId},
    limits::{LEASE_BATCH_MAX, LEASE_MS, STORE_RETRY_MS},
    name::TenantId,
    time::Millis,
};

use super::{
    Check, Property,
    allowance::Allowances,
    hold,
    ledger::{Ledger, Slots},
};
use crate::store::Store;

/// Maximum age of a renewal: a lease renewed later than this could lapse after one failed renewal.
const RENEWAL_MS_MAX: u64 = LEASE_MS / 2;

struct Request {
    tenant: TenantId,
    worker: WorkerId,
    count: u32,
    slots: Slots,
    /// True if the request is for the worker's extra slot.
    extra: bool,
    /// True if a report of ready tasks arrived that may be newer than the answer.
    backlog_came: bool,
}

/// An attempt whose lease the dispatcher knows to be saved, until a verdict is saved or the lease is lost.
struct Held {
    tenant: TenantId,
    worker: WorkerId,
    assigned: bool,
    report: Option<Report>,
    verdict: Option<SaveVerdict>,
    saving: bool,
    renewed_at: Millis,
}

#[derive(Default)]
pub(super) struct Watch {
    requests: BTreeMap<RequestId, Request>,
    held: BTreeMap<(TaskId, Attempt), Held>,
    /// Every attempt ever assigned.
    assigned: BTreeSet<(TaskId, Attempt)>,
    ledger: Ledger,
    /// Workers that have said goodbye and sent nothing since.
    left: BTreeSet<WorkerId>,
    allowances: Allowances,
    /// Number of tasks known to be ready and not requested.
    ready: BTreeMap<TenantId, u64>,
    /// Time until which a store that did not respond is not called.
    paused_until: Millis,
    draining: bool,
    drained: bool,
}

impl Watch {
    pub(super) fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.held.is_empty()
    }

    pub(super) fn has_lost(&self, worker: WorkerId) -> bool {
        self.ledger.has_lost(worker)
    }

    pub(super) fn is_live(&self, worker: WorkerId, now: Millis) -> bool {
        self.ledger.is_live(worker, now)
    }

    pub(super) fn is_assigned(&self, worker: WorkerId, task: TaskId, attempt: Attempt) -> bool {
        self.held.get(&(task, attempt)).is_some_and(|held| held.worker == worker)
    }

    /// Processes an event.
    pub(super) fn event(&mut self, event: &Event, now: Millis) {
        match *event {
            Event::WorkerJoined { worker, room } => {
                self.left.remove(&worker);
                self.ledger.join(worker, room, now);
            }
            Event::CreditGranted { worker, slots, expires_at } => {
                self.left.remove(&worker);
                self.ledger.grant(worker, slots, expires_at, now);
            }
            Event::Heartbeat { worker } => self.ledger.saw(worker, now),
            Event::Quota { ref tenant, running_max, fuel_per_minute } => {
                self.allowances.set(tenant, running_max, fuel_per_minute);
            }
            Event::Drawn { ref tenant, fuel } => self.allowances.drawn(tenant, fuel),
            Event::Leased { request, ref attempts, reserved } => {
                if let Some(request) = self.requests.get(&request) {
                    self.allowances.reserve(&request.tenant, reserved.fuel);
                }
                self.leased(request, attempts, now);
            }
            Event::LeaseFailed { request } => self.lease_failed(request, now),
            Event::Finished { worker, task, attempt, report, cost } => {
                self.ledger.saw(worker, now);
                self.ledger.over(worker, task, attempt);
                let held = self.held.get_mut(&(task, attempt));
                if let Some(held) = held.filter(|held| held.worker == worker && held.verdict.is_none()) {
                    if held.report.is_none() && held.assigned {
                        self.allowances.refund(&held.tenant, cost.fuel_left);
                    }
                    held.report.get_or_insert(report);
                }
            }
            Event::Saved { task, attempt, .. } => {
                self.held.remove(&(task, attempt));
            }
            Event::SaveFailed { task, attempt } => {
                if let Some(held) = self.held.get_mut(&(task, attempt)) {
                    held.saving = false;
                }
            }
            Event::WorkerAway { worker } => {
                self.ledger.void(worker);
                self.void_requests(worker);
            }
            Event::WorkerLost { worker } => self.lose(worker),
            Event::WorkerLeft { worker } => {
                self.left.insert(worker);
                self.lose(worker);
            }
            Event::WorkerDrains { worker } => self.ledger.drain(worker),
            Event::Drain => self.draining = true,
            Event::Tick => self.ledger.silent(now).into_iter().for_each(|worker| self.lose(worker)),
            Event::Backlog { ref tenant, ready } => {
                self.ready.insert(tenant.clone(), ready);
                self.backlog_came(tenant);
            }
            Event::MoreReady { ref tenant, more } => {
                *self.ready.entry(tenant.clone()).or_default() += more;
                self.backlog_came(tenant);
            }
            Event::LeaseLost { .. } | Event::CancelRequested { .. } => {}
        }
    }

    fn backlog_came(&mut self, tenant: &TenantId) {
        let requests = self.requests.values_mut().filter(|request| request.tenant == *tenant);
        requests.for_each(|request| request.backlog_came = true);
    }

    fn lease_failed(&mut self, request: RequestId, now: Millis) {
        let Some(request) = self.requests.remove(&request) else { return };
        match request.extra {
            true => self.ledger.leased_extra(request.worker),
            false => self.ledger.leased(request.worker, request.slots, 0),
        }
        *self.ready.entry(request.tenant).or_default() += u64::from(request.count);
        self.paused_until = now.plus(STORE_RETRY_MS);
    }

    fn leased(&mut self, request: RequestId, attempts: &[(TaskId, Attempt)], now: Millis) {
        let Some(request) = self.requests.remove(&request) else { return };
        let Request { tenant, worker, count, slots, extra, backlog_came } = request;
        if attempts.len() < usize::try_from(count).unwrap() && !backlog_came {
            self.ready.insert(tenant.clone(), 0);
        }
        // If a later attempt is held, the lease of this one expired before the answer arrived.
        let is_overtaken =
            |(task, attempt)| self.held.range((task, attempt + 1)..=(task, Attempt::MAX)).next().is_some();
        let attempts: Vec<_> = attempts.iter().copied().filter(|attempt| !is_overtaken(*attempt)).collect();
        match extra {
            true => self.ledger.leased_extra(worker),
            false => self.ledger.leased(worker, slots, if self.draining { 0 } else { attempts.len() }),
        }
        for (task, attempt) in attempts {
            self.held.retain(|(held, _), _| *held != task);
            let tenant = tenant.clone();
            let held =
                Held { tenant, worker, assigned: false, report: None, verdict: None, saving: false, renewed_at: now };
            self.held.insert((task, attempt), held);
        }
    }

    fn lose(&mut self, worker: WorkerId) {
        self.ledger.lose(worker);
        self.void_requests(worker);
    }

    /// Voids the credit of a lost worker, even if a worker with this id reappears.
    fn void_requests(&mut self, worker: WorkerId) {
        self.requests.values_mut().filter(|request| request.worker == worker).for_each(|request| request.slots.clear());
    }

    /// Checks an effect.
    pub(super) fn effect(&mut self, effect: &Effect, store: &Store, now: Millis) -> Check {
        match *effect {
            Effect::Lease { request, ref tenant, worker, count, extra } => {
                self.lease(request, tenant, (worker, extra), count, now)
            }
            Effect::Assign { worker, task, attempt, extra } => self.assign((worker, extra), task, attempt, store),
            Effect::Save { worker, task, attempt, verdict } => self.save(worker, task, attempt, verdict),
            Effect::Renew { ref attempts } => attempts.iter().try_for_each(|attempt| {
                let held = self.held.get_mut(attempt);
                let renew = held.map(|held| held.renewed_at = now);
                hold(renew.is_some(), Property::Renewed, || format!("renewed {attempt:?}, which is not held"))
            }),
            Effect::Stop { worker, task, attempt, .. } => {
                self.ledger.over(worker, task, attempt);
                self.held.remove(&(task, attempt));
                hold(!store.is_current(task, attempt), Property::Stopped, || {
                    format!("stopped attempt {attempt} of {task}, which is current")
                })
            }
            Effect::Acknowledge { worker, task, attempt } => {
                // Applies to any worker, since the driver discards the attempt's data.
                hold(!self.held.contains_key(&(task, attempt)), Property::ToldLast, || {
                    format!("told {worker} of attempt {attempt} of {task}, which is not saved")
                })
            }
            Effect::NothingYet { worker, .. } => hold(self.ledger.answer(worker, now), Property::Answered, || {
                format!("answered {worker}, whose credit has not expired")
            }),
            Effect::GaveUp { worker } => {
                hold(self.ledger.has_lost(worker), Property::Credit, || format!("gave up {worker}, which was heard of"))
            }
            Effect::Draw { ref tenant, .. } => self.allowances.draw(tenant),
            Effect::GiveBack { ref tenant, fuel } => self.allowances.give_back(tenant, fuel),
            Effect::WakeAt { .. } => Ok(()),
            Effect::Drained => self.drained(store),
        }
    }

    fn lease(
        &mut self,
        request: RequestId,
        tenant: &TenantId,
        (worker, extra): (WorkerId, bool),
        count: u32,
        now: Millis,
    ) -> Check {
        hold(!self.draining, Property::Drain, || "leased after a drain".into())?;
        hold((1..=LEASE_BATCH_MAX).contains(&count), Property::Credit, || format!("asks for {count} attempts"))?;
        self.allowances.may_lease(tenant, self.under_way(tenant) + u64::from(count))?;
        let slots = match extra {
            true => {
                hold(count == 1 && !self.has_something(tenant, worker), Property::Extra, || {
                    format!("asks {count} of {tenant} for the extra slot of {worker}, which has something of it")
                })?;
                hold(self.ledger.take_extra(worker), Property::Extra, || format!("{worker} has no extra slot free"))?;
                Ok(Slots::new())
            }
            false => self.ledger.take(worker, count, now),
        };
        let slots =
            slots.map_err(|free| (Property::Credit, format!("asks for {count} of {free} slots of {worker}")))?;
        let is_overfull = self.ledger.is_overfull(worker);
        hold(!is_overfull, Property::Credit, || format!("asks for {count}, and {worker} cannot hold as many"))?;
        let ready = self.ready.entry(tenant.clone()).or_default();
        *ready = ready.saturating_sub(count.into());
        let tenant = tenant.clone();
        let asked = Request { tenant, worker, count, slots, extra, backlog_came: false };
        self.requests.insert(request, asked);
        Ok(())
    }

    /// Returns whether a worker runs something of a tenant, or will.
    fn has_something(&self, tenant: &TenantId, worker: WorkerId) -> bool {
        let runs = |held: &Held| held.assigned && held.report.is_none() && held.verdict.is_none();
        let mut held = self.held.values().filter(|held| held.worker == worker && held.tenant == *tenant);
        held.any(runs) || self.requests.values().any(|asked| asked.worker == worker && asked.tenant == *tenant)
    }

    /// Returns the number of a tenant's attempts that are leased or requested.
    fn under_way(&self, tenant: &TenantId) -> u64 {
        let asked = self.requests.values().filter(|request| request.tenant == *tenant);
        let asked: u64 = asked.map(|request| u64::from(request.count)).sum();
        asked + self.held.values().filter(|held| held.tenant == *tenant).count() as u64
    }

    fn assign(&mut self, (worker, extra): (WorkerId, bool), task: TaskId, attempt: Attempt, store: &Store) -> Check {
        let what = format!("assigned attempt {attempt} of {task} to {worker}");
        hold(!self.draining, Property::Drain, || format!("{what} after a drain"))?;
        let newer =
            self.held.range((task, attempt)..=(task, Attempt::MAX)).next_back().map(|((_, attempt), _)| *attempt);
        hold(newer <= Some(attempt), Property::Grows, || format!("{what} after {newer:?}"))?;
        let is_first = self.assigned.insert((task, attempt));
        hold(is_first, Property::Grows, || format!("{what} again"))?;
        let held = self.held.get_mut(&(task, attempt)).filter(|held| held.worker == worker);
        let held = held.filter(|_| store.has_leased(task, attempt, worker));
        let held = held.ok_or_else(|| (Property::SavedFirst, format!("{what} before its lease was saved")))?;
        held.assigned = true;
        if extra {
            let is_free = self.ledger.assign_extra(worker, task, attempt);
            return hold(is_free, Property::Extra, || format!("{what} for an extra slot that is not free"));
        }
        hold(self.ledger.assign(worker, task, attempt), Property::Credit, || format!("{what} without credit"))
    }

    fn save(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt, verdict: SaveVerdict) -> Check {
        let what = format!("saves {verdict:?} of attempt {attempt} of {task}");
        let (has_lost, has_left) = (self.ledger.has_lost(worker), self.left.contains(&worker));
        let held = self.held.get_mut(&(task, attempt)).filter(|held| held.worker == worker && !held.saving);
        let held = held.ok_or_else(|| (Property::Fence, format!("{what}, which is not held or being saved")))?;
        let is_due = match (held.verdict, verdict) {
            (Some(before), _) => before == verdict,
            (None, SaveVerdict::End) => held.report == Some(Report::Ended),
            (None, SaveVerdict::Release) => held.report == Some(Report::Interrupted) || !held.assigned || has_left,
            (None, SaveVerdict::Retry { .. }) => held.report == Some(Report::Lost) || (has_lost && !has_left),
        };
        held.verdict = Some(verdict);
        held.saving = true;
        hold(is_due, Property::Fence, || format!("{what}, whose report is {:?}", held.report))
    }

    fn drained(&mut self, store: &Store) -> Check {
        hold(self.draining && !self.drained, Property::Drained, || "no drain, or the second end of it".into())?;
        self.drained = true;
        let held = self.held.keys().find(|(task, attempt)| store.is_current(*task, *attempt));
        hold(held.is_none(), Property::Drained, || format!("holds {held:?}"))?;
        hold(self.is_idle(), Property::Drained, || "a request or a save is on its way".into())
    }

    fn served(&self, now: Millis) -> Check {
        // Tenants with pending lease steps wait for the answers.
        let is_served = |tenant: &TenantId| self.requests.values().any(|request| request.tenant == *tenant);
        let may = |tenant: &TenantId| self.allowances.must_serve(tenant, self.under_way(tenant) + 1);
        let mut waiting = self.ready.iter().filter(|(tenant, ready)| **ready > 0 && !is_served(tenant) && may(tenant));
        if self.draining || now < self.paused_until {
            return Ok(());
        }
        let stranger_at =
            |tenant: &TenantId| self.ledger.with_extra().find(|worker| !self.has_something(tenant, *worker));
        let stranger = waiting.clone().find_map(|(tenant, _)| Some((tenant, stranger_at(tenant)?)));
        hold(stranger.is_none(), Property::Served, || format!("{stranger:?} is not leased for the extra slot"))?;
        let Some(waits) = waiting.next() else { return Ok(()) };
        let is_asking = |worker| self.requests.values().any(|request| request.worker == worker);
        let idle = self.ledger.with_credit(now).find(|worker| !is_asking(*worker));
        hold(idle.is_none(), Property::Served, || format!("{waits:?} and {idle:?} wait for each other"))
    }

    /// Checks the properties that hold after each event.
    pub(super) fn settled(&mut self, event: &Event, now: Millis) -> Check {
        let stop = match *event {
            Event::LeaseLost { task, attempt } => self.held.get(&(task, attempt)),
            Event::CancelRequested { task } => self.held.range((task, 0)..=(task, Attempt::MAX)).map(|(_, h)| h).next(),
            _ => None,
        };
        let runs_on = stop.is_some_and(|held| held.assigned && held.verdict.is_none());
        hold(!runs_on, Property::Stopped, || format!("the run goes on after {event:?}"))?;
        let late = self.held.iter().find(|(_, held)| held.renewed_at.plus(RENEWAL_MS_MAX) < now);
        hold(late.is_none(), Property::Renewed, || format!("not renewed: {:?}", late.map(|(attempt, _)| attempt)))?;
        self.ledger.settle(now);
        self.served(now)?;
        let unanswered = self.ledger.unanswered(now);
        hold(unanswered.is_none(), Property::Answered, || format!("credit of {unanswered:?} expired unanswered"))
    }
}
