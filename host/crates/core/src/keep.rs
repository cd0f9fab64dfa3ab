//! Time for which an ended task is kept with its output, its log and, if it is a dead letter, its input.

use serde::{Deserialize, Serialize};

use crate::{
    limits::{KEEP_FAILED_S, KEEP_RESULTS_S, KEEP_S_MAX},
    task::Task,
    time::Millis,
};

/// Times for which a task is kept after its end, chosen at its acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Time of a completed or cancelled task, in seconds.
    pub results_s: u64,
    /// Time of a dead letter, in seconds.
    pub failed_s: u64,
}

impl Keep {
    /// Times without a setting of the host or the tenant.
    pub const DEFAULT: Self = Self { results_s: KEEP_RESULTS_S, failed_s: KEEP_FAILED_S };
    /// Ceilings of settings.
    pub const MOST: Self = Self { results_s: KEEP_S_MAX, failed_s: KEEP_S_MAX };
}

impl Task {
    /// Returns the time from which the task is purged, or `None` if it has not ended.
    #[must_use]
    pub fn kept_until(&self) -> Option<Millis> {
        let kept_s = if self.is_dead_letter() { self.keep.failed_s } else { self.keep.results_s };
        self.ended().map(|ended| ended.at.plus(kept_s.saturating_mul(1_000)))
    }
}
