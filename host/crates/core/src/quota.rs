//! Tenant quotas: bounds on stored data, retention of ended tasks, and rates of requests and fuel. Pure: time is an argument.
//!
//! Rates are token buckets rather than fixed windows: a burst is allowed once, and the wait after a refusal is the
//! shortest that can be computed.

use serde::{Deserialize, Serialize};

use crate::{keep::Keep, limits, name::TenantId, time::Millis};

mod compile_time;

pub use self::compile_time::{CompileBudget, compile_wait_ms};

/// Value of a quota without a bound.
pub const UNLIMITED: u64 = u64::MAX;
const MS_PER_MINUTE: u64 = 60_000;

/// One value for each quota of a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, bound(serialize = "T: Serialize + Setting", deserialize = "T: Deserialize<'de> + Default"))]
pub struct PerQuota<T> {
    /// Maximum number of function versions.
    #[serde(skip_serializing_if = "Setting::is_unset")]
    pub functions: T,
    /// Maximum number of bytes stored: inputs, outputs and logs of tasks, values, settings, and modules.
    #[serde(skip_serializing_if = "Setting::is_unset")]
    pub stored_bytes: T,
    /// Maximum number of queued tasks.
    #[serde(skip_serializing_if = "Setting::is_unset")]
    pub queued_tasks: T,
    /// Maximum number of leased attempts at one dispatcher, and of sync invokes at one REST node.
    #[serde(skip_serializing_if = "Setting::is_unset")]
    pub running_tasks: T,
    /// Fuel units per minute that runs may reserve.
    #[serde(skip_serializing_if = "Setting::is_unset")]
    pub fuel_per_minute: T,
    /// Requests per second to one REST node.
    #[serde(skip_serializing_if = "Setting::is_unset")]
    pub requests_per_second: T,
    /// Seconds per hour that the compilation of deploys may use.
    #[serde(skip_serializing_if = "Setting::is_unset")]
    pub compile_s_per_hour: T,
    /// Retention of completed and cancelled tasks, in seconds.
    #[serde(skip_serializing_if = "Setting::is_unset")]
    pub keep_results_s: T,
    /// Retention of dead letters, in seconds.
    #[serde(skip_serializing_if = "Setting::is_unset")]
    pub keep_failed_s: T,
}

/// Effective quotas of one tenant.
pub type Quotas = PerQuota<u64>;

/// Quotas set by an operator for a tenant; unset ones have their defaults.
pub type QuotaSettings = PerQuota<Option<u64>>;

/// Value that is left out of a record while it is unset.
pub trait Setting {
    /// Returns whether it is unset.
    fn is_unset(&self) -> bool;
}

impl Setting for Option<u64> {
    fn is_unset(&self) -> bool {
        self.is_none()
    }
}

impl<T> PerQuota<T> {
    /// Returns the values of `change`.
    pub fn map<U>(self, change: impl Fn(T) -> U) -> PerQuota<U> {
        PerQuota {
            functions: change(self.functions),
            stored_bytes: change(self.stored_bytes),
            queued_tasks: change(self.queued_tasks),
            running_tasks: change(self.running_tasks),
            fuel_per_minute: change(self.fuel_per_minute),
            requests_per_second: change(self.requests_per_second),
            compile_s_per_hour: change(self.compile_s_per_hour),
            keep_results_s: change(self.keep_results_s),
            keep_failed_s: change(self.keep_failed_s),
        }
    }

    /// Pairs each value with that of `other`.
    pub fn zip<U>(self, other: PerQuota<U>) -> PerQuota<(T, U)> {
        PerQuota {
            functions: (self.functions, other.functions),
            stored_bytes: (self.stored_bytes, other.stored_bytes),
            queued_tasks: (self.queued_tasks, other.queued_tasks),
            running_tasks: (self.running_tasks, other.running_tasks),
            fuel_per_minute: (self.fuel_per_minute, other.fuel_per_minute),
            requests_per_second: (self.requests_per_second, other.requests_per_second),
            compile_s_per_hour: (self.compile_s_per_hour, other.compile_s_per_hour),
            keep_results_s: (self.keep_results_s, other.keep_results_s),
            keep_failed_s: (self.keep_failed_s, other.keep_failed_s),
        }
    }

    /// Returns the values with the names of their quotas.
    pub fn named(self) -> [(&'static str, T); 9] {
        [
            ("functions", self.functions),
            ("stored_bytes", self.stored_bytes),
            ("queued_tasks", self.queued_tasks),
            ("running_tasks", self.running_tasks),
            ("fuel_per_minute", self.fuel_per_minute),
            ("requests_per_second", self.requests_per_second),
            ("compile_s_per_hour", self.compile_s_per_hour),
            ("keep_results_s", self.keep_results_s),
            ("keep_failed_s", self.keep_failed_s),
        ]
    }
}

impl Quotas {
    /// Quotas of a tenant without settings, except that of stored bytes, which depends on the store.
    pub const DEFAULT: Self = Self {
        functions: limits::FUNCTIONS_PER_TENANT,
        stored_bytes: UNLIMITED,
        queued_tasks: limits::QUEUED_TASKS_PER_TENANT,
        running_tasks: limits::RUNNING_TASKS_PER_TENANT,
        fuel_per_minute: limits::FUEL_PER_MINUTE,
        requests_per_second: limits::REQUESTS_PER_SECOND,
        compile_s_per_hour: limits::COMPILE_S_PER_HOUR,
        keep_results_s: limits::KEEP_RESULTS_S,
        keep_failed_s: limits::KEEP_FAILED_S,
    };
    /// Quotas of the default tenant, which is the operator's own, or everyone's on a host without keys. Stored data is
    /// bounded by the store, of which half stays free for others; rates are the operator's choice.
    pub const OPERATOR: Self = Self {
        functions: limits::FUNCTION_VERSIONS_PER_TENANT_MAX,
        stored_bytes: UNLIMITED,
        queued_tasks: limits::QUEUED_TASKS_PER_TENANT_MAX,
        running_tasks: UNLIMITED,
        fuel_per_minute: UNLIMITED,
        requests_per_second: UNLIMITED,
        compile_s_per_hour: UNLIMITED,
        keep_results_s: limits::KEEP_RESULTS_S,
        keep_failed_s: limits::KEEP_FAILED_S,
    };

    /// Floors of settings.
    pub const FLOOR: Self = Self {
        functions: 0,
        stored_bytes: 0,
        queued_tasks: 0,
        running_tasks: 0,
        fuel_per_minute: 0,
        requests_per_second: 0,
        compile_s_per_hour: 0,
        keep_results_s: limits::KEEP_S_MIN,
        keep_failed_s: limits::KEEP_S_MIN,
    };

    /// Ceilings of settings. Quotas without a specific ceiling end where numbers lose precision.
    pub const CEILING: Self = Self {
        functions: limits::FUNCTION_VERSIONS_PER_TENANT_MAX,
        stored_bytes: limits::QUOTA_MAX,
        queued_tasks: limits::QUEUED_TASKS_PER_TENANT_MAX,
        running_tasks: limits::QUOTA_MAX,
        fuel_per_minute: limits::QUOTA_MAX,
        requests_per_second: limits::QUOTA_MAX,
        compile_s_per_hour: limits::COMPILE_S_PER_HOUR_MAX,
        keep_results_s: limits::KEEP_S_MAX,
        keep_failed_s: limits::KEEP_S_MAX,
    };

    /// Returns the quotas of a tenant with the given settings, in a store of this size in bytes, on a host that keeps ended
    /// tasks for `keep`. Values recorded under an earlier, higher ceiling, or for a larger store, are reduced to the
    /// current one.
    #[must_use]
    pub fn of(tenant: &TenantId, settings: &QuotaSettings, room_bytes: u64, keep: Keep) -> Self {
        let stored_bytes_max = room_bytes / limits::STORED_BYTES_PART_MAX;
        let unset = match *tenant == TenantId::default_tenant() {
            true => Self { stored_bytes: stored_bytes_max, ..Self::OPERATOR },
            false => Self { stored_bytes: room_bytes / limits::STORED_BYTES_PART, ..Self::DEFAULT },
        };
        let ceiling = Self { stored_bytes: stored_bytes_max.min(Self::CEILING.stored_bytes), ..Self::CEILING };
        let bounds = ceiling.keeping(keep).zip(unset.keeping(keep));
        settings.zip(bounds).map(|(set, (ceiling, unset))| set.map_or(unset, |set| set.min(ceiling)))
    }
}

impl Quotas {
    /// Returns the retention of the tenant's tasks.
    #[must_use]
    pub const fn keep(&self) -> Keep {
        Keep { results_s: self.keep_results_s, failed_s: self.keep_failed_s }
    }

    const fn keeping(self, keep: Keep) -> Self {
        Self { keep_results_s: keep.results_s, keep_failed_s: keep.failed_s, ..self }
    }
}

impl QuotaSettings {
    /// Settings with nothing set.
    pub const NONE: Self = Self {
        functions: None,
        stored_bytes: None,
        queued_tasks: None,
        running_tasks: None,
        fuel_per_minute: None,
        requests_per_second: None,
        compile_s_per_hour: None,
        keep_results_s: None,
        keep_failed_s: None,
    };

    /// Returns whether nothing is set.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Checks each setting against its bounds; `keep` is the ceiling of the retention. Values out of bounds are refused
    /// rather than changed, so that the displayed settings are the effective ones.
    ///
    /// # Errors
    /// Returns the first setting that is out of its bounds.
    pub fn check(&self, keep: Keep) -> Result<(), QuotaError> {
        let bounds = Quotas::FLOOR.zip(Quotas::CEILING.keeping(keep));
        let refused = self.zip(bounds).named().into_iter().find_map(|(name, (set, (min, max)))| match set {
            Some(asked) if asked < min || asked > max => Some(QuotaError { name, asked, min, max }),
            _ => None,
        });
        refused.map_or(Ok(()), Err)
    }
}

/// Error of a setting that is out of its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} must be at {} {}, and is {asked}",
    if .asked < .min { "least" } else { "most" },
    if .asked < .min { .min } else { .max }
)]
pub struct QuotaError {
    /// Field name of the setting.
    pub name: &'static str,
    /// Requested value.
    pub asked: u64,
    /// Floor.
    pub min: u64,
    /// Ceiling.
    pub max: u64,
}

/// Token bucket of requests. Holds one second's worth, so that a page with many simultaneous requests is admitted.
#[derive(Clone, Copy, Debug)]
pub struct RequestBucket {
    /// Tokens in thousandths, so that every millisecond adds a whole number.
    milli: u64,
    at: Millis,
}

/// Decision of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The request is admitted.
    Admitted {
        /// Whole tokens left.
        left: u64,
    },
    /// The request is refused.
    Refused {
        /// Milliseconds until the next request can be admitted.
        wait_ms: u64,
    },
}

impl RequestBucket {
    /// Returns a full bucket.
    #[must_use]
    pub const fn full(per_second: u64, now: Millis) -> Self {
        Self { milli: per_second.saturating_mul(1_000), at: now }
    }

    /// Admits a request if a token is available.
    pub fn admit(&mut self, per_second: u64, now: Millis) -> Admission {
        let most = per_second.saturating_mul(1_000);
        let more = per_second.saturating_mul(now.since(self.at));
        self.milli = self.milli.saturating_add(more).min(most);
        self.at = now;
        match self.milli.checked_sub(1_000) {
            Some(left) => {
                self.milli = left;
                Admission::Admitted { left: left / 1_000 }
            }
            None if per_second == 0 => Admission::Refused { wait_ms: MS_PER_MINUTE },
            None => Admission::Refused { wait_ms: (1_000 - self.milli).div_ceil(per_second) },
        }
    }

    /// Returns whether the bucket is full at `now`; forgetting a full bucket loses nothing.
    #[must_use]
    pub const fn is_full(&self, per_second: u64, now: Millis) -> bool {
        let more = per_second.saturating_mul(now.since(self.at));
        self.milli.saturating_add(more) >= per_second.saturating_mul(1_000)
    }
}

/// Fuel of one tenant, from which dispatchers and REST nodes draw. There is one tank per store, so the quota does not
/// multiply with their number. Holds one minute's worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuelTank {
    /// Fuel units in the tank at `at`.
    pub fuel: u64,
    /// Time of the last update.
    pub at: Millis,
}

impl FuelTank {
    /// Returns a full tank.
    #[must_use]
    pub const fn full(per_minute: u64, now: Millis) -> Self {
        Self { fuel: per_minute, at: now }
    }

    /// Puts back fuel that was drawn but not used.
    pub fn give_back(&mut self, per_minute: u64, fuel: u64, now: Millis) {
        self.draw(per_minute, 0, now);
        self.fuel = self.fuel.saturating_add(fuel).min(per_minute);
    }

    /// Draws up to `want` units and returns the amount drawn.
    pub fn draw(&mut self, per_minute: u64, want: u64, now: Millis) -> u64 {
        let (rate, minute) = (u128::from(per_minute), u128::from(MS_PER_MINUTE));
        let elapsed = now.since(self.at);
        let more = (rate * u128::from(elapsed) / minute).min(rate);
        self.fuel = self.fuel.saturating_add(u64::try_from(more).unwrap_or(u64::MAX)).min(per_minute);
        // Time that has not yet produced a whole unit is carried over, so that frequent draws lose nothing.
        let counted = u64::try_from((more * minute).div_ceil(rate.max(1))).unwrap_or(u64::MAX);
        let is_full = self.fuel == per_minute || now < self.at;
        self.at = if is_full { now } else { self.at.plus(counted.min(elapsed)) };
        let drawn = want.min(self.fuel);
        self.fuel -= drawn;
        drawn
    }
}

/// Returns the amount to draw if `need` is missing: enough to make draws rare, little enough to leave fuel for others.
#[must_use]
pub fn draught(per_minute: u64, need: u64) -> u64 {
    need.max(per_minute / limits::FUEL_DRAUGHTS_PER_MINUTE)
}

/// Returns the milliseconds to wait before drawing again from a tank that returned too little.
#[must_use]
pub fn refill_ms(per_minute: u64, missing: u64) -> u64 {
    if per_minute == 0 {
        return MS_PER_MINUTE;
    }
    let missing = missing.min(per_minute / limits::FUEL_DRAUGHTS_PER_MINUTE);
    let ms = u128::from(missing) * u128::from(MS_PER_MINUTE) / u128::from(per_minute);
    u64::try_from(ms).unwrap_or(u64::MAX).clamp(limits::FUEL_ASK_MS_MIN, MS_PER_MINUTE)
}

#[cfg(test)]
mod tests;
