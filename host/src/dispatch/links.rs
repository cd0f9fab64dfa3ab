//! Turns messages of remote workers into events. A worker that reconnects with attempts of another dispatcher keeps
//! them: this driver renews their leases and passes their ends straight to the store, which verifies them by their
//! tokens. The end of a dispatcher therefore costs no run.

use std::{collections::HashSet, time::Instant};

use fusebox_core::{
    dispatch::{Cost, Event, Report as CoreReport, Room, UNTIL_SPENT},
    id::{Attempt, TaskId, WorkerId},
    limits::{ASK_MS, LEASE_MS, RETRY_MS_BASE},
    outcome::StopReason,
    wire::{AttemptId, AttemptReport, End, FromDispatcher, FromWorker, HeldAttempt, Join},
};

use super::{
    driver::{Driver, FromStore, Save},
    gateway::{FromLink, LinkId},
    remote::claim,
};
use crate::worker;
use fusebox_link::LinkSender;
use fusebox_store::{Finish, Mode, Renewal, Verdict, WorkerInfo};

/// Validity of an announcement of workers, in milliseconds: three rounds may be missed.
const ANNOUNCED_MS: u64 = 4_000;

impl Driver {
    pub(super) fn on_link(&mut self, said: FromLink) {
        match said {
            FromLink::Joined { link, sender, join } => self.on_join(link, sender, join),
            FromLink::Left { worker, link } => {
                if self.remotes.left(worker, link) {
                    self.on_away(worker);
                }
            }
            FromLink::Said { worker, link, message } if self.remotes.is_current(worker, link) => {
                self.on_message(worker, message);
            }
            FromLink::Said { .. } => {}
        }
    }

    /// Handles a join: attempts that were sent and did not arrive are given back; attempts it holds that are unknown
    /// here are adopted.
    fn on_join(&mut self, link: LinkId, sender: LinkSender, join: Join) {
        let (worker, held) = (join.worker, join.held.clone());
        let room = Room { slots: join.slots, capacity: join.capacity, has_extra: true };
        // The end of the worker's older link may not have been noticed yet.
        self.handle(Event::WorkerAway { worker });
        self.remotes.join(link, sender, join, self.options.clock.now());
        self.remotes.welcome(worker, self.options.dispatcher);
        let sent = self.attempts.of_worker(worker);
        let arrived: HashSet<AttemptId> = held.iter().map(|held| held.id).collect();
        let known: HashSet<AttemptId> = held
            .iter()
            .filter(|held| {
                let AttemptId { task, attempt } = held.id;
                self.attempts.get(task, attempt).is_some_and(|own| own.worker == worker && own.token == held.token)
            })
            .map(|held| held.id)
            .collect();
        if let Some(remote) = self.remotes.get_mut(worker) {
            remote.adopt(&held, &known);
        }
        // Introduces the worker, so that its silence is noticed. Its credit comes in later messages.
        self.handle(Event::WorkerJoined { worker, room });
        for AttemptId { task, attempt } in sent.into_iter().filter(|id| !arrived.contains(id)) {
            self.interrupted(worker, task, attempt);
        }
        self.renew_adopted();
    }

    fn on_message(&mut self, worker: WorkerId, message: FromWorker) {
        let now = self.options.clock.now();
        let Some(remote) = self.remotes.get_mut(worker) else { return };
        remote.info.seen_at = now;
        match message {
            FromWorker::Heartbeat => self.handle(Event::Heartbeat { worker }),
            FromWorker::Credit { slots } => {
                self.handle(Event::CreditGranted { worker, slots, expires_at: UNTIL_SPENT });
            }
            FromWorker::Ask { slots, wait_ms } => {
                let expires_at = now.plus(wait_ms.min(ASK_MS).into());
                self.handle(Event::CreditGranted { worker, slots, expires_at });
            }
            FromWorker::Received(ids) => ids.into_iter().for_each(|id| remote.received(id)),
            FromWorker::Reports(reports) => {
                remote.info.ended += reports.len() as u64;
                reports.iter().for_each(|report| remote.received(report.held.id));
                for report in reports {
                    self.on_report(worker, report);
                }
            }
            FromWorker::Call { number, tenant, held, call } => self.on_call(worker, number, tenant, held, call),
            FromWorker::Drains => {
                remote.info.draining = true;
                self.handle(Event::WorkerDrains { worker });
            }
            FromWorker::Goodbye => self.on_goodbye(worker),
            // Handled by the gateway.
            FromWorker::Join(_) | FromWorker::Fetch { .. } => {}
        }
    }

    /// Handles the close of a worker's link. A worker that was draining and holds nothing is gone; any other may come
    /// back.
    fn on_away(&mut self, worker: WorkerId) {
        let is_drained = self.remotes.is_drained(worker) && self.attempts.of_worker(worker).is_empty();
        match is_drained {
            true => self.on_goodbye(worker),
            false => self.handle(Event::WorkerAway { worker }),
        }
    }

    /// Handles the departure of a worker, which will not report on what it still holds: returns it to the store at
    /// once.
    fn on_goodbye(&mut self, worker: WorkerId) {
        for HeldAttempt { id, token } in self.remotes.dismiss(worker) {
            let release = Finish { claim: claim(id, token), verdict: Verdict::Release };
            self.outbox.saves.push((Save { id, foreign: Some(worker) }, release));
        }
        self.handle(Event::WorkerLeft { worker });
        tracing::info!(%worker, "a worker has left");
    }

    /// Reports an attempt that did not reach its worker as interrupted, so that it does not count as spent.
    pub(super) fn interrupted(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        self.not_sent(worker, task, attempt, CoreReport::Interrupted);
    }

    /// Reports an attempt that its worker's release cannot run as lost, so that another worker may run it after a delay.
    pub(super) fn unfit(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        tracing::error!(
            %worker, %task, attempt,
            "cannot run an attempt: the worker's release knows no arguments, environment and files; upgrade it"
        );
        self.not_sent(worker, task, attempt, CoreReport::Lost);
    }

    fn not_sent(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt, report: CoreReport) {
        if let Some(held) = self.attempts.get(task, attempt) {
            held.reported = true;
        }
        self.handle(Event::Finished { worker, task, attempt, report, cost: Cost::default() });
    }

    /// Passes a report on an attempt unknown to the core to the store, which accepts it only with a valid token.
    pub(super) fn on_foreign_report(&mut self, worker: WorkerId, report: AttemptReport) {
        let AttemptReport { held, end, .. } = report;
        let verdict = match end {
            End::Ended(ended) => Verdict::End(ended),
            End::Interrupted => Verdict::Release,
            End::Broken { .. } => Verdict::Retry { delay_ms: RETRY_MS_BASE },
        };
        self.outbox
            .saves
            .push((Save { id: held.id, foreign: Some(worker) }, Finish { claim: claim(held.id, held.token), verdict }));
        if let Some(remote) = self.remotes.get_mut(worker) {
            remote.release(held.id);
        }
        self.handle(Event::Heartbeat { worker });
    }

    pub(super) fn on_adopted_lost(&mut self, worker: WorkerId, id: AttemptId) {
        let reason = StopReason::Interrupted;
        self.remotes.send(worker, &FromDispatcher::Stop(vec![(id, reason)]));
        if let Some(remote) = self.remotes.get_mut(worker) {
            remote.release(id);
        }
    }

    pub(super) fn on_round(&mut self) {
        if let Some(local) = &mut self.local {
            local.credit.look(Instant::now());
        }
        self.remotes.close_deaf(self.options.clock.now());
        self.renew_adopted();
        self.announce();
        self.tell_quotas();
        // Hints may be lost: a server that was killed may have sent none.
        self.ask_backlog();
    }

    fn renew_adopted(&mut self) {
        let (holders, claims): (Vec<_>, Vec<_>) = self.remotes.adopted().into_iter().unzip();
        if claims.is_empty() {
            return;
        }
        let store = self.options.store.clone();
        self.io.spawn(async move {
            let ids: Vec<_> = claims.iter().map(|c| AttemptId { task: c.task, attempt: c.fence.attempt }).collect();
            match store.renew(claims, LEASE_MS).await {
                Ok(answers) => {
                    let all = holders.into_iter().zip(ids).zip(answers);
                    let lost = all.filter(|(_, answer)| *answer == Renewal::Lost).map(|(held, _)| held);
                    FromStore::AdoptedLost(lost.collect())
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot renew leases of adopted attempts; retrying in the next round");
                    FromStore::AdoptedLost(Vec::new())
                }
            }
        });
    }

    /// Announces the workers. One announcement at a time, so that requests do not pile up at a store that does not
    /// answer.
    fn announce(&mut self) {
        if std::mem::replace(&mut self.announcing, true) {
            return;
        }
        let workers = self.infos();
        let (store, dispatcher) = (self.options.store.clone(), self.options.dispatcher);
        self.io.spawn(async move {
            if let Err(error) = store.announce(dispatcher, workers, ANNOUNCED_MS).await {
                tracing::debug!(%error, "cannot announce workers; retrying in the next round");
            }
            FromStore::Announced
        });
    }

    fn infos(&self) -> Vec<WorkerInfo> {
        let running = |worker| u32::try_from(self.attempts.of_worker(worker).len()).unwrap_or(u32::MAX);
        let now = self.options.clock.now();
        let local = self.local.as_ref().map(|local| WorkerInfo {
            id: local.worker.id(),
            mode: Mode::Local,
            name: worker::name(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            slots: local.worker.slots.count(),
            running: u32::try_from(self.attempts.len()).unwrap_or(u32::MAX),
            ended: local.ended,
            joined_at: local.joined_at,
            seen_at: now,
            draining: false,
        });
        let remotes = self.remotes.infos().into_iter().map(|info| WorkerInfo { running: running(info.id), ..info });
        local.into_iter().chain(remotes).collect()
    }
}
