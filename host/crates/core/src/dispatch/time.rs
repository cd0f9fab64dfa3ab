//! The charge of a tenant: the time that its runs hold slots. A run under way counts as it goes.

use crate::time::Millis;

/// Estimated cost of a run before any is known, in microseconds; also the least a run is charged, since leasing
/// and recording it cost the host something too.
pub(super) const COST_US_MIN: u64 = 50;

/// See the module's documentation. Times are in microseconds where their names do not say otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlotTime {
    /// Of attempts that are over.
    charged_us: u64,
    /// Moving average of a run.
    estimate_us: u64,
    /// Attempts asked for or sent, and not over.
    open: u64,
    /// Those of them that hold a slot, and the sum of the moments since when.
    holding: u64,
    since_ms: u128,
}

impl Default for SlotTime {
    fn default() -> Self {
        Self { charged_us: 0, estimate_us: COST_US_MIN, open: 0, holding: 0, since_ms: 0 }
    }
}

impl SlotTime {
    /// Returns the slot time that the tenant's runs have held until now, in microseconds.
    pub(super) fn held_us(&self, now: Millis) -> u64 {
        self.charged_us.saturating_add(self.elapsed_us(now))
    }

    /// The tenant's virtual time: what its runs have held, or, where that is more, are thought to hold in all.
    pub(super) fn virtual_us(&self, now: Millis) -> u64 {
        let holding_us = self.estimate_us.saturating_mul(self.holding).max(self.elapsed_us(now));
        let waiting_us = self.estimate_us.saturating_mul(self.open.saturating_sub(self.holding));
        self.charged_us.saturating_add(holding_us).saturating_add(waiting_us)
    }

    /// Lifts what was held to at least this much.
    pub(super) fn start_at(&mut self, least_us: u64, now: Millis) {
        self.charged_us = self.charged_us.saturating_add(least_us.saturating_sub(self.held_us(now)));
    }

    /// Attempts are asked for.
    pub(super) const fn take(&mut self, count: u64) {
        self.open = self.open.saturating_add(count);
    }

    /// Attempts will not be run: they cost nothing.
    pub(super) const fn give_back(&mut self, count: u64) {
        self.open = self.open.saturating_sub(count);
    }

    /// An attempt has its slot.
    pub(super) fn begin(&mut self, now: Millis) {
        self.holding += 1;
        self.since_ms += u128::from(now.0);
    }

    /// An attempt that had its slot since then is over.
    pub(super) fn leave(&mut self, begun_at: Millis) {
        self.holding = self.holding.saturating_sub(1);
        self.since_ms = self.since_ms.saturating_sub(begun_at.0.into());
    }

    /// Charges an attempt that is over for the slot time that it held.
    pub(super) fn charge(&mut self, slot_us: u64) {
        self.charged_us = self.charged_us.saturating_add(slot_us.max(COST_US_MIN));
    }

    /// Updates the estimate of the next runs from one that came to its end.
    pub(super) const fn learn(&mut self, slot_us: u64) {
        let slot_us = if slot_us > COST_US_MIN { slot_us } else { COST_US_MIN };
        self.estimate_us = (self.estimate_us.saturating_mul(7).saturating_add(slot_us)) / 8;
    }

    /// Whether nothing of the tenant is under way.
    pub(super) const fn is_idle(&self) -> bool {
        self.open == 0
    }

    /// Of runs under way.
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
