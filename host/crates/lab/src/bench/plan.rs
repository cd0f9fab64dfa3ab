//! The scenarios, and their defaults.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{beside::Beside, guests::Function};
use crate::cluster::Mode;

/// Tasks of a batch.
pub(super) const BATCH: usize = 500;

/// Kind of measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Tasks, one per request: from the first request to the last task's end
    Burst,
    /// Tasks in batches of 500: from the first request to the last task's end
    Batch,
    /// One task after the other on an idle system, then tasks at fixed rates: from the submission to its result
    Latency,
    /// A fixed number of sleeping tasks per slot, with more and more workers: the time should stay constant
    Weak,
    /// The same tasks, with more and more workers: the time should shrink
    Strong,
    /// Sync invokes, answered without a store
    Invoke,
    /// Tasks that return their input, by its size
    Payload,
    /// Tasks beside much stored data, and beside little: two deployments are measured alternately, and the figure is
    /// their ratio
    Cost,
    /// Memory of a host: idle, for each function, for queued tasks
    Memory,
}

/// Store of the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// REST, dispatcher, workers and Redis as separate processes; Redis syncs its log once a second
    Redis,
    /// One `up` process, and workers; synced before each answer
    Embedded,
    /// The store of the given server
    #[value(skip)]
    Server,
}

/// A deployment's composition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) store: StoreKind,
    pub(super) mode: Mode,
    pub(super) workers: u8,
    pub(super) slots: u32,
    /// True for one `up` process, regardless of the store.
    pub(super) is_up: bool,
}

/// A single measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) scenario: Scenario,
    pub(super) function: Function,
    pub(super) setting: Setting,
    pub(super) connections: usize,
    pub(super) payload: usize,
    pub(super) tasks: u64,
    /// Requests per second; `None` sends each request after the previous answer.
    pub(super) rate: Option<u32>,
    /// Stored data beside the tasks, in the cost scenario.
    pub(super) beside: Option<Beside>,
}

impl Case {
    /// Returns the case of a comparison of much and little stored data, without its level.
    pub(super) const fn of_cost(setting: Setting, connections: usize, tasks: u64) -> Self {
        Self {
            scenario: Scenario::Cost,
            function: Function::NoOp,
            setting,
            connections,
            payload: 0,
            tasks,
            rate: None,
            beside: None,
        }
    }

    /// Rounds the number of tasks of the batch scenario down to whole batches.
    pub(super) fn whole(self) -> Self {
        let batch = BATCH as u64;
        match self.scenario {
            Scenario::Batch if self.tasks > batch => Self { tasks: self.tasks / batch * batch, ..self },
            _ => self,
        }
    }

    /// Describes the case for people.
    pub(super) fn what(&self) -> String {
        let Setting { store, mode, workers, slots, .. } = self.setting;
        let place = store.as_str();
        let rate = self.rate.map(|rate| format!(", {rate}/s")).unwrap_or_default();
        let payload = if self.payload > 0 { format!(", {} bytes", self.payload) } else { String::new() };
        let (scenario, function, mode) = (self.scenario.as_str(), self.function.as_str(), mode.as_str());
        let beside = self.beside.map(|beside| format!(", beside {}", beside.stored.as_str())).unwrap_or_default();
        format!("{scenario} {function}{rate}{payload}{beside} {place} {mode} {workers}x{slots}")
    }
}

/// Size of a run, which sets the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Smoke,
    Quick,
    Full,
}

impl Size {
    pub(super) const fn of<T: Copy>(self, [smoke, quick, full]: [T; 3]) -> T {
        match self {
            Self::Smoke => smoke,
            Self::Quick => quick,
            Self::Full => full,
        }
    }

    /// Number of measurements of each case.
    pub(super) const fn repeats(self) -> u32 {
        self.of([1, 3, 5])
    }
}

impl StoreKind {
    /// Name on the command line and in results.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Embedded => "embedded",
            Self::Server => "server",
        }
    }
}

impl Scenario {
    /// Name on the command line and in results.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Burst => "burst",
            Self::Batch => "batch",
            Self::Latency => "latency",
            Self::Weak => "weak",
            Self::Strong => "strong",
            Self::Invoke => "invoke",
            Self::Payload => "payload",
            Self::Cost => "cost",
            Self::Memory => "memory",
        }
    }

    /// True if the figure is a rate of ended tasks; otherwise it is a time.
    pub(super) const fn is_rate(self) -> bool {
        matches!(self, Self::Burst | Self::Batch | Self::Invoke | Self::Payload | Self::Cost)
    }

    /// True if the scenario is measured on one deployment, shared with others of its setting.
    pub(super) const fn is_a_case(self) -> bool {
        !matches!(self, Self::Cost | Self::Memory)
    }

    pub(super) const fn functions(self, size: Size) -> &'static [Function] {
        match (self, size) {
            (Self::Weak | Self::Strong, _) => &[Function::Sleep],
            (Self::Payload, _) => &[Function::Echo],
            (Self::Burst, Size::Full) => &[Function::NoOp, Function::Cpu, Function::Echo],
            _ => &[Function::NoOp],
        }
    }

    pub(super) const fn workers(self, size: Size) -> &'static [u8] {
        match (self, size) {
            (Self::Memory, _) => &[0],
            (_, Size::Smoke) => &[1],
            (Self::Weak | Self::Strong, _) => &[1, 2, 4, 8],
            (Self::Burst | Self::Batch, Size::Full) => &[1, 2, 4],
            _ => &[1],
        }
    }

    pub(super) const fn tasks(self, size: Size) -> u64 {
        match self {
            Self::Burst => size.of([200, 10_000, 50_000]),
            Self::Batch => size.of([1_000, 20_000, 100_000]),
            Self::Latency => size.of([20, 300, 2_000]),
            Self::Weak => 0,
            Self::Strong => size.of([5, 80, 400]),
            Self::Invoke => size.of([1_000, 20_000, 200_000]),
            Self::Payload => size.of([50, 2_000, 10_000]),
            Self::Cost => size.of([100, 4_000, 10_000]),
            Self::Memory => 0,
        }
    }

    pub(super) const fn connections(self) -> usize {
        match self {
            Self::Burst | Self::Latency | Self::Weak | Self::Strong | Self::Payload | Self::Cost => 64,
            Self::Batch | Self::Memory => 4,
            Self::Invoke => 32,
        }
    }
}
