//! Expands the command line's axes into an ordered list of cases.

use clap::ValueEnum as _;

use super::{
    beside::{self, Beside, Stored},
    guests::Function,
    plan::{Case, Scenario, Setting, Size, StoreKind},
};
use crate::cluster::Mode;

/// Limit of a case's total input, in bytes; larger ones would measure the machine's memory.
const INPUTS_BYTES_MAX: u64 = 128 << 20;
/// Seconds of requests at a fixed rate, by size of the run.
const OPEN_SECONDS: [u64; 3] = [1, 3, 10];
/// Sizes of payloads, in bytes, if none are given.
const PAYLOADS: [usize; 3] = [128, 4 << 10, 64 << 10];

/// Axes from the command line; an empty one takes the default of the run's size.
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
    pub(super) beside: Vec<Stored>,
    pub(super) much: Option<u64>,
}

impl Axes {
    /// Returns the scenarios to measure.
    pub(super) fn scenarios(&self, size: Size) -> &[Scenario] {
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
        or(&self.scenarios, all)
    }

    /// True if this scenario is measured. A server that is already running is not filled with data.
    fn has(&self, scenario: Scenario, size: Size) -> bool {
        self.scenarios(size).contains(&scenario) && self.stores != [StoreKind::Server]
    }

    /// Number of stored tasks on the side with much data.
    pub(super) fn much(&self, size: Size) -> u64 {
        self.much.unwrap_or_else(|| size.of([1_000, 50_000, 1_000_000]))
    }

    /// Cases whose cost of a task is compared, with the levels of stored data; each takes two deployments.
    pub(super) fn comparisons(&self, size: Size) -> Vec<(Case, Vec<Beside>)> {
        if !self.has(Scenario::Cost, size) {
            return Vec::new();
        }
        let connections = self.connections.unwrap_or_else(|| Scenario::Cost.connections());
        let tasks = self.tasks.unwrap_or_else(|| Scenario::Cost.tasks(size)).min(beside::TASKS_MAX);
        let mut comparisons = Vec::new();
        for setting in self.settings(Scenario::Cost, size) {
            for stored in or(&self.beside, Stored::value_variants()) {
                comparisons.push((Case::of_cost(setting, connections, tasks), stored.levels(self.much(size))));
            }
        }
        comparisons
    }

    /// Settings whose memory is measured: deployments without workers.
    pub(super) fn memories(&self, size: Size) -> Vec<Setting> {
        match self.has(Scenario::Memory, size) {
            true => Self { stores: self.stores.clone(), ..Self::default() }.settings(Scenario::Memory, size),
            false => Vec::new(),
        }
    }

    /// Returns the cases, those of one setting in succession.
    pub(super) fn cases(&self, size: Size) -> Vec<Case> {
        let mut cases: Vec<Case> = Vec::new();
        for &scenario in self.scenarios(size).iter().filter(|scenario| scenario.is_a_case()) {
            for setting in self.settings(scenario, size) {
                let of_it = self.of_setting(scenario, setting, size);
                // Placed after the others of its setting, so that each setting is started once.
                let at = cases.iter().rposition(|case| case.setting == setting).map_or(cases.len(), |last| last + 1);
                cases.splice(at..at, of_it);
            }
        }
        cases
    }

    pub(super) fn settings(&self, scenario: Scenario, size: Size) -> Vec<Setting> {
        // A sync invoke uses neither store nor workers.
        let is_up = scenario == Scenario::Invoke;
        let modes: &[Mode] = match (scenario, size) {
            (Scenario::Invoke, _) => &[Mode::Local],
            (Scenario::Payload, Size::Smoke | Size::Quick) | (Scenario::Cost | Scenario::Memory, _) => &[Mode::Push],
            _ => &[Mode::Local, Mode::Push, Mode::Pull],
        };
        let stores: &[StoreKind] = match (scenario, size) {
            (Scenario::Invoke, _) => &[StoreKind::Embedded],
            (Scenario::Burst | Scenario::Batch, Size::Full) | (Scenario::Cost | Scenario::Memory, _) => {
                &[StoreKind::Redis, StoreKind::Embedded]
            }
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
                let tasks = tasks.min(fitting);
                let case = Case { scenario, function, setting, connections, payload, tasks, rate: None, beside: None };
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

/// Returns `given`, or `otherwise` if it is empty.
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
    fn cost_is_compared_in_both_stores_and_memory_measured_where_nobody_works() {
        let axes = Axes { scenarios: vec![Scenario::Cost, Scenario::Memory], ..Axes::default() };
        assert_eq!(axes.cases(Size::Quick), []);
        assert_eq!(axes.comparisons(Size::Quick).len(), 2 * Stored::value_variants().len());
        let settings = axes.memories(Size::Quick);
        assert_eq!(settings.len(), 2);
        assert!(settings.iter().all(|setting| setting.workers == 0 && setting.mode == Mode::Push), "{settings:?}");
        assert!(
            Axes::default().comparisons(Size::Quick).is_empty() && Axes::default().memories(Size::Quick).is_empty()
        );
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
