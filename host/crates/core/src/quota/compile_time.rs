//! Compile time of a tenant, per hour.

use crate::{limits, time::Millis};

/// Milliseconds of an hour.
const MS_PER_HOUR: u64 = 3_600_000;

/// Compile time of one tenant. There is one budget per store, so the quota does not multiply with the number of nodes.
/// Holds one hour's worth. A compilation starts while anything is left and is charged for what it used, so a budget can
/// be overdrawn by what the limits of one compilation allow, and is then empty for longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileBudget {
    /// Milliseconds left at `at`; negative if overdrawn.
    pub left_ms: i64,
    /// Time of the last update.
    pub at: Millis,
}

impl CompileBudget {
    /// Returns a full budget.
    #[must_use]
    pub const fn full(per_hour_ms: u64, now: Millis) -> Self {
        Self { left_ms: whole(per_hour_ms), at: now }
    }

    /// Charges milliseconds and returns those that are left.
    pub fn charge(&mut self, per_hour_ms: u64, used_ms: u64, now: Millis) -> i64 {
        let most = whole(per_hour_ms);
        // A whole number of hours is full whatever the rate; this also keeps the product small.
        let elapsed = u128::from(now.since(self.at).min(2 * MS_PER_HOUR));
        let more = elapsed * u128::from(per_hour_ms.min(limits::QUOTA_MAX)) / u128::from(MS_PER_HOUR);
        // Time that has not yet produced a millisecond is carried over.
        if more == 0 && used_ms == 0 {
            return self.left_ms.min(most);
        }
        let more = i64::try_from(more).unwrap_or(i64::MAX);
        self.left_ms = self.left_ms.saturating_add(more).min(most).saturating_sub(whole(used_ms)).max(-most);
        self.at = now;
        self.left_ms
    }
}

const fn whole(ms: u64) -> i64 {
    let ms = if ms < limits::QUOTA_MAX { ms } else { limits::QUOTA_MAX };
    ms.cast_signed()
}

/// Returns the milliseconds after which an empty compile budget has a second, at most an hour.
#[must_use]
pub fn compile_wait_ms(per_hour_ms: u64, left_ms: i64) -> u64 {
    let missing = u128::from(left_ms.saturating_sub(1_000).min(0).unsigned_abs());
    let wait = missing * u128::from(MS_PER_HOUR) / u128::from(per_hour_ms.max(1));
    u64::try_from(wait).unwrap_or(u64::MAX).min(MS_PER_HOUR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_refills_however_often_it_is_looked_at() {
        let mut budget = CompileBudget::full(600_000, Millis(0));
        assert_eq!(budget.charge(600_000, 700_000, Millis(0)), -100_000);
        assert_eq!(compile_wait_ms(600_000, -100_000), 606_000);
        for ms in 0..=600_000 {
            budget.charge(600_000, 0, Millis(ms));
        }
        assert_eq!(budget.charge(600_000, 0, Millis(606_000)), 1_000);
        assert_eq!(budget.charge(600_000, 0, Millis(u64::MAX)), 600_000);
    }

    #[test]
    fn a_budget_without_a_rate_is_empty_and_one_without_a_bound_is_not() {
        assert_eq!(CompileBudget::full(0, Millis(0)).charge(0, 0, Millis(1 << 40)), 0);
        assert_eq!(compile_wait_ms(0, 0), MS_PER_HOUR);
        assert!(CompileBudget::full(u64::MAX, Millis(0)).charge(u64::MAX, 1 << 40, Millis(1)) > 0);
    }
}
