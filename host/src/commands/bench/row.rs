//! What was measured, as programs read it.

use serde::{Deserialize, Serialize};

use super::{
    guests::Function,
    plan::{BATCH, Case, Scenario, StoreKind},
};
use crate::commands::cluster::Mode;

/// One measurement. What does not apply is null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) scenario: Scenario,
    pub(super) function: Function,
    pub(super) mode: Mode,
    pub(super) store: StoreKind,
    pub(super) workers: u8,
    /// Of each worker.
    pub(super) slots: u32,
    pub(super) connections: usize,
    /// Tasks of a request.
    pub(super) batch: Option<usize>,
    pub(super) payload_bytes: usize,
    pub(super) tasks: u64,
    /// Requests a second, of an open loop.
    pub(super) rate: Option<u32>,
    /// Counted from 1.
    pub(super) repeat: u32,
    /// From the first request to the last task's end, or to the last answer where answers wait for the end.
    pub(super) seconds: f64,
    /// Tasks over seconds.
    pub(super) per_second: f64,
    /// From the first request to the last answer, where tasks end after that.
    pub(super) accept_seconds: Option<f64>,
    /// Of the answers to requests, in milliseconds.
    pub(super) p50_ms: Option<f64>,
    pub(super) p90_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    pub(super) max_ms: Option<f64>,
}

impl Row {
    /// The row of a case, without its figures.
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
            repeat,
            seconds: 0.0,
            per_second: 0.0,
            accept_seconds: None,
            p50_ms: None,
            p90_ms: None,
            p99_ms: None,
            max_ms: None,
        }
    }
}
