//! Reasons for which queued tasks wait. Pure: what is known of workers, quotas and queues is an argument.

use alloc::{format, string::String};

use serde::{Deserialize, Serialize};

use crate::{limits::FUEL_ASK_MS_MIN, quota::UNLIMITED, time::Millis};

/// Known facts about one tenant's queue and the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Ready tasks of the tenant.
    pub ready: u64,
    /// Delayed tasks of the tenant.
    pub delayed: u64,
    /// Running attempts of the tenant.
    pub running: u64,
    /// The tenant's bound of running attempts.
    pub running_max: u64,
    /// Fuel units that the tenant gets in a minute; [`UNLIMITED`] without a bound.
    pub fuel_per_minute: u64,
    /// Fuel units in its tank.
    pub fuel_left: u64,
    /// Dispatchers that use the store.
    pub dispatchers: usize,
    /// Slots of all workers that take attempts.
    pub slots: u64,
    /// Attempts that these workers hold.
    pub held: u64,
    /// Tenants with ready tasks, this one included.
    pub tenants_ready: u64,
}

/// Reason for which a task waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Waits {
    /// It is delayed until a time.
    Delayed(Option<Millis>),
    /// No worker takes attempts.
    NoWorker,
    /// The tenant has as many running attempts as it may.
    RunningBound,
    /// The tenant's tank lacks the fuel for it until a time.
    FuelTankEmpty(Millis),
    /// Workers are busy, and tenants take turns.
    FairShare,
    /// Nothing is known to hold it up.
    Starting,
}

impl Waits {
    /// Codes of all reasons.
    pub const CODES: [&'static str; 6] =
        ["delayed", "no-worker", "running-bound", "fuel-tank-empty", "fair-share", "starting"];

    /// Returns the reason for which a tenant's first ready task waits that may use `fuel` units.
    #[must_use]
    pub fn of_ready(facts: &Facts, fuel: u64, now: Millis) -> Self {
        if facts.slots == 0 {
            return Self::NoWorker;
        }
        if facts.running >= facts.running_max {
            return Self::RunningBound;
        }
        let needed = fuel.min(facts.fuel_per_minute);
        if facts.fuel_per_minute != UNLIMITED && facts.fuel_left < needed {
            return Self::FuelTankEmpty(now.plus(filled_in_ms(facts.fuel_per_minute, needed - facts.fuel_left)));
        }
        if facts.held >= facts.slots { Self::FairShare } else { Self::Starting }
    }

    /// Returns the reason for which a tenant's tasks wait that may use `fuel` units each; `None` if it has none that wait.
    #[must_use]
    pub fn of_tenant(facts: &Facts, fuel: u64, now: Millis) -> Option<Self> {
        match (facts.ready, facts.delayed) {
            (0, 0) => None,
            (0, _) => Some(Self::Delayed(None)),
            _ => Some(Self::of_ready(facts, fuel, now)),
        }
    }

    /// Returns the stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        let [delayed, no_worker, running_bound, fuel_tank_empty, fair_share, starting] = Self::CODES;
        match self {
            Self::Delayed(_) => delayed,
            Self::NoWorker => no_worker,
            Self::RunningBound => running_bound,
            Self::FuelTankEmpty(_) => fuel_tank_empty,
            Self::FairShare => fair_share,
            Self::Starting => starting,
        }
    }

    /// Returns the time until which it waits at least, if that is known.
    #[must_use]
    pub const fn until(self) -> Option<Millis> {
        match self {
            Self::Delayed(until) => until,
            Self::FuelTankEmpty(until) => Some(until),
            Self::NoWorker | Self::RunningBound | Self::FairShare | Self::Starting => None,
        }
    }

    /// Returns a sentence that says why, and what to do where something can be done.
    #[must_use]
    pub fn sentence(self, facts: &Facts) -> String {
        let Facts { ready, running, running_max, fuel_per_minute, dispatchers, slots, tenants_ready, .. } = *facts;
        match self {
            Self::Delayed(_) => "it starts after its delay".into(),
            Self::NoWorker if dispatchers == 0 => "no dispatcher is running: start one with workers".into(),
            Self::NoWorker => "no worker takes tasks: start one, or wait for one that is not draining".into(),
            Self::RunningBound => {
                format!("{running} tasks of the tenant are running, and its quota allows {running_max} at a time")
            }
            Self::FuelTankEmpty(_) => {
                format!("the tenant's tank lacks the fuel for it, and gets {fuel_per_minute} units a minute")
            }
            Self::FairShare => format!(
                "all {slots} slots are in use, and {tenants_ready} tenants take turns; {ready} tasks of this one are ready"
            ),
            Self::Starting => "it is ready, and a worker takes it in a moment".into(),
        }
    }
}

/// Returns the milliseconds in which a tank gets this amount of fuel.
fn filled_in_ms(per_minute: u64, missing: u64) -> u64 {
    const MINUTE_MS: u128 = 60_000;
    let ms = u128::from(missing) * MINUTE_MS / u128::from(per_minute.max(1));
    u64::try_from(ms).unwrap_or(u64::MAX).max(FUEL_ASK_MS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_000_000);

    fn facts() -> Facts {
        Facts {
            ready: 5,
            running: 1,
            running_max: 2,
            fuel_per_minute: UNLIMITED,
            dispatchers: 1,
            slots: 4,
            held: 4,
            tenants_ready: 3,
            ..Facts::default()
        }
    }

    #[test]
    fn each_reason_has_its_code_and_its_sentence() {
        for (facts, waits, words) in [
            (facts(), Waits::FairShare, "all 4 slots are in use, and 3 tenants take turns; 5 tasks"),
            (Facts { held: 3, ..facts() }, Waits::Starting, "in a moment"),
            (Facts { running: 2, ..facts() }, Waits::RunningBound, "2 tasks of the tenant are running"),
            (Facts { slots: 0, ..facts() }, Waits::NoWorker, "no worker takes tasks"),
            (Facts { slots: 0, dispatchers: 0, ..facts() }, Waits::NoWorker, "no dispatcher"),
            (
                Facts { fuel_per_minute: 600, fuel_left: 40, ..facts() },
                Waits::FuelTankEmpty(NOW.plus(6_000)),
                "600 units a minute",
            ),
            (Facts { fuel_per_minute: 600, fuel_left: 100, ..facts() }, Waits::FairShare, "take turns"),
        ] {
            assert_eq!(Waits::of_tenant(&facts, 100, NOW), Some(waits));
            assert!(waits.sentence(&facts).contains(words), "{}", waits.sentence(&facts));
            assert!(Waits::CODES.contains(&waits.code()));
        }
        // A task that needs more than a minute's worth waits for a full tank.
        let poor = Facts { fuel_per_minute: 600, fuel_left: 0, ..facts() };
        assert_eq!(Waits::of_ready(&poor, 6_000, NOW).until(), Some(NOW.plus(60_000)));
    }

    #[test]
    fn a_tenant_with_delayed_tasks_alone_waits_for_them_and_one_without_tasks_for_nothing() {
        let delayed = Facts { ready: 0, delayed: 1, ..facts() };
        assert_eq!(Waits::of_tenant(&delayed, 0, NOW), Some(Waits::Delayed(None)));
        assert_eq!(Waits::of_tenant(&Facts { delayed: 0, ..delayed }, 0, NOW), None);
        assert_eq!(Waits::Delayed(Some(NOW)).until(), Some(NOW));
        assert_eq!(Waits::Delayed(None).code(), "delayed");
    }
}
