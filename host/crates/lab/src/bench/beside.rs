//! Data that a store holds beside the measured tasks: its kind and amount.

use clap::ValueEnum;
use fusebox_core::limits::QUEUED_TASKS_PER_TENANT_MAX;
use serde::{Deserialize, Serialize};

/// Number of functions called in turn.
pub(super) const CALLED: u64 = 10;
/// Waiting tasks on the side with little data.
const FEW: u64 = 100;
/// Room in the queue for the measured tasks.
const ROOM: u64 = 20_000;
/// Limit of tasks in one measurement.
pub(super) const TASKS_MAX: u64 = ROOM - 1_000;
/// Stored tasks for each registered function.
const TASKS_A_FUNCTION: u64 = 100;

/// Kind of stored data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Stored {
    /// Delayed tasks that are not due
    Waiting,
    /// Ended tasks
    Results,
    /// Functions, a hundredth of that number, each with its own module; ten are called, then all of them
    Functions,
}

/// Amount of stored data, and number of functions called in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beside {
    pub(super) stored: Stored,
    pub(super) count: u64,
    pub(super) called: u64,
}

impl Stored {
    /// Name on the command line and in results.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Results => "results",
            Self::Functions => "functions",
        }
    }

    /// Levels to compare: little and much data; for functions also much data with every function called.
    pub(super) fn levels(self, much: u64) -> Vec<Beside> {
        let of = |count, called| Beside { stored: self, count, called };
        match self {
            Self::Waiting => vec![of(FEW, 1), of(much.min(QUEUED_TASKS_PER_TENANT_MAX - ROOM), 1)],
            Self::Results => vec![of(0, 1), of(much, 1)],
            Self::Functions => {
                let many = (much / TASKS_A_FUNCTION).max(2 * CALLED);
                vec![of(CALLED, CALLED), of(many, CALLED), of(many, many)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_keeps_room_for_what_is_measured() {
        let levels = Stored::Waiting.levels(1_000_000);
        assert_eq!([levels[0].count, levels[1].count], [100, 980_000]);
        assert_eq!(Stored::Results.levels(7)[0].count, 0);
        assert_eq!(Stored::Functions.levels(0)[1].count, 20);
    }
}
