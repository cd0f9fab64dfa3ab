//! Drives the dispatcher: passes inputs to the core as events, and the results of its effects back to it. Owns its
//! channels, its clock and the bytes of every leased attempt, and decides nothing. `perform` carries out the core's
//! effects.
//!
//! It wakes when tasks may be ready, a worker sends a message, the store answers, a task is cancelled, or the core's
//! timer expires. Writes to the store that result from one wake-up go out together.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use fusebox_core::{
    dispatch::{Cost, Dispatcher, Effect, Event, Report as CoreReport, UNTIL_SPENT},
    id::{Attempt, DispatcherId, TaskId, WorkerId},
    limits::DRAIN_MS_MAX,
    name::TenantId,
    outcome::StopReason,
    time::Millis,
    wire::{Assignment, AttemptId, AttemptReport, End, FromDispatcher},
};
use tokio::{
    sync::{broadcast, mpsc},
    task::JoinSet,
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

pub(super) use super::answers::{FromStore, Save};
use super::{
    attempts::Attempts,
    gateway::FromLink,
    local::{Local, LocalWorker},
    missing::MissingModules,
    remote::Remotes,
    store_calls::StoreHostCalls,
};
use crate::{telemetry::metrics::Metrics, tenancy::QuotaBook, worker::slots::Slots};
use fusebox_store::{Claim, Finish, Ready, ReadyHint, Store};
use fusebox_system::{clock::Clock, random};

/// Interval at which links are checked, leases of adopted attempts are renewed, and workers are announced.
const ROUND: Duration = Duration::from_millis(1_000);

/// Parts of the driver that never change.
pub struct Options {
    /// Id of this dispatcher.
    pub dispatcher: DispatcherId,
    /// Store that tasks are leased from and ends are saved to.
    pub store: Arc<dyn Store>,
    /// Serves the host calls of runs in other processes.
    pub host_calls: StoreHostCalls,
    /// Largest wall time of a run in milliseconds, even if its function allows more.
    pub wall_ms_max: u32,
    /// Quotas of the tenants.
    pub quotas: Arc<QuotaBook>,
    /// Source of time.
    pub clock: Clock,
    /// Counters of this process.
    pub metrics: Arc<Metrics>,
}

/// Workers that run attempts.
pub enum Workers {
    /// Slots of this process.
    Local {
        /// The slots.
        slots: Arc<Slots>,
        /// Compiles a module whose artifact is missing.
        missing: MissingModules,
    },
    /// Workers of other processes, which join through a gateway.
    Remote(mpsc::Receiver<FromLink>),
}

/// State of the driver.
pub struct Driver {
    pub(super) options: Options,
    pub(super) machine: Machine,
    /// Slots of this process, if it has any.
    pub(super) local: Option<Local>,
    pub(super) remotes: Remotes,
    pub(super) attempts: Attempts,
    pub(super) outbox: Outbox,
    pub(super) backlog: BacklogRead,
    /// Counter of quota changes as last passed to the core.
    pub(super) quota_changes: u64,
    pub(super) announcing: bool,
    /// Store operations in progress.
    pub(super) io: JoinSet<FromStore>,
    /// Time at which a drain interrupts attempts that still run.
    hard_stop_at: Millis,
}

/// The core, and what it last wanted of its driver.
pub(super) struct Machine {
    pub(super) core: Dispatcher,
    pub(super) effects: Vec<Effect>,
    pub(super) wake_at: Millis,
    pub(super) drained: bool,
}

/// Writes and messages of one wake-up, which go out together.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) saves: Vec<(Save, Finish)>,
    pub(super) renewals: Vec<(TaskId, Attempt, Claim)>,
    pub(super) assignments: HashMap<WorkerId, Vec<Assignment>>,
    pub(super) recorded: HashMap<WorkerId, Vec<AttemptId>>,
}

/// Progress of reading the backlog.
#[derive(Default)]
pub(super) struct BacklogRead {
    pub(super) reading: bool,
    /// True if something became ready after the current read began.
    pub(super) is_old: bool,
    /// Tasks that became ready since that read began, which may not include them.
    pub(super) more_ready: HashMap<TenantId, u64>,
}

impl Driver {
    /// Runs until `stop` is cancelled and the following drain is over: running attempts may end within
    /// [`DRAIN_MS_MAX`], the others are returned to the store.
    pub async fn run(options: Options, workers: Workers, stop: CancellationToken) {
        let (reports, from_slots) = mpsc::unbounded_channel();
        // Without links this channel is never used; its sender is kept so that the channel stays open.
        let (silent, no_links) = mpsc::channel(1);
        let (local, from_links) = match workers {
            Workers::Local { slots, missing } => {
                let worker = LocalWorker { slots, missing, reports };
                (Some(Local::new(worker, options.clock.now())), no_links)
            }
            Workers::Remote(links) => (None, links),
        };
        let core = Dispatcher::new(u64::from_le_bytes(random::bytes()));
        let driver = Self {
            options,
            machine: Machine { core, effects: Vec::new(), wake_at: Millis::NEVER, drained: false },
            local,
            remotes: Remotes::default(),
            attempts: Attempts::default(),
            outbox: Outbox::default(),
            backlog: BacklogRead::default(),
            quota_changes: 0,
            announcing: false,
            io: JoinSet::new(),
            hard_stop_at: Millis::NEVER,
        };
        driver.run_until_drained(from_slots, from_links, stop).await;
        drop(silent);
    }

    async fn run_until_drained(
        mut self,
        mut from_slots: mpsc::UnboundedReceiver<AttemptReport>,
        mut from_links: mpsc::Receiver<FromLink>,
        stop: CancellationToken,
    ) {
        let mut cancelled = self.options.store.cancellations();
        let mut ready: ReadyHint = self.options.store.ready_hint();
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.join_local();
        self.ask_backlog();
        let mut draining = false;
        while !self.machine.drained {
            let wake = self.until_wake();
            tokio::select! {
                Some(report) = from_slots.recv() => {
                    self.on_local_report(report);
                    let mut ended = 1;
                    while let Ok(report) = from_slots.try_recv() {
                        self.on_local_report(report);
                        ended += 1;
                    }
                    self.grant_local(ended);
                }
                Some(said) = from_links.recv() => {
                    self.on_link(said);
                    while let Ok(said) = from_links.try_recv() {
                        self.on_link(said);
                    }
                }
                Some(answer) = self.io.join_next() => match answer {
                    Ok(answer) => self.on_answer(answer),
                    // A panicked operation never answers, and the core would wait for it forever. End the process; the
                    // leases lapse and are taken again.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                news = &mut ready => {
                    ready = self.options.store.ready_hint();
                    self.on_ready(news);
                }
                task = cancelled.recv() => self.on_cancelled(task),
                _ = rounds.tick() => self.on_round(),
                () = tokio::time::sleep(wake) => self.on_time(),
                () = stop.cancelled(), if !draining => {
                    draining = true;
                    self.hard_stop_at = self.options.clock.now().plus(DRAIN_MS_MAX);
                    self.handle(Event::Drain);
                    self.remotes.drain();
                    if let Some(local) = &self.local {
                        local.worker.give_back_waiting();
                    }
                }
            }
            self.perform();
        }
        if let Err(error) = self.options.store.announce(self.options.dispatcher, Vec::new(), 0).await {
            tracing::debug!(%error, "cannot withdraw this dispatcher's announcement; it expires soon");
        }
    }

    fn until_wake(&self) -> Duration {
        Duration::from_millis(
            self.machine.wake_at.0.min(self.hard_stop_at.0).saturating_sub(self.options.clock.now().0).min(60_000),
        )
    }

    pub(super) fn handle(&mut self, event: Event) {
        self.machine.core.handle(event, self.options.clock.now(), &mut self.machine.effects);
    }

    fn on_time(&mut self) {
        let now = self.options.clock.now();
        if self.hard_stop_at <= now {
            self.hard_stop_at = Millis::NEVER;
            for (worker, id) in self.attempts.stop_all(StopReason::Interrupted) {
                self.remotes.send(worker, &FromDispatcher::Stop(vec![(id, StopReason::Interrupted)]));
            }
        }
        if self.machine.wake_at <= now {
            self.machine.wake_at = Millis::NEVER;
            if let Some(worker) = self.local.as_ref().map(|local| local.worker.id()) {
                // Slots of this process are alive whenever the driver is.
                self.handle(Event::Heartbeat { worker });
            }
            self.handle(Event::Tick);
        }
    }

    /// Joins the slots of this process as a worker.
    fn join_local(&mut self) {
        if let Some(local) = &self.local {
            let (worker, room) = (local.worker.id(), local.credit.room());
            self.handle(Event::WorkerJoined { worker, room });
            self.grant_local(0);
        }
    }

    /// Grants the slots of this process further credit, after `ended` attempts have ended.
    fn grant_local(&mut self, ended: usize) {
        let Some(local) = &mut self.local else { return };
        let (worker, slots) = (local.worker.id(), local.credit.more(ended, Instant::now()));
        if slots > 0 {
            self.handle(Event::CreditGranted { worker, slots, expires_at: UNTIL_SPENT });
        }
    }

    fn on_local_report(&mut self, report: AttemptReport) {
        if let Some(local) = &mut self.local {
            local.ended += 1;
            local.credit.reported(report.held.id);
            let worker = local.worker.id();
            self.on_report(worker, report);
        }
    }

    /// Passes a report to the core. Of several reports on an attempt only the first counts, here as in the core.
    pub(super) fn on_report(&mut self, worker: WorkerId, report: AttemptReport) {
        let AttemptReport { held: reported, end, cpu_us } = report;
        let AttemptId { task, attempt } = reported.id;
        if let End::Broken { reason } = &end {
            tracing::error!(%worker, %task, attempt, reason, "cannot run an attempt");
        }
        let core_report = match &end {
            End::Ended(_) => CoreReport::Ended,
            End::Interrupted => CoreReport::Interrupted,
            End::Broken { .. } => CoreReport::Lost,
        };
        match self.attempts.get(task, attempt) {
            Some(held) if held.token == reported.token && held.worker == worker => {
                held.reported = true;
                let mut cost = Cost::default();
                if let End::Ended(ended) = end {
                    let receipt = &ended.receipt;
                    // A run that did not end normally has no fuel count, and nothing is refunded.
                    cost.slot_us = receipt.wall_us.saturating_add(receipt.load_us);
                    cost.fuel_left = receipt.fuel.map_or(0, |used| held.fuel.saturating_sub(used));
                    held.end.get_or_insert(ended);
                }
                self.handle(Event::Finished { worker, task, attempt, report: core_report, cost });
            }
            Some(_) => {
                self.options.metrics.report_refused();
                tracing::warn!(%worker, %task, attempt, "report refused: it does not hold the attempt's lease");
            }
            None => self.on_foreign_report(worker, AttemptReport { held: reported, cpu_us, end }),
        }
    }

    /// Passes counts of ready tasks to the core, which leases them without a read of the backlog.
    fn on_ready(&mut self, news: Ready) {
        if news.missed {
            self.ask_backlog();
        }
        for (tenant, more) in news.more {
            if self.backlog.reading {
                *self.backlog.more_ready.entry(tenant.clone()).or_default() += more;
            }
            self.tell_quota(&tenant);
            self.handle(Event::MoreReady { tenant, more });
        }
    }

    fn on_cancelled(&mut self, task: Result<TaskId, broadcast::error::RecvError>) {
        // If the receiver lagged, the next lease renewal of the attempt reports the cancellation.
        let Ok(task) = task else { return };
        if self.attempts.current(task).is_some() {
            self.handle(Event::CancelRequested { task });
        } else if let Some((worker, id)) = self.remotes.adopter(task) {
            self.remotes.send(worker, &FromDispatcher::Stop(vec![(id, StopReason::Cancelled)]));
        }
    }
}
