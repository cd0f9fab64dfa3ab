//! Lease steps: the choice of tenant and worker, and the processing of answers.

use alloc::{vec, vec::Vec};

use super::{Dispatcher, Effect, Request, RequestId, Reserved, SaveVerdict, UNTIL_SPENT, credit::Grant, lease::Stage};
use crate::{
    id::{Attempt, TaskId, WorkerId},
    limits::{LEASE_BATCH_MAX, STORE_RETRY_MS},
    name::TenantId,
    outcome::StopReason,
    time::Millis,
};

impl Dispatcher {
    /// Leases tasks for free credit while any are ready. If several tenants wait, each gets a share of the credit, so
    /// that none takes all of it at once. If several workers are free, each gets a share of the tasks, so that none
    /// holds tasks that another could start.
    pub(super) fn lease_more(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        while self.shares.someone_waits() && !self.draining && self.paused_until <= now {
            let Some((worker, free)) = self.workers.most_free() else { break };
            let Some((tenant, ready, tenants)) = self.shares.next() else { break };
            let part = free.div_ceil(u32::try_from(tenants).unwrap_or(u32::MAX));
            let share = ready.div_ceil(self.workers.free_workers().max(1) as u64);
            let count = part.min(LEASE_BATCH_MAX).min(u32::try_from(share).unwrap_or(u32::MAX));
            let grants = self.workers.take(worker, count);
            self.lease(tenant, worker, count, grants, false, effects);
        }
        self.shares.close_wave();
        self.lease_extra(now, effects);
        while !self.draining
            && let Some((tenant, fuel)) = self.shares.ask_fuel(now)
        {
            effects.push(Effect::Draw { tenant, fuel });
        }
    }

    /// Leases single attempts for extra slots, for waiting tenants that have nothing at those workers.
    fn lease_extra(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        while self.workers.has_extras() && !self.draining && self.paused_until <= now {
            let stranger = |tenant: &TenantId| Some((tenant.clone(), self.workers.with_extra_for(tenant)?));
            let Some((tenant, worker)) = self.shares.waiting().find_map(stranger) else { break };
            self.workers.take_extra(worker);
            self.lease(tenant, worker, 1, vec![Grant { expires_at: UNTIL_SPENT, slots: 1 }], true, effects);
            self.shares.close_wave();
        }
    }

    fn lease(
        &mut self,
        tenant: TenantId,
        worker: WorkerId,
        count: u32,
        grants: Vec<Grant>,
        extra: bool,
        effects: &mut Vec<Effect>,
    ) {
        self.shares.take(&tenant, count);
        self.workers.count(worker, &tenant, count);
        let request = RequestId(self.next_request);
        self.next_request += 1;
        let told = self.shares.told(&tenant);
        self.requests.insert(request, Request { tenant: tenant.clone(), worker, count, grants, extra, told });
        effects.push(Effect::Lease { request, tenant, worker, count, extra });
    }

    pub(super) fn leased(
        &mut self,
        request: RequestId,
        attempts: Vec<(TaskId, Attempt)>,
        reserved: Reserved,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Request { tenant, worker, count, grants, extra, told }) = self.requests.remove(&request) else {
            return;
        };
        self.shares.answered(&tenant);
        self.shares.reserve(&tenant, reserved.fuel, reserved.most);
        let mut slots = one_by_one(grants);
        let accepts = !self.draining && self.workers.accepts(worker);
        let missing = count.saturating_sub(u32::try_from(attempts.len()).unwrap_or(u32::MAX));
        let mut unsent = missing;
        for (task, attempt) in attempts {
            if self.leases.current(task).is_some_and(|newer| newer.attempt > attempt) {
                // The lease expired before this late answer arrived.
                self.shares.unsent(&tenant);
                self.shares.over(&tenant);
                unsent += 1;
                effects.push(Effect::Acknowledge { worker, task, attempt });
                continue;
            }
            let slot = if accepts { slots.next() } else { None };
            let stage = if slot.is_some() { Stage::Assigned } else { Stage::Saving(SaveVerdict::Release) };
            let older = self.leases.add(task, attempt, worker, tenant.clone(), stage, now);
            if let Some(older) = &older {
                self.shares.over(&older.tenant);
            }
            if let Some(older) = older.filter(|older| older.stage == Stage::Assigned) {
                let (worker, attempt) = (older.worker, older.attempt);
                self.leaves(worker, task, attempt, None, now);
                effects.push(Effect::Stop { worker, task, attempt, reason: StopReason::Interrupted });
            }
            match slot {
                Some(_) => {
                    if self.workers.send(worker, (task, attempt), tenant.clone(), extra, now) {
                        self.shares.begins(&tenant);
                    }
                    effects.push(Effect::Assign { worker, task, attempt, extra });
                }
                None => {
                    self.shares.unsent(&tenant);
                    unsent += 1;
                    effects.push(Effect::Save { worker, task, attempt, verdict: SaveVerdict::Release });
                }
            }
        }
        self.workers.discount(worker, &tenant, unsent);
        if missing > 0 {
            self.shares.give_back(&tenant, missing);
            if told == self.shares.told(&tenant) {
                self.shares.set_ready(&tenant, 0);
            }
        }
        match extra {
            true if unsent > 0 => self.workers.extra_unused(worker),
            true => {}
            false => self.workers.answered(worker, slots),
        }
    }

    pub(super) fn lease_failed(&mut self, request: RequestId, now: Millis) {
        let Some(Request { tenant, worker, count, grants, extra, .. }) = self.requests.remove(&request) else { return };
        self.shares.answered(&tenant);
        self.shares.give_back(&tenant, count);
        let ready = self.shares.ready(&tenant).saturating_add(count.into());
        self.shares.set_ready(&tenant, ready);
        self.workers.discount(worker, &tenant, count);
        match extra {
            true => self.workers.extra_unused(worker),
            false => self.workers.answered(worker, grants),
        }
        self.paused_until = now.plus(STORE_RETRY_MS);
    }
}

/// Splits grants into single slots, in order.
fn one_by_one(grants: Vec<Grant>) -> impl Iterator<Item = Grant> {
    grants.into_iter().flat_map(|grant| (0..grant.slots).map(move |_| Grant { slots: 1, ..grant }))
}
