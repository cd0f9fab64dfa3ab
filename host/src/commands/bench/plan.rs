//! What is measured: the scenarios, and from the command line's axes to one case after the other.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::guests::Function;
use crate::commands::cluster::Mode;

/// Tasks of a batch.
pub(super) const BATCH: usize = 500;
/// The input of every task of a case together, in bytes at most: more would measure the machine's memory.
const INPUTS_BYTES_MAX: u64 = 128 << 20;
/// Seconds that requests come at a fixed rate.
const OPEN_SECONDS: [u64; 3] = [1, 3, 10];
/// The sizes of payloads where none are given.
const PAYLOADS: [usize; 3] = [128, 4 << 10, 64 << 10];

/// A way of asking for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Tasks, a request each: from the first request to the last task's end
    Burst,
    /// Tasks in batches of 500: from the first request to the last task's end
    Batch,
    /// One task after the other on an idle system, then tasks at fixed rates: from the submission to its result
    Latency,
    /// As many sleeping tasks for each slot, with ever more workers: the time should stay the same
    Weak,
    /// The same tasks, with ever more workers: the time should shrink
    Strong,
    /// Sync invokes, answered without a store
    Invoke,
    /// Tasks that answer their input, by its size
    Payload,
}

/// Where tasks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// REST, dispatcher, workers and Redis as processes of their own; Redis syncs its log once a second
    Redis,
    /// One `up` process, and workers; synced before each answer
    Embedded,
    /// Wherever the server that was named has them
    #[value(skip)]
    Server,
}

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) store: StoreKind,
    pub(super) mode: Mode,
    pub(super) workers: u8,
    pub(super) slots: u32,
    /// One `up` process, whatever the store.
    pub(super) is_up: bool,
}

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) scenario: Scenario,
    pub(super) function: Function,
    pub(super) setting: Setting,
    pub(super) connections: usize,
    pub(super) payload: usize,
    pub(super) tasks: u64,
    /// Requests a second; `None`: each after the answer before.
    pub(super) rate: Option<u32>,
}

impl Case {
    /// With as many tasks as whole batches have.
    pub(super) fn whole(self) -> Self {
        let batch = BATCH as u64;
        match self.scenario {
            Scenario::Batch if self.tasks > batch => Self { tasks: self.tasks / batch * batch, ..self },
            _ => self,
        }
    }

    /// In words, for people who wait.
    pub(super) fn what(&self) -> String {
        let Setting { store, mode, workers, slots, .. } = self.setting;
        let place = store.as_str();
        let rate = self.rate.map(|rate| format!(", {rate}/s")).unwrap_or_default();
        let payload = if self.payload > 0 { format!(", {} bytes", self.payload) } else { String::new() };
        let (scenario, function, mode) = (self.scenario.as_str(), self.function.as_str(), mode.as_str());
        format!("{scenario} {function}{rate}{payload} {place} {mode} {workers}x{slots}")
    }
}

/// How much is measured where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Smoke,
    Quick,
    Full,
}

/// The command line's axes; empty where the size decides.
#[derive(Clone, Debug, Default)]
pub(super) struct Axes {
    pub(super) scenarios: Vec<Scenario>,
    pub(super) functions: Vec<Function>,
    pub(super) modes: Vec<Mode>,
    pub(super) stores: Vec<StoreKind>,
    pub(super) workers: Vec<u8>,
    pub(super) slots: Vec<u32>,
    pub(super) payloads: Vec<usize>,
    pub(super) rates: Vec<u32>,
    pub(super) each: Vec<u64>,
    pub(super) connections: Option<usize>,
    pub(super) tasks: Option<u64>,
}

impl Size {
    const fn of<T: Copy>(self, [smoke, quick, full]: [T; 3]) -> T {
        match self {
            Self::Smoke => smoke,
            Self::Quick => quick,
            Self::Full => full,
        }
    }

    /// How often each case is measured.
    pub(super) const fn repeats(self) -> u32 {
        self.of([1, 3, 5])
    }
}

impl StoreKind {
    /// The word.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Embedded => "embedded",
            Self::Server => "server",
        }
    }
}

impl Scenario {
    /// The word.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Burst => "burst",
            Self::Batch => "batch",
            Self::Latency => "latency",
            Self::Weak => "weak",
            Self::Strong => "strong",
            Self::Invoke => "invoke",
            Self::Payload => "payload",
        }
    }

    /// Whether its figure is how many tasks end in a second; otherwise it is a time.
    pub(super) const fn is_rate(self) -> bool {
        matches!(self, Self::Burst | Self::Batch | Self::Invoke | Self::Payload)
    }

    const fn functions(self, size: Size) -> &'static [Function] {
        match (self, size) {
            (Self::Weak | Self::Strong, _) => &[Function::Sleep],
            (Self::Payload, _) => &[Function::Echo],
            (Self::Burst, Size::Full) => &[Function::NoOp, Function::Cpu, Function::Echo],
            _ => &[Function::NoOp],
        }
    }

    const fn workers(self, size: Size) -> &'static [u8] {
        match (self, size) {
            (_, Size::Smoke) => &[1],
            (Self::Weak | Self::Strong, _) => &[1, 2, 4, 8],
            (Self::Burst | Self::Batch, Size::Full) => &[1, 2, 4],
            _ => &[1],
        }
    }

    const fn tasks(self, size: Size) -> u64 {
        match self {
            Self::Burst => size.of([200, 10_000, 50_000]),
            Self::Batch => size.of([1_000, 20_000, 100_000]),
            Self::Latency => size.of([20, 300, 2_000]),
            Self::Weak => 0,
            Self::Strong => size.of([5, 80, 400]),
            Self::Invoke => size.of([1_000, 20_000, 200_000]),
            Self::Payload => size.of([50, 2_000, 10_000]),
        }
    }

    const fn connections(self) -> usize {
        match self {
            Self::Burst | Self::Latency | Self::Weak | Self::Strong | Self::Payload => 64,
            Self::Batch => 4,
            Self::Invoke => 32,
        }
    }
}

impl Axes {
    /// The cases, those of one setting one after the other.
    pub(super) fn cases(&self, size: Size) -> Vec<Case> {
        let all: &[Scenario] = match size {
            Size::Smoke | Size::Full => Scenario::value_variants(),
            Size::Quick => &[
                Scenario::Burst,
                Scenario::Batch,
                Scenario::Latency,
                Scenario::Weak,
                Scenario::Invoke,
                Scenario::Payload,
            ],
        };
        let mut cases: Vec<Case> = Vec::new();
        for &scenario in or(&self.scenarios, all) {
            for setting in self.settings(scenario, size) {
                let of_it = self.of_setting(scenario, setting, size);
                // Behind the others of its setting, so that each is started once.
                let at = cases.iter().rposition(|case| case.setting == setting).map_or(cases.len(), |last| last + 1);
                cases.splice(at..at, of_it);
            }
        }
        cases
    }

    fn settings(&self, scenario: Scenario, size: Size) -> Vec<Setting> {
        // A sync invoke passes neither store nor workers.
        let is_up = scenario == Scenario::Invoke;
        let modes: &[Mode] = match (scenario, size) {
            (Scenario::Invoke, _) => &[Mode::Local],
            (Scenario::Payload, Size::Smoke | Size::Quick) => &[Mode::Push],
            _ => &[Mode::Local, Mode::Push, Mode::Pull],
        };
        let stores: &[StoreKind] = match (scenario, size) {
            (Scenario::Invoke, _) => &[StoreKind::Embedded],
            (Scenario::Burst | Scenario::Batch, Size::Full) => &[StoreKind::Redis, StoreKind::Embedded],
            _ => &[StoreKind::Redis],
        };
        let slots: &[u32] = if matches!(scenario, Scenario::Weak | Scenario::Strong) { &[1] } else { &[4] };
        let mut settings = Vec::new();
        for &store in or(&self.stores, stores) {
            for &mode in or(&self.modes, modes) {
                for &workers in or(&self.workers, scenario.workers(size)) {
                    for &slots in or(&self.slots, slots) {
                        let is_up = is_up || store == StoreKind::Embedded;
                        settings.push(Setting { store, mode, workers, slots, is_up });
                    }
                }
            }
        }
        settings
    }

    fn of_setting(&self, scenario: Scenario, setting: Setting, size: Size) -> Vec<Case> {
        let connections = self.connections.unwrap_or_else(|| scenario.connections());
        let tasks = self.tasks.unwrap_or_else(|| scenario.tasks(size));
        let payloads: &[usize] = if scenario == Scenario::Payload { &PAYLOADS } else { &[0] };
        let mut cases = Vec::new();
        for &function in or(&self.functions, scenario.functions(size)) {
            for &payload in or(&self.payloads, payloads) {
                let fitting = INPUTS_BYTES_MAX / (payload as u64).max(1);
                let case =
                    Case { scenario, function, setting, connections, payload, tasks: tasks.min(fitting), rate: None };
                match scenario {
                    Scenario::Weak => {
                        let each = or(&self.each, if size == Size::Full { &[5, 50] } else { &[5] });
                        let slots = u64::from(setting.workers) * u64::from(setting.slots);
                        cases.extend(each.iter().map(|each| Case { tasks: each * slots, ..case }));
                    }
                    Scenario::Latency => {
                        cases.push(Case { connections: 1, ..case });
                        let rates: &[u32] = size.of([&[50], &[100, 500], &[100, 200, 500, 1_000, 2_000]]);
                        cases.extend(or(&self.rates, rates).iter().map(|&rate| {
                            let tasks = self.tasks.unwrap_or_else(|| size.of(OPEN_SECONDS) * u64::from(rate));
                            Case { rate: Some(rate), tasks, ..case }
                        }));
                    }
                    _ => cases.push(case),
                }
            }
        }
        cases
    }
}

/// What was given, or else what holds where nothing is.
fn or<'a, T>(given: &'a [T], otherwise: &'a [T]) -> &'a [T] {
    if given.is_empty() { otherwise } else { given }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_started_once() {
        for size in [Size::Smoke, Size::Quick, Size::Full] {
            let mut settings: Vec<Setting> = Axes::default().cases(size).iter().map(|case| case.setting).collect();
            settings.dedup();
            for (at, setting) in settings.iter().enumerate() {
                assert!(!settings[..at].contains(setting), "{setting:?}");
            }
        }
    }

    #[test]
    fn axes_multiply_and_weak_scaling_grows_with_the_slots() {
        let axes = Axes {
            scenarios: vec![Scenario::Weak],
            modes: vec![Mode::Push, Mode::Pull],
            workers: vec![1, 8],
            slots: vec![2],
            each: vec![5, 50],
            ..Axes::default()
        };
        let tasks: Vec<u64> = axes.cases(Size::Quick).iter().map(|case| case.tasks).collect();
        assert_eq!(tasks, [10, 100, 80, 800, 10, 100, 80, 800]);
    }

    #[test]
    fn latency_is_measured_idle_and_at_each_rate() {
        let axes = Axes {
            scenarios: vec![Scenario::Latency],
            modes: vec![Mode::Local],
            rates: vec![100, 1_000],
            ..Axes::default()
        };
        let cases = axes.cases(Size::Quick);
        let rates: Vec<_> = cases.iter().map(|case| (case.rate, case.connections, case.tasks)).collect();
        assert_eq!(rates, [(None, 1, 300), (Some(100), 64, 300), (Some(1_000), 64, 3_000)]);
    }
}
