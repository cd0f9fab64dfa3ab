//! Remaining quota of one tenant: concurrent attempts, and the fuel that their runs reserve.
//!
//! A run reserves its whole fuel limit, since the consumption of a trapped run is unknown; the fuel left by a run that
//! ended normally is refunded. Fuel is drawn from the store's tank in small amounts. The reservation of an attempt is
//! known only once it is leased and is estimated by the largest of the previous ones. A larger reservation leaves a
//! debt, which is paid before anything else is leased.

use crate::{
    quota::{UNLIMITED, draught, refill_ms},
    time::Millis,
};

/// Quota of one tenant and its current use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    running_max: u64,
    /// Number of attempts leased or requested.
    running: u64,
    fuel: Option<FuelBalance>,
}

#[derive(Clone, Copy, Debug)]
struct FuelBalance {
    per_minute: u64,
    /// Fuel available; negative for a debt.
    fuel: i128,
    /// Estimated reservation of an attempt; 0 before the first.
    estimate: u64,
    /// True while a draw is pending.
    asking: bool,
    /// Earliest time of the next draw after one that returned too little.
    ask_at: Millis,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { running_max: UNLIMITED, running: 0, fuel: None }
    }
}

impl Allowance {
    /// Sets the quota; current use is kept.
    pub(super) fn set(&mut self, running_max: u64, fuel_per_minute: u64) {
        self.running_max = running_max;
        self.fuel = match (self.fuel, fuel_per_minute) {
            (_, UNLIMITED) => None,
            (Some(balance), per_minute) => Some(FuelBalance { per_minute, ..balance }),
            (None, per_minute) => {
                Some(FuelBalance { per_minute, fuel: 0, estimate: 0, asking: false, ask_at: Millis(0) })
            }
        };
    }

    /// Returns whether the tenant can be forgotten without loss.
    pub(super) const fn is_idle(&self) -> bool {
        self.running == 0
    }

    /// Returns the number of further attempts that may be leased.
    pub(super) fn room(&self) -> u64 {
        let by_number = self.running_max.saturating_sub(self.running);
        self.fuel.map_or(by_number, |balance| by_number.min(balance.room()))
    }

    /// Adds requested attempts.
    pub(super) const fn take(&mut self, count: u64) {
        self.running = self.running.saturating_add(count);
    }

    /// Removes attempts that ended or were not leased.
    pub(super) const fn free(&mut self, count: u64) {
        self.running = self.running.saturating_sub(count);
    }

    /// Reserves fuel for leased attempts; `most` is the largest single reservation.
    pub(super) fn reserve(&mut self, fuel: u64, most: u64) {
        if let Some(balance) = &mut self.fuel {
            balance.fuel -= i128::from(fuel);
            balance.estimate = most.max(balance.estimate - balance.estimate / 8);
        }
    }

    /// Refunds fuel left by a normally ended run, and returns the surplus to give back to the tank.
    pub(super) fn refund(&mut self, fuel: u64) -> u64 {
        let Some(balance) = &mut self.fuel else { return 0 };
        balance.fuel += i128::from(fuel);
        let part = i128::from(draught(balance.per_minute, balance.estimate));
        if balance.fuel <= 2 * part {
            return 0;
        }
        let surplus = u64::try_from(balance.fuel - part).unwrap_or(u64::MAX);
        balance.fuel -= i128::from(surplus);
        surplus
    }

    /// Returns the time from which fuel should be drawn, if there is too little for an attempt.
    pub(super) fn dry_since(&self) -> Option<Millis> {
        self.fuel.filter(|balance| balance.room() == 0 && !balance.asking).map(|balance| balance.ask_at)
    }

    /// Returns the amount to draw, and marks the draw as pending.
    pub(super) fn ask(&mut self) -> u64 {
        let Some(balance) = &mut self.fuel else { return 0 };
        balance.asking = true;
        draught(balance.per_minute, balance.missing())
    }

    /// Adds fuel from a draw.
    pub(super) fn drawn(&mut self, fuel: u64, now: Millis) {
        if let Some(balance) = &mut self.fuel {
            balance.asking = false;
            balance.fuel += i128::from(fuel);
            balance.ask_at = now.plus(refill_ms(balance.per_minute, balance.missing()));
        }
    }
}

impl FuelBalance {
    fn room(&self) -> u64 {
        match u64::try_from(self.fuel) {
            // Admits a single attempt, which reveals the size of reservations.
            Ok(fuel) if self.estimate == 0 => fuel.min(1),
            Ok(fuel) => fuel / self.estimate,
            Err(_) => 0,
        }
    }

    /// Returns the fuel missing for one attempt.
    fn missing(&self) -> u64 {
        let missing = i128::from(self.estimate.max(1)) - self.fuel;
        u64::try_from(missing.max(0)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PER_MINUTE: u64 = 1_600;

    fn limited() -> Allowance {
        let mut allowance = Allowance::default();
        allowance.set(5, PER_MINUTE);
        allowance
    }

    #[test]
    fn attempts_are_counted_until_they_are_over() {
        let mut allowance = Allowance::default();
        assert_eq!(allowance.room(), UNLIMITED);
        allowance.set(5, UNLIMITED);
        allowance.take(5);
        assert_eq!((allowance.room(), allowance.is_idle()), (0, false));
        allowance.free(2);
        assert_eq!(allowance.room(), 2);
        allowance.set(1, UNLIMITED);
        assert_eq!(allowance.room(), 0, "what is under way is not stopped");
    }

    #[test]
    fn the_first_attempt_tells_what_the_next_ones_reserve() {
        let mut allowance = limited();
        assert_eq!((allowance.room(), allowance.dry_since()), (0, Some(Millis(0))));
        assert_eq!(allowance.ask(), 100);
        assert_eq!(allowance.dry_since(), None, "it is being asked");
        allowance.drawn(100, Millis(7));
        assert_eq!(allowance.room(), 1);
        allowance.reserve(40, 40);
        assert_eq!((allowance.room(), allowance.dry_since()), (1, None));
        allowance.reserve(40, 40);
        assert_eq!(allowance.room(), 0);
        assert_eq!(allowance.dry_since(), Some(Millis(107)));
        assert_eq!(allowance.ask(), 100);
    }

    #[test]
    fn a_debt_is_paid_before_anything_is_leased() {
        let mut allowance = limited();
        allowance.drawn(100, Millis(0));
        allowance.reserve(900, 900);
        allowance.drawn(100, Millis(0));
        assert_eq!(allowance.room(), 0);
        assert_eq!(allowance.ask(), 1_600, "700 of debt and 900 for the next");
        allowance.drawn(1_600, Millis(0));
        assert_eq!(allowance.room(), 1);
    }

    #[test]
    fn what_normal_runs_leave_comes_back_and_is_not_hoarded() {
        let mut allowance = limited();
        allowance.drawn(200, Millis(0));
        allowance.reserve(100, 100);
        assert_eq!((allowance.refund(90), allowance.room()), (0, 1));
        assert_eq!(allowance.refund(90), 180, "more than two parts: one is kept");
        assert_eq!(allowance.room(), 1);
        let mut free = Allowance::default();
        assert_eq!(free.refund(90), 0);
    }
}
