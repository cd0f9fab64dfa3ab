//! Worker in a process of its own: joins a dispatcher, runs the attempts it is assigned, reports them, and rejoins
//! whenever its link ends. Its attempts go on meanwhile, and it rejoins with everything it holds. Push and pull differ
//! only in how it announces what it can take.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fusebox_core::{
    dispatch::Mode,
    limits::{ASK_MS, DRAIN_MS_MAX, HEARTBEAT_MS},
    outcome::StopReason,
    wire::{self, Assignment, AttemptId, AttemptReport, End, FromDispatcher, FromWorker, HeldAttempt, Join},
};
use fusebox_sandbox::{ArtifactKey, StopFlag};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    held::HeldAttempts,
    joining::{Dispatchers, Joining, NotJoined},
    link_calls::{OpenCalls, PendingCall},
    pace,
    prefetch::Prefetch,
    runner::NotRun,
    slots::{Done, Job, Lane, Slots},
    wasm::{MissingWasm, Ready},
};
use crate::modules::Modules;
use fusebox_link::{Link, LinkReceiver, LinkSender};
use fusebox_system::clock::Clock;

/// Interval of acknowledgements, well within [`fusebox_core::limits::RECEIPT_MS_MAX`]. Attempts that have ended by then
/// need none, since a report acknowledges too.
const RECEIPTS: Duration = Duration::from_millis(250);
/// Longest wait after a drain for reports to be recorded, in case the dispatcher's store does not answer.
const RECORD_TIME: Duration = Duration::from_secs(5);

/// Longest wait for the dispatcher to close the link after a goodbye.
const GOODBYE_TIME: Duration = Duration::from_secs(1);

/// Parts of an agent.
pub struct Options {
    /// Delivery mode of its attempts.
    pub mode: Mode,
    /// Slots that run them.
    pub slots: Arc<Slots>,
    /// Host calls of the runs.
    pub calls: mpsc::UnboundedReceiver<PendingCall>,
    /// Compiles missing modules.
    pub modules: Modules,
    /// Source of time.
    pub clock: Clock,
}

enum FromSlots {
    Report(AttemptReport),
    Missing(Job, HeldAttempt),
}

enum LinkEnd {
    Broken,
    /// The dispatcher ended the link for this reason.
    Refused(String),
    Done,
}

/// State of the worker.
pub struct Agent {
    options: Options,
    joining: Joining,
    held: HeldAttempts,
    prefetch: Prefetch,
    wasm: MissingWasm,
    to_agent: mpsc::UnboundedSender<FromSlots>,
    from_slots: mpsc::UnboundedReceiver<FromSlots>,
    open_calls: OpenCalls,
    /// Attempts whose arrival is not yet acknowledged. A report acknowledges too.
    arrived: Vec<AttemptId>,
    /// Number of attempts that the dispatcher may still send: credit, or open requests.
    asked: u32,
    /// True once the dispatcher drains and assigns nothing more.
    is_parting: bool,
    draining: bool,
    ends_at: Option<Instant>,
}

impl Agent {
    /// Works until `stop` and the following drain. Keeps retrying dispatchers that cannot be reached or refuse this
    /// worker.
    ///
    /// # Errors
    /// Fails if the worker's own settings keep every dispatcher from admitting it, and it has never joined.
    pub async fn run(dispatchers: Dispatchers, options: Options, stop: CancellationToken) -> Result<(), NotJoined> {
        // Unbounded in type, but bounded by the held attempts: each sends one report and misses its module once.
        let (to_agent, from_slots) = mpsc::unbounded_channel();
        let artifact_key = dispatchers.token.as_ref().map(|token| ArtifactKey(token.artifact_key()));
        let agent = Self {
            held: HeldAttempts::default(),
            prefetch: Prefetch::new(options.slots.count(), Instant::now()),
            wasm: MissingWasm::new(options.modules.clone(), artifact_key),
            joining: Joining::new(dispatchers),
            options,
            to_agent,
            from_slots,
            open_calls: OpenCalls::default(),
            arrived: Vec::new(),
            asked: 0,
            is_parting: false,
            draining: false,
            ends_at: None,
        };
        agent.join_over_and_over(stop).await
    }

    async fn join_over_and_over(mut self, stop: CancellationToken) -> Result<(), NotJoined> {
        loop {
            self.open_calls.forget();
            let join = self.presents_itself();
            if let Some(link) = self.joining.round(&join, &stop).await? {
                match self.work(link, &stop).await {
                    LinkEnd::Done => return Ok(()),
                    LinkEnd::Refused(reason) => self.joining.refused(reason, &stop).await,
                    LinkEnd::Broken => self.joining.broken(self.is_parting, &stop).await,
                }
            }
            if self.is_done(&stop) {
                return Ok(());
            }
        }
    }

    /// Drains on `stop`, and returns true once the worker is to end, with or without a link.
    fn is_done(&mut self, stop: &CancellationToken) -> bool {
        if stop.is_cancelled() {
            self.begin_drain();
        }
        while let Ok(said) = self.from_slots.try_recv() {
            match said {
                FromSlots::Report(report) => self.held.end(report),
                // Requested on the next link.
                FromSlots::Missing(job, held) => drop(self.wasm.want(job, held, Instant::now())),
            }
        }
        let is_late = self.ends_at.is_some_and(|at| Instant::now() >= at + RECORD_TIME);
        self.draining && (self.held.is_empty() || is_late)
    }

    fn presents_itself(&self) -> Join {
        let slots = &self.options.slots;
        Join {
            worker: slots.worker(),
            mode: self.options.mode,
            name: super::name(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            slots: slots.count(),
            capacity: self.prefetch.most(),
            held: self.held.all(),
        }
    }

    async fn work(&mut self, link: Link, stop: &CancellationToken) -> LinkEnd {
        let Link { sender, mut receiver, .. } = link;
        self.asked = 0;
        self.is_parting = false;
        // The join lists everything held, which acknowledges it.
        self.arrived.clear();
        self.held.send_again();
        if self.draining {
            send(&sender, &FromWorker::Drains);
        }
        let overdue = self.wasm_overdue(true);
        self.say(&sender, overdue);
        let (mut heartbeats, mut receipts) = (pace::every(Duration::from_millis(HEARTBEAT_MS)), pace::every(RECEIPTS));
        loop {
            self.send_due(&sender);
            self.ask(&sender);
            tokio::select! {
                bytes = receiver.recv() => {
                    let Some(bytes) = bytes else { return LinkEnd::Broken };
                    match wire::decode(&bytes) {
                        Ok(FromDispatcher::Refused { reason }) => return LinkEnd::Refused(reason),
                        Ok(message) => self.on_message(&sender, message),
                        Err(_) => return LinkEnd::Broken,
                    }
                }
                Some(said) = self.from_slots.recv() => self.on_slots(&sender, said),
                Some(pending) = self.options.calls.recv() => {
                    let asked = self.open_calls.ask(pending, &self.held, sender.version());
                    self.say(&sender, asked);
                }
                ready = self.wasm.ready() => self.on_wasm(&sender, ready),
                _ = heartbeats.tick() => {
                    send(&sender, &FromWorker::Heartbeat);
                    if self.held.open() > 0 {
                        self.prefetch.holds(Instant::now());
                    }
                    self.held.send_overdue(Instant::now());
                    let overdue = self.wasm_overdue(false);
                    self.say(&sender, overdue);
                }
                _ = receipts.tick() => self.send_receipts(&sender),
                () = stop.cancelled(), if !self.draining => {
                    self.begin_drain();
                    send(&sender, &FromWorker::Drains);
                }
            }
            if sender.is_closed() {
                return LinkEnd::Broken;
            }
            if self.draining && self.drained() {
                say_goodbye(&sender, receiver).await;
                return LinkEnd::Done;
            }
            if self.is_parting && self.held.is_empty() {
                // The goodbye returns attempts that are still in transit, and they run elsewhere.
                say_goodbye(&sender, receiver).await;
                return LinkEnd::Broken;
            }
        }
    }

    fn on_message(&mut self, sender: &LinkSender, message: FromDispatcher) {
        match message {
            FromDispatcher::Run { attempts, extra } => self.on_attempts(attempts, extra),
            FromDispatcher::Assign(plain) => self.on_attempts(plain.into_iter().map(Into::into).collect(), false),
            FromDispatcher::AssignExtra(plain) => self.on_attempts(vec![plain.into()], true),
            FromDispatcher::NothingYet { slots } => self.asked = self.asked.saturating_sub(slots),
            FromDispatcher::Stop(stops) => stops.into_iter().for_each(|(id, reason)| self.held.stop(id, reason)),
            FromDispatcher::Recorded(ids) => ids.into_iter().for_each(|id| self.held.forget(id)),
            FromDispatcher::Piece { module, form, offset, total, bytes } => {
                let next = self.wasm.piece(module, form, offset, total, &bytes, Instant::now());
                self.say(sender, next);
            }
            FromDispatcher::Answer { number, answer } => self.open_calls.answer(number, answer),
            FromDispatcher::Drains => self.is_parting = true,
            FromDispatcher::Welcome { .. } | FromDispatcher::Refused { .. } => {}
        }
    }

    fn on_attempts(&mut self, attempts: Vec<Assignment>, is_extra: bool) {
        self.arrived.extend(attempts.iter().map(|assignment| assignment.held.id));
        if !is_extra {
            self.asked = self.asked.saturating_sub(u32::try_from(attempts.len()).unwrap_or(u32::MAX));
        }
        for assignment in attempts {
            let stop = match is_extra {
                true => self.held.begin_extra(assignment.held),
                false => self.held.begin(assignment.held),
            };
            self.begin(assignment, stop);
        }
    }

    /// Runs an attempt, unless it is already held.
    fn begin(&self, assignment: Assignment, stop: Option<StopFlag>) {
        let Assignment { held, invocation } = assignment;
        let Some(stop) = stop else { return };
        if self.draining {
            stop.raise(StopReason::Interrupted);
        }
        self.submit(Job::attempt(held.id, invocation, stop), held);
    }

    fn submit(&self, job: Job, held: HeldAttempt) {
        let to_agent = self.to_agent.clone();
        let done = Box::new(move |done: Done| {
            let report = |cpu_us, end| FromSlots::Report(AttemptReport { held, cpu_us, end });
            // The agent is gone only when the process ends; the lease then lapses.
            let _ = to_agent.send(match done {
                Ok(ended) => report(ended.receipt.cpu_us, ended.into()),
                Err(NotRun::ModuleMissing(job)) => FromSlots::Missing(*job, held),
                Err(NotRun::Lost(reason) | NotRun::Broken(reason)) => report(0, End::Broken { reason }),
            });
        });
        // The worker's own requests bound this lane.
        let _ = self.options.slots.submit(Lane::Attempts, job, done);
    }

    fn on_slots(&mut self, sender: &LinkSender, said: FromSlots) {
        let mut ended = 0;
        let mut said = Some(said);
        while let Some(next) = said {
            match next {
                FromSlots::Report(report) => {
                    ended += 1;
                    self.held.end(report);
                }
                FromSlots::Missing(job, held) => {
                    let next = self.wasm.want(job, held, Instant::now());
                    self.say(sender, next);
                }
            }
            said = self.from_slots.try_recv().ok();
        }
        self.prefetch.ended(ended, Instant::now());
    }

    fn on_wasm(&mut self, sender: &LinkSender, ready: Ready) {
        let (jobs, next) = self.wasm.take(&ready, Instant::now());
        self.say(sender, next);
        for (job, held) in jobs {
            match &ready.result {
                Ok(()) => self.submit(job, held),
                Err(reason) => {
                    let end = End::Broken { reason: reason.clone() };
                    self.held.end(AttemptReport { held, cpu_us: 0, end });
                }
            }
        }
    }

    fn wasm_overdue(&mut self, is_new_link: bool) -> Option<FromWorker> {
        self.wasm.overdue(is_new_link, Instant::now())
    }

    fn say(&self, sender: &LinkSender, message: Option<FromWorker>) {
        if let Some(message) = message {
            send(sender, &message);
        }
    }

    fn send_due(&mut self, sender: &LinkSender) {
        for reports in self.held.due(Instant::now()) {
            send(sender, &FromWorker::Reports(reports));
        }
    }

    fn send_receipts(&mut self, sender: &LinkSender) {
        let open = std::mem::take(&mut self.arrived).into_iter().filter(|id| self.held.is_open(*id));
        let open: Vec<_> = open.collect();
        if !open.is_empty() {
            send(sender, &FromWorker::Received(open));
        }
    }

    /// Requests attempts beyond those held and already requested.
    fn ask(&mut self, sender: &LinkSender) {
        let slots = self.prefetch.more(self.held.open(), self.asked);
        if self.draining || self.is_parting || slots == 0 {
            return;
        }
        self.asked += slots;
        let message = match self.options.mode {
            Mode::Pull => FromWorker::Ask { slots, wait_ms: ASK_MS },
            Mode::Push | Mode::Local => FromWorker::Credit { slots },
        };
        send(sender, &message);
    }

    /// Starts to drain: returns waiting attempts; running ones may end in time.
    fn begin_drain(&mut self) {
        if !self.draining {
            self.draining = true;
            self.ends_at = Some(Instant::now() + Duration::from_millis(DRAIN_MS_MAX));
            self.options.slots.interrupt_waiting_attempts();
        }
    }

    fn drained(&mut self) -> bool {
        let now = Instant::now();
        let Some(ends_at) = self.ends_at else { return false };
        if now >= ends_at {
            self.held.stop_all(StopReason::Interrupted);
        }
        self.held.is_empty() || now >= ends_at + RECORD_TIME
    }
}

/// Ends a link such that the dispatcher waits for nothing more.
async fn say_goodbye(sender: &LinkSender, mut receiver: LinkReceiver) {
    send(sender, &FromWorker::Goodbye);
    let closed = async { while receiver.recv().await.is_some() {} };
    let _ = tokio::time::timeout(GOODBYE_TIME, closed).await;
}

fn send(sender: &LinkSender, message: &FromWorker) {
    // A link whose send fails is closed, which its reader notices.
    if let Ok(bytes) = wire::encode(message) {
        let _ = sender.send(bytes.into());
    }
}
