//! Performs the core's effects. Writes to the store, and messages to each worker, are batched.

use std::time::{Duration, Instant};

use fusebox_core::{
    dispatch::{Effect, Event, RequestId, SaveVerdict},
    error::ErrorCode,
    id::{Attempt, TaskId, WorkerId},
    limits::LEASE_MS,
    name::TenantId,
    outcome::{Ended, StopReason},
    task::Status,
    wire::{Assignment, AttemptId, FromDispatcher, HeldAttempt},
};

use super::{
    calls::RemoteGuest,
    driver::{Driver, FromStore, Save},
};
use fusebox_store::{Finish, Finished, LeaseRequest, LeasedTask, Renewal, Store, Verdict, kv::Namespace};
use fusebox_system::random;

/// Pause before the backlog is read again after a failure.
const BACKLOG_RETRY: Duration = Duration::from_millis(500);

/// First pause before a failed lease step is repeated; it doubles with each failure.
const LEASE_PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest such pause.
const LEASE_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Leases tasks, repeating a step without an answer. Such a step may have leased all the same; with the same tokens the
/// repetition returns what it leased. Gives up after the lease time: any lease unknown by then has lapsed or soon will.
async fn lease_surely(store: &dyn Store, mut request: LeaseRequest) -> fusebox_store::Result<Vec<LeasedTask>> {
    let until = Instant::now() + Duration::from_millis(request.lease_ms);
    let mut pause = LEASE_PAUSE_MIN;
    loop {
        match store.lease(request.clone()).await {
            Err(error) if Instant::now() + pause < until => {
                tracing::warn!(%error, "a lease step has no answer; repeating it");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LEASE_PAUSE_MAX);
                request.again = true;
            }
            answer => return answer,
        }
    }
}

impl Driver {
    /// Performs effects until none is left, since a failure can cause further ones.
    pub(super) fn perform(&mut self) {
        loop {
            for effect in std::mem::take(&mut self.machine.effects) {
                self.perform_one(effect);
            }
            self.flush_assignments();
            if self.machine.effects.is_empty() {
                break;
            }
        }
        self.flush_saves();
        self.flush_renewals();
        self.flush_recorded();
    }

    fn perform_one(&mut self, effect: Effect) {
        match effect {
            Effect::Lease { request, tenant, worker, count, .. } => self.lease(request, tenant, worker, count),
            Effect::Assign { worker, task, attempt, extra } => self.assign(worker, AttemptId { task, attempt }, extra),
            Effect::Save { task, attempt, verdict, .. } => self.save(task, attempt, verdict),
            Effect::Renew { attempts } => self.add_renewals(attempts),
            Effect::Stop { worker, task, attempt, reason } => self.stop(worker, task, attempt, reason),
            Effect::Acknowledge { worker, task, attempt } => {
                self.attempts.forget(task, attempt);
                if self.local.is_none() {
                    self.outbox.recorded.entry(worker).or_default().push(AttemptId { task, attempt });
                }
            }
            Effect::NothingYet { worker, slots } => {
                self.remotes.send(worker, &FromDispatcher::NothingYet { slots });
            }
            Effect::GaveUp { worker } => {
                tracing::warn!(%worker, "worker silent for too long: its attempts are retried elsewhere");
                self.remotes.forget(worker);
            }
            Effect::Draw { tenant, fuel } => self.draw(tenant, fuel),
            Effect::GiveBack { tenant, fuel } => self.give_back(tenant, fuel),
            Effect::WakeAt { at } => self.machine.wake_at = self.machine.wake_at.min(at),
            Effect::Drained => self.machine.drained = true,
        }
    }

    fn lease(&mut self, request: RequestId, tenant: TenantId, worker: WorkerId, count: u32) {
        let store = self.options.store.clone();
        let tokens = (0..count).map(|_| random::lease_token()).collect();
        let dispatcher = self.options.dispatcher;
        let lease = LeaseRequest { tenant, worker, dispatcher, lease_ms: LEASE_MS, tokens, again: false };
        self.io.spawn(async move {
            match lease_surely(&*store, lease).await {
                Ok(leased) => FromStore::Leased { request, leased },
                Err(error) => {
                    tracing::warn!(%error, "cannot lease; retrying later");
                    FromStore::LeaseFailed { request }
                }
            }
        });
    }

    fn assign(&mut self, worker: WorkerId, id: AttemptId, extra: bool) {
        let wall_ms_max = self.options.wall_ms_max;
        let Some(held) = self.attempts.get(id.task, id.attempt) else { return };
        let (stop, token) = (held.stop.clone(), held.token);
        let Some(mut invocation) = held.invocation.take() else { return };
        invocation.limits.wall_ms = invocation.limits.wall_ms.min(wall_ms_max);
        if let Some(local) = &mut self.local {
            local.credit.assigned(id, extra);
            return local.worker.assign(HeldAttempt { id, token }, invocation, stop);
        }
        let of = Namespace { tenant: invocation.tenant.clone(), function: invocation.function.clone() };
        held.guest = Some(RemoteGuest { of, grants: invocation.grants.clone() });
        let is_fit = invocation.is_plain() || self.remotes.knows_setups(worker);
        let assignment = Assignment { held: HeldAttempt { id, token }, invocation };
        if !is_fit {
            self.unfit(worker, id.task, id.attempt);
        } else if !extra {
            self.outbox.assignments.entry(worker).or_default().push(assignment);
        } else if !self.remotes.assign_extra(worker, assignment, self.options.clock.now()) {
            self.interrupted(worker, id.task, id.attempt);
        }
    }

    /// Sends the batched assignments. Those that cannot be sent count as interrupted before their start.
    fn flush_assignments(&mut self) {
        let now = self.options.clock.now();
        for (worker, batch) in std::mem::take(&mut self.outbox.assignments) {
            for AttemptId { task, attempt } in self.remotes.assign(worker, batch, now) {
                self.interrupted(worker, task, attempt);
            }
        }
    }

    fn stop(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt, reason: StopReason) {
        let id = AttemptId { task, attempt };
        if self.local.is_none() {
            self.remotes.send(worker, &FromDispatcher::Stop(vec![(id, reason)]));
            // The core is done with the attempt; the store answers a late report.
            self.attempts.forget(task, attempt);
        } else if let Some(held) = self.attempts.get(task, attempt) {
            held.stop.raise(reason);
        }
    }

    fn save(&mut self, task: TaskId, attempt: Attempt, verdict: SaveVerdict) {
        let Some(claim) = self.attempts.claim(task, attempt) else { return };
        let verdict = match verdict {
            SaveVerdict::Release => Verdict::Release,
            SaveVerdict::Retry { delay_ms } => Verdict::Retry { delay_ms },
            SaveVerdict::End => match self.attempts.get(task, attempt).and_then(|held| held.end.clone()) {
                Some(ended) => Verdict::End(ended),
                None => return,
            },
        };
        let save = Save { id: AttemptId { task, attempt }, foreign: None };
        self.outbox.saves.push((save, Finish { claim, verdict }));
    }

    fn flush_saves(&mut self) {
        if self.outbox.saves.is_empty() {
            return;
        }
        let (saves, reports): (Vec<_>, Vec<_>) = self.outbox.saves.drain(..).unzip();
        let store = self.options.store.clone();
        self.io.spawn(async move {
            match store.finish(reports).await {
                Ok(answers) => FromStore::Saved(saves.into_iter().zip(answers).collect()),
                Err(error) => {
                    tracing::warn!(%error, "cannot save ends; they are kept and retried");
                    FromStore::SaveFailed(saves)
                }
            }
        });
    }

    /// Handles the store's answer to a verdict.
    pub(super) fn on_saved(&mut self, save: Save, finished: Finished) {
        let AttemptId { task, attempt } = save.id;
        if let Finished::Ended(status) = finished {
            self.count(task, attempt, status);
        }
        match save.foreign {
            Some(worker) => self.outbox.recorded.entry(worker).or_default().push(save.id),
            None => self.handle(Event::Saved { task, attempt }),
        }
    }

    fn add_renewals(&mut self, attempts: Vec<(TaskId, Attempt)>) {
        for (task, attempt) in attempts {
            if let Some(claim) = self.attempts.claim(task, attempt) {
                self.outbox.renewals.push((task, attempt, claim));
            }
        }
    }

    fn flush_renewals(&mut self) {
        if self.outbox.renewals.is_empty() {
            return;
        }
        let (attempts, claims): (Vec<_>, Vec<_>) =
            self.outbox.renewals.drain(..).map(|(task, attempt, claim)| ((task, attempt), claim)).unzip();
        let store = self.options.store.clone();
        self.io.spawn(async move {
            match store.renew(claims, LEASE_MS).await {
                Ok(answers) => {
                    let lost = attempts.into_iter().zip(answers).filter(|(_, answer)| *answer == Renewal::Lost);
                    FromStore::LeasesLost(lost.map(|(attempt, _)| attempt).collect())
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot renew leases; retrying at the next renewal");
                    FromStore::LeasesLost(Vec::new())
                }
            }
        });
    }

    fn flush_recorded(&mut self) {
        for (worker, ids) in std::mem::take(&mut self.outbox.recorded) {
            self.remotes.send(worker, &FromDispatcher::Recorded(ids));
        }
    }

    /// Reads the backlog. One read at a time: of two, the older could arrive last and hide tasks that became ready
    /// since.
    pub(super) fn ask_backlog(&mut self) {
        if std::mem::replace(&mut self.backlog.reading, true) {
            self.backlog.is_old = true;
            return;
        }
        let store = self.options.store.clone();
        self.io.spawn(async move {
            loop {
                match store.backlog().await {
                    Ok(backlog) => {
                        return FromStore::Backlog(backlog.into_iter().map(|b| (b.tenant, b.ready)).collect());
                    }
                    Err(error) => tracing::warn!(%error, "cannot read the backlog; retrying"),
                }
                tokio::time::sleep(BACKLOG_RETRY).await;
            }
        });
    }

    /// Counts an end.
    fn count(&mut self, task: TaskId, attempt: Attempt, status: Status) {
        let code = match self.attempts.get(task, attempt).and_then(|held| held.end.as_ref()) {
            Some(Ended { failure, receipt, .. }) => {
                self.options.metrics.ran(receipt);
                failure.as_ref().map(|failure| failure.code)
            }
            // Released or lost on its last attempt.
            _ => Some(ErrorCode::AttemptsExhausted),
        };
        self.options.metrics.task_ended(status, code);
    }
}
