//! The machine-readable form of a measurement.

use std::fmt;

use fusebox_ui as ui;
use serde::{Deserialize, Serialize};

use super::{
    beside::Stored,
    guests::Function,
    plan::{BATCH, Case, Scenario, StoreKind},
};
use crate::cluster::Mode;

/// One measurement. Fields that do not apply are null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) scenario: Scenario,
    pub(super) function: Function,
    pub(super) mode: Mode,
    pub(super) store: StoreKind,
    pub(super) workers: u8,
    /// Slots of each worker.
    pub(super) slots: u32,
    pub(super) connections: usize,
    /// Tasks in a request.
    pub(super) batch: Option<usize>,
    pub(super) payload_bytes: usize,
    pub(super) tasks: u64,
    /// Requests per second of an open loop.
    pub(super) rate: Option<u32>,
    /// Stored data beside the tasks: its kind, its amount, and the number of functions called in turn.
    #[serde(default)]
    pub(super) beside: Option<Stored>,
    #[serde(default)]
    pub(super) stored: Option<u64>,
    #[serde(default)]
    pub(super) called: Option<u64>,
    /// Number of the repeat, counted from 1.
    pub(super) repeat: u32,
    /// Seconds from the first request to the last task's end, or to the last answer if answers wait for the end.
    pub(super) seconds: f64,
    /// Duration of the tasks' sleep alone, in scaling scenarios.
    #[serde(default)]
    pub(super) ideal_seconds: Option<f64>,
    /// Tasks per second.
    pub(super) per_second: f64,
    /// Seconds from the first request to the last answer, if tasks end later.
    pub(super) accept_seconds: Option<f64>,
    /// Percentiles of the answers' latencies, in milliseconds.
    pub(super) p50_ms: Option<f64>,
    pub(super) p90_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    pub(super) max_ms: Option<f64>,
}

impl Row {
    /// Creates the row of a case, without its figures.
    pub(super) fn of(case: &Case, repeat: u32) -> Self {
        Self {
            scenario: case.scenario,
            function: case.function,
            mode: case.setting.mode,
            store: case.setting.store,
            workers: case.setting.workers,
            slots: case.setting.slots,
            connections: case.connections,
            batch: (case.scenario == Scenario::Batch).then_some(BATCH),
            payload_bytes: case.payload,
            tasks: case.tasks,
            rate: case.rate,
            beside: case.beside.map(|beside| beside.stored),
            stored: case.beside.map(|beside| beside.count),
            called: case.beside.map(|beside| beside.called),
            repeat,
            seconds: 0.0,
            ideal_seconds: None,
            per_second: 0.0,
            accept_seconds: None,
            p50_ms: None,
            p90_ms: None,
            p99_ms: None,
            max_ms: None,
        }
    }
}

/// Identity of a measurement: figures of two runs are comparable if it is equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) scenario: Scenario,
    function: Function,
    mode: Mode,
    store: StoreKind,
    workers: u8,
    slots: u32,
    connections: usize,
    payload_bytes: usize,
    tasks: u64,
    rate: Option<u32>,
    beside: Option<Stored>,
    stored: Option<u64>,
    called: Option<u64>,
}

impl Row {
    /// Returns the identity of the measurement.
    pub(super) const fn kind(&self) -> Kind {
        Kind {
            scenario: self.scenario,
            function: self.function,
            mode: self.mode,
            store: self.store,
            workers: self.workers,
            slots: self.slots,
            connections: self.connections,
            payload_bytes: self.payload_bytes,
            tasks: self.tasks,
            rate: self.rate,
            beside: self.beside,
            stored: self.stored,
            called: self.called,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scenario, function, store) = (self.scenario.as_str(), self.function.as_str(), self.store.as_str());
        write!(f, "{scenario} {function} {store} {} {}x{}", self.mode.as_str(), self.workers, self.slots)?;
        write!(f, ", {} tasks", ui::count(self.tasks))?;
        if let Some(rate) = self.rate {
            write!(f, ", {rate}/s")?;
        }
        if self.payload_bytes > 0 {
            write!(f, ", {} bytes", self.payload_bytes)?;
        }
        if let (Some(beside), Some(stored), Some(called)) = (self.beside, self.stored, self.called) {
            write!(f, ", beside {} {}", ui::count(stored), beside.as_str())?;
            if called > 1 {
                write!(f, ", {} called", ui::count(called))?;
            }
        }
        Ok(())
    }
}

/// Sample rows of a run, two repeats of each.
#[cfg(test)]
pub(super) fn samples() -> Vec<Row> {
    use super::{axes::Axes, plan::Size};
    let mut rows = Vec::new();
    for (at, case) in (1..).zip(Axes::default().cases(Size::Full)) {
        for repeat in [1, 2] {
            let mut row = Row::of(&case, repeat);
            row.seconds = f64::from(at * repeat);
            // Rounded to few digits, so that the value survives writing and reading exactly.
            row.per_second = (1_000.0 / row.seconds * 16.0).round() / 16.0;
            row.p50_ms = Some(row.seconds);
            row.p99_ms = Some(row.seconds * 3.0);
            row.ideal_seconds =
                matches!(row.scenario, Scenario::Weak | Scenario::Strong).then_some(f64::from(at) * 0.75);
            rows.push(row);
        }
    }
    rows.extend(samples_of_cost());
    // The last kind has only one row.
    rows.pop();
    rows
}

/// Sample rows of cost, with little and much data.
#[cfg(test)]
fn samples_of_cost() -> Vec<Row> {
    use super::{axes::Axes, plan::Size};
    let mut rows = Vec::new();
    for setting in Axes::default().settings(Scenario::Cost, Size::Full) {
        for stored in [Stored::Waiting, Stored::Results, Stored::Functions] {
            for (at, beside) in (1..).zip(stored.levels(100_000)) {
                for repeat in [1, 2] {
                    let case = Case { beside: Some(beside), ..Case::of_cost(setting, 64, 1_000) };
                    let mut row = Row::of(&case, repeat);
                    row.seconds = 0.5 * f64::from(at);
                    row.per_second = 2_000.0 / f64::from(at);
                    rows.push(row);
                }
            }
        }
    }
    rows
}
