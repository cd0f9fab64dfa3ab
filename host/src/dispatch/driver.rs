//! The driver: performs the dispatcher's effects and hands it what comes of them as events. Owns its channels, its
//! clock and every leased attempt's bytes; decides nothing.
//!
//! It wakes when tasks may be ready, a slot reports, the store answers, a task is cancelled, or the time the core asked
//! for has come. Effects of one wake-up that write to the store are written together.

use std::{sync::Arc, time::Duration};

use fusebox_core::{
    dispatch::{Answer, Dispatcher, Effect, Event, Report as CoreReport, RequestId, SaveVerdict},
    error::ErrorCode,
    id::{Attempt, TaskId, WorkerId},
    limits::{DRAIN_MS_MAX, LEASE_MS},
    name::TenantId,
    outcome::StopReason,
    time::Millis,
};
use tokio::{
    sync::{broadcast, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    attempts::Attempts,
    local::{End, LocalWorker, Report},
    missing::MissingModules,
};
use crate::{
    clock::Clock,
    random,
    store::{Beaten, Claim, Finish, Finished, Hint, LeaseRequest, LeasedTask, Store, Verdict},
    telemetry::metrics::Metrics,
    worker::slots::Slots,
};

/// How long to wait before asking a store again that did not answer for its backlog.
const BACKLOG_RETRY: Duration = Duration::from_millis(500);

/// What the driver is made of.
pub struct Options {
    /// Where tasks come from and ends go.
    pub store: Arc<dyn Store>,
    /// Where attempts run.
    pub slots: Arc<Slots>,
    /// Compiles a module whose artifact is missing.
    pub missing: MissingModules,
    /// What time it is.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Answers of the store, to be handed to the core.
enum FromStore {
    Leased { request: RequestId, leased: Vec<LeasedTask> },
    LeaseFailed { request: RequestId },
    Saved(Vec<(TaskId, Attempt, Finished)>),
    SaveFailed(Vec<(TaskId, Attempt)>),
    Beaten(Vec<(TaskId, Attempt)>),
    Backlog(Vec<(TenantId, u64)>),
}

/// See the module's documentation.
pub struct Driver {
    core: Dispatcher,
    store: Arc<dyn Store>,
    clock: Clock,
    metrics: Arc<Metrics>,
    local: LocalWorker,
    attempts: Attempts,
    effects: Vec<Effect>,
    /// Steps on their way through the store.
    io: JoinSet<FromStore>,
    saves: Vec<(TaskId, Attempt, Finish)>,
    beats: Vec<(TaskId, Attempt, Claim)>,
    reading_backlog: bool,
    /// Something became ready after the read on its way had begun.
    backlog_is_old: bool,
    wake_at: Millis,
    drained: bool,
    /// Attempts that started before a drain may end; the rest is released.
    hard_stop_at: Millis,
}

impl Driver {
    /// Runs until `stop` is cancelled and the drain that follows is over: attempts that run may end within
    /// [`DRAIN_MS_MAX`], the others are given back to the store.
    pub async fn run(options: Options, stop: CancellationToken) {
        let (reports, inbox) = mpsc::unbounded_channel();
        let local = LocalWorker { slots: options.slots, missing: options.missing, reports };
        let driver = Self {
            core: Dispatcher::new(u64::from_le_bytes(random::bytes())),
            store: options.store,
            clock: options.clock,
            metrics: options.metrics,
            local,
            attempts: Attempts::default(),
            effects: Vec::new(),
            io: JoinSet::new(),
            saves: Vec::new(),
            beats: Vec::new(),
            reading_backlog: false,
            backlog_is_old: false,
            wake_at: Millis::NEVER,
            drained: false,
            hard_stop_at: Millis::NEVER,
        };
        driver.run_until_drained(inbox, stop).await;
    }

    async fn run_until_drained(mut self, mut inbox: mpsc::UnboundedReceiver<Report>, stop: CancellationToken) {
        let mut cancelled = self.store.cancellations();
        let mut ready: Hint = self.store.ready_hint();
        let worker = self.local.id();
        self.handle(Event::CreditGranted { worker, slots: self.local.credit(), expires_at: Millis::NEVER });
        self.ask_backlog();
        let mut draining = false;
        while !self.drained {
            let wake = self.until_wake();
            tokio::select! {
                Some(report) = inbox.recv() => {
                    self.on_report(report);
                    while let Ok(report) = inbox.try_recv() {
                        self.on_report(report);
                    }
                }
                Some(answer) = self.io.join_next() => match answer {
                    Ok(answer) => self.on_answer(answer),
                    // What the step was to answer is lost, so the core would wait for it for ever: end here, and let
                    // the next start take the leases back.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                () = &mut ready => {
                    ready = self.store.ready_hint();
                    self.ask_backlog();
                }
                task = cancelled.recv() => self.on_cancelled(task),
                () = tokio::time::sleep(wake) => self.on_time(),
                () = stop.cancelled(), if !draining => {
                    draining = true;
                    self.hard_stop_at = self.clock.now().plus(DRAIN_MS_MAX);
                    self.handle(Event::Drain);
                    self.local.give_back_waiting();
                }
            }
            self.perform();
        }
    }

    fn until_wake(&self) -> Duration {
        Duration::from_millis(self.wake_at.0.min(self.hard_stop_at.0).saturating_sub(self.clock.now().0).min(60_000))
    }

    fn handle(&mut self, event: Event) {
        self.core.handle(event, self.clock.now(), &mut self.effects);
    }

    fn on_time(&mut self) {
        let now = self.clock.now();
        if self.hard_stop_at <= now {
            self.hard_stop_at = Millis::NEVER;
            self.attempts.stop_all(StopReason::Interrupted);
        }
        if self.wake_at <= now {
            self.wake_at = Millis::NEVER;
            // Slots in this process live as long as the process does.
            self.handle(Event::Heartbeat { worker: self.local.id() });
            self.handle(Event::Tick);
        }
    }

    fn on_report(&mut self, report: Report) {
        let Report { task, attempt, cpu_us, end } = report;
        let core_report = match end {
            End::Ended(verdict) => {
                if let Some(held) = self.attempts.get(task, attempt) {
                    // Of several reports the first counts, here as in the core.
                    held.end.get_or_insert(*verdict);
                }
                CoreReport::Ended
            }
            End::Interrupted => CoreReport::Interrupted,
            End::Broken => CoreReport::Lost,
        };
        let worker = self.local.id();
        self.handle(Event::Finished { worker, task, attempt, report: core_report, cpu_us });
    }

    fn on_cancelled(&mut self, task: Result<TaskId, broadcast::error::RecvError>) {
        // A receiver that lagged behind learns from the next beat of each attempt.
        if let Ok(task) = task
            && self.attempts.current(task).is_some()
        {
            self.handle(Event::CancelRequested { task });
        }
    }

    fn on_answer(&mut self, answer: FromStore) {
        match answer {
            FromStore::Backlog(tenants) => {
                for (tenant, ready) in tenants {
                    self.handle(Event::Backlog { tenant, ready });
                }
                self.reading_backlog = false;
                if std::mem::take(&mut self.backlog_is_old) {
                    self.ask_backlog();
                }
            }
            FromStore::Leased { request, leased } => {
                let attempts = leased.into_iter().filter_map(|leased| self.attempts.hold(leased)).collect();
                self.handle(Event::Leased { request, attempts });
            }
            FromStore::LeaseFailed { request } => self.handle(Event::LeaseFailed { request }),
            FromStore::Saved(answers) => {
                for (task, attempt, finished) in answers {
                    let answer = self.count(task, attempt, finished);
                    self.handle(Event::Saved { task, attempt, answer });
                }
            }
            FromStore::SaveFailed(attempts) => {
                for (task, attempt) in attempts {
                    self.handle(Event::SaveFailed { task, attempt });
                }
            }
            FromStore::Beaten(lost) => {
                for (task, attempt) in lost {
                    self.handle(Event::LeaseLost { task, attempt });
                }
            }
        }
    }
}

impl Driver {
    /// Performs what the core asked for. Writes to the store are gathered and sent as one step each.
    fn perform(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Lease { request, tenant, worker, count } => self.lease(request, tenant, worker, count),
                Effect::Assign { task, attempt, .. } => self.assign(task, attempt),
                Effect::Save { task, attempt, verdict, .. } => self.save(task, attempt, verdict),
                Effect::Beat { attempts } => self.gather_beats(attempts),
                Effect::Stop { task, attempt, reason, .. } => {
                    if let Some(held) = self.attempts.get(task, attempt) {
                        held.stop.raise(reason);
                    }
                }
                Effect::Told { task, attempt, .. } => self.attempts.forget(task, attempt),
                // Slots in this process do not wait for an answer to a request.
                Effect::NothingYet { .. } => {}
                Effect::WakeAt { at } => self.wake_at = self.wake_at.min(at),
                Effect::Drained => self.drained = true,
            }
        }
        self.flush_saves();
        self.flush_beats();
    }

    fn lease(&mut self, request: RequestId, tenant: TenantId, worker: WorkerId, count: u32) {
        let store = self.store.clone();
        let tokens = (0..count).map(|_| random::lease_token()).collect();
        let lease = LeaseRequest { tenant, worker, lease_ms: LEASE_MS, tokens };
        self.io.spawn(async move {
            match store.lease(lease).await {
                Ok(leased) => FromStore::Leased { request, leased },
                Err(error) => {
                    tracing::warn!(%error, "cannot lease; trying again");
                    FromStore::LeaseFailed { request }
                }
            }
        });
    }

    fn assign(&mut self, task: TaskId, attempt: Attempt) {
        let Some(held) = self.attempts.get(task, attempt) else { return };
        let stop = held.stop.clone();
        if let Some(leased) = held.leased.take() {
            self.local.assign(leased, stop);
        }
    }

    fn save(&mut self, task: TaskId, attempt: Attempt, verdict: SaveVerdict) {
        let Some(claim) = self.attempts.claim(task, attempt) else { return };
        let verdict = match verdict {
            SaveVerdict::Release => Verdict::Release,
            SaveVerdict::Retry { delay_ms } => Verdict::Retry { delay_ms },
            SaveVerdict::End => match self.attempts.get(task, attempt).and_then(|held| held.end.clone()) {
                Some(verdict) => verdict,
                None => return,
            },
        };
        self.saves.push((task, attempt, Finish { claim, verdict }));
    }

    fn flush_saves(&mut self) {
        if self.saves.is_empty() {
            return;
        }
        let (attempts, reports): (Vec<_>, Vec<_>) =
            self.saves.drain(..).map(|(task, attempt, finish)| ((task, attempt), finish)).unzip();
        let store = self.store.clone();
        self.io.spawn(async move {
            match store.finish(reports).await {
                Ok(answers) => {
                    FromStore::Saved(attempts.into_iter().zip(answers).map(|((t, a), answer)| (t, a, answer)).collect())
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot save ends; they are kept and tried again");
                    FromStore::SaveFailed(attempts)
                }
            }
        });
    }

    fn gather_beats(&mut self, attempts: Vec<(TaskId, Attempt)>) {
        for (task, attempt) in attempts {
            if let Some(claim) = self.attempts.claim(task, attempt) {
                self.beats.push((task, attempt, claim));
            }
        }
    }

    fn flush_beats(&mut self) {
        if self.beats.is_empty() {
            return;
        }
        let (attempts, claims): (Vec<_>, Vec<_>) =
            self.beats.drain(..).map(|(task, attempt, claim)| ((task, attempt), claim)).unzip();
        let store = self.store.clone();
        self.io.spawn(async move {
            match store.beat(claims, LEASE_MS).await {
                Ok(answers) => {
                    let lost = attempts.into_iter().zip(answers).filter(|(_, answer)| *answer == Beaten::Lost);
                    FromStore::Beaten(lost.map(|(attempt, _)| attempt).collect())
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot renew leases; the next beat tries again");
                    FromStore::Beaten(Vec::new())
                }
            }
        });
    }

    /// One read at a time: of two, the older could arrive last and hide what has become ready since.
    fn ask_backlog(&mut self) {
        if std::mem::replace(&mut self.reading_backlog, true) {
            self.backlog_is_old = true;
            return;
        }
        let store = self.store.clone();
        self.io.spawn(async move {
            loop {
                match store.backlog().await {
                    Ok(backlog) => {
                        return FromStore::Backlog(backlog.into_iter().map(|b| (b.tenant, b.ready)).collect());
                    }
                    Err(error) => tracing::warn!(%error, "cannot read the backlog; trying again"),
                }
                tokio::time::sleep(BACKLOG_RETRY).await;
            }
        });
    }

    /// Counts an end, and puts the store's answer into the core's words.
    fn count(&mut self, task: TaskId, attempt: Attempt, finished: Finished) -> Answer {
        match finished {
            Finished::Ended(status) => {
                let code = match self.attempts.get(task, attempt).and_then(|held| held.end.as_ref()) {
                    Some(Verdict::End { failure, receipt, .. }) => {
                        self.metrics.ran(receipt);
                        failure.as_ref().map(|failure| failure.code)
                    }
                    // It was given back or lost, and that was its last attempt.
                    _ => Some(ErrorCode::AttemptsExhausted),
                };
                self.metrics.task_ended(status, code);
                Answer::Ended
            }
            Finished::Duplicate => Answer::Ended,
            Finished::Requeued => Answer::Requeued,
            Finished::Stale => Answer::Stale,
        }
    }
}
