//! Slot time charged to a tenant. Active runs count up to the current time.

use crate::time::Millis;

/// Initial estimate of a run's cost in microseconds; also the minimum charge of a run, since leasing and recording cost
/// the host something too.
pub(super) const COST_US_MIN: u64 = 50;

/// Slot time of one tenant. Times are in microseconds unless their names say otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlotTime {
    /// Charges of attempts that are over.
    charged_us: u64,
    /// Moving average of a run's slot time.
    estimate_us: u64,
    /// Number of attempts requested or sent and not over.
    open: u64,
    /// Number of these that hold a slot; `since_ms` is the sum of their start times.
    holding: u64,
    since_ms: u128,
}

impl Default for SlotTime {
    fn default() -> Self {
        Self { charged_us: 0, estimate_us: COST_US_MIN, open: 0, holding: 0, since_ms: 0 }
    }
}

impl SlotTime {
    /// Returns the slot time used by the tenant's runs until now, in microseconds.
    pub(super) fn held_us(&self, now: Millis) -> u64 {
        self.charged_us.saturating_add(self.elapsed_us(now))
    }

    /// Returns the tenant's virtual time: the slot time used by its runs, or their estimated total if that is larger.
    pub(super) fn virtual_us(&self, now: Millis) -> u64 {
        let holding_us = self.estimate_us.saturating_mul(self.holding).max(self.elapsed_us(now));
        let waiting_us = self.estimate_us.saturating_mul(self.open.saturating_sub(self.holding));
        self.charged_us.saturating_add(holding_us).saturating_add(waiting_us)
    }

    /// Raises the slot time used to at least `least_us`.
    pub(super) fn start_at(&mut self, least_us: u64, now: Millis) {
        self.charged_us = self.charged_us.saturating_add(least_us.saturating_sub(self.held_us(now)));
    }

    /// Adds requested attempts.
    pub(super) const fn take(&mut self, count: u64) {
        self.open = self.open.saturating_add(count);
    }

    /// Removes attempts that will not run; they cost nothing.
    pub(super) const fn give_back(&mut self, count: u64) {
        self.open = self.open.saturating_sub(count);
    }

    /// Records that an attempt got its slot.
    pub(super) fn begin(&mut self, now: Millis) {
        self.holding += 1;
        self.since_ms += u128::from(now.0);
    }

    /// Records the end of an attempt that got its slot at `begun_at`.
    pub(super) fn leave(&mut self, begun_at: Millis) {
        self.holding = self.holding.saturating_sub(1);
        self.since_ms = self.since_ms.saturating_sub(begun_at.0.into());
    }

    /// Charges an ended attempt for its slot time.
    pub(super) fn charge(&mut self, slot_us: u64) {
        self.charged_us = self.charged_us.saturating_add(slot_us.max(COST_US_MIN));
    }

    /// Updates the estimate from a completed run.
    pub(super) const fn learn(&mut self, slot_us: u64) {
        let slot_us = if slot_us > COST_US_MIN { slot_us } else { COST_US_MIN };
        self.estimate_us = (self.estimate_us.saturating_mul(7).saturating_add(slot_us)) / 8;
    }

    /// Returns whether the tenant has no attempts.
    pub(super) const fn is_idle(&self) -> bool {
        self.open == 0
    }

    /// Returns the slot time of active runs so far.
    fn elapsed_us(&self, now: Millis) -> u64 {
        let ms = (u128::from(self.holding) * u128::from(now.0)).saturating_sub(self.since_ms);
        u64::try_from(ms.saturating_mul(1_000)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_under_way_counts_as_it_goes_and_at_least_as_it_is_thought_to() {
        let mut time = SlotTime::default();
        time.take(2);
        assert_eq!((time.virtual_us(Millis(9)), time.held_us(Millis(9))), (2 * COST_US_MIN, 0));
        time.begin(Millis(10));
        assert_eq!(time.virtual_us(Millis(10)), 2 * COST_US_MIN, "as is thought of both");
        assert_eq!((time.virtual_us(Millis(13)), time.held_us(Millis(13))), (3_000 + COST_US_MIN, 3_000));
        time.begin(Millis(13));
        assert_eq!(time.held_us(Millis(14)), 5_000);
        assert_eq!(time.held_us(Millis(9)), 0, "a clock that steps back earns nothing");
        time.leave(Millis(10));
        time.give_back(1);
        time.charge(4_000);
        assert_eq!(time.held_us(Millis(14)), 5_000, "what is over is charged what it held");
        time.learn(8_050);
        assert_eq!(time.virtual_us(Millis(14)), 4_000 + 1_050, "and the other is thought to hold more");
    }

    #[test]
    fn a_pause_is_made_up_for_once() {
        let mut time = SlotTime::default();
        time.start_at(700, Millis(1));
        time.start_at(600, Millis(1));
        assert_eq!(time.held_us(Millis(1)), 700);
    }
}
