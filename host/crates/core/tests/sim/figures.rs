//! Amount and kinds of what was simulated. Also proves that no kind of event or effect was left out.

use std::{collections::BTreeMap, fmt};

use fusebox_core::dispatch::{Effect, Event, Report, SaveVerdict};

#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    tasks: usize,
    events: usize,
    effects: usize,
    kinds: BTreeMap<&'static str, u64>,
}

impl Figures {
    pub(crate) fn new(tasks: usize) -> Self {
        Self { tasks, ..Self::default() }
    }

    pub(crate) fn handled(&mut self, event: &Event, effects: &[Effect]) {
        self.events += 1;
        self.effects += effects.len();
        self.count(event_kind(event));
        effects.iter().for_each(|effect| self.count(effect_kind(effect)));
    }

    pub(crate) fn count(&mut self, kind: &'static str) {
        *self.kinds.entry(kind).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.tasks += other.tasks;
        self.events += other.events;
        self.effects += other.effects;
        other.kinds.iter().for_each(|(kind, count)| *self.kinds.entry(kind).or_default() += count);
    }

    pub(crate) fn of(&self, kind: &str) -> u64 {
        self.kinds.get(kind).copied().unwrap_or_default()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tasks, {} events, {} effects:", self.tasks, self.events, self.effects)?;
        self.kinds.iter().try_for_each(|(kind, count)| write!(f, " {count} {kind},"))
    }
}

const fn event_kind(event: &Event) -> &'static str {
    match event {
        Event::Backlog { .. } => "backlog",
        Event::MoreReady { .. } => "hint",
        Event::Quota { .. } => "quota",
        Event::Drawn { .. } => "drawn",
        Event::WorkerJoined { .. } => "join",
        Event::CreditGranted { .. } => "credit",
        Event::Heartbeat { .. } => "heartbeat",
        Event::Leased { .. } => "leased",
        Event::LeaseFailed { .. } => "lease failed",
        Event::Finished { report: Report::Ended, .. } => "report of an end",
        Event::Finished { report: Report::Interrupted, .. } => "report of an interruption",
        Event::Finished { report: Report::Lost, .. } => "report of a loss",
        Event::Saved { .. } => "saved",
        Event::SaveFailed { .. } => "save failed",
        Event::LeaseLost { .. } => "lease lost",
        Event::CancelRequested { .. } => "cancel",
        Event::WorkerAway { .. } => "worker away",
        Event::WorkerLost { .. } => "worker lost",
        Event::WorkerLeft { .. } => "worker left",
        Event::WorkerDrains { .. } => "worker drains",
        Event::Drain => "drain",
        Event::Tick => "tick",
    }
}

const fn effect_kind(effect: &Effect) -> &'static str {
    match effect {
        Effect::Lease { .. } => "lease",
        Effect::Assign { .. } => "assign",
        Effect::Save { verdict: SaveVerdict::End, .. } => "save of an end",
        Effect::Save { verdict: SaveVerdict::Retry { .. }, .. } => "retry",
        Effect::Save { verdict: SaveVerdict::Release, .. } => "release",
        Effect::Draw { .. } => "draw",
        Effect::GiveBack { .. } => "give back",
        Effect::Renew { .. } => "renew",
        Effect::Stop { .. } => "stop",
        Effect::Acknowledge { .. } => "acknowledge",
        Effect::NothingYet { .. } => "nothing yet",
        Effect::GaveUp { .. } => "gave up",
        Effect::WakeAt { .. } => "wake at",
        Effect::Drained => "drained",
    }
}
