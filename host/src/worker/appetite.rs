//! How many attempts a worker wants to hold: so many that no slot waits for the network, so few that none waits here
//! while another worker is idle. By Little's law that is the rate at which attempts end times the time that the next ones
//! take to come, beyond those that run. Pure: time is an argument.

use std::time::{Duration, Instant};

/// The time that the next attempts may take to come: a lease step and two hops, with room for a busy machine.
const LOOK_AHEAD: Duration = Duration::from_millis(50);
/// The same for slots in the dispatcher's process: a lease step alone.
const LOOK_AHEAD_LOCAL: Duration = Duration::from_millis(10);
/// A rate is taken over at least this time, so that one short run does not count for many.
const WINDOW: Duration = Duration::from_millis(2);
/// Attempts ahead of each slot at most: they are in memory here, and wait behind each other.
const AHEAD_PER_SLOT_MAX: u32 = 64;
/// The most ahead of few slots: a slot can run 100,000 no-ops a second, and a step of the store under load takes 10 ms.
const AHEAD_OF_FEW: u32 = 512;

/// See the module's documentation.
pub struct Appetite {
    slots: u32,
    look_ahead: Duration,
    ahead: u32,
    ended: u32,
    since: Instant,
}

impl Appetite {
    /// Of a worker whose attempts have not ended yet: one ahead of each slot.
    #[must_use]
    pub fn new(slots: u32, now: Instant) -> Self {
        Self { slots, look_ahead: LOOK_AHEAD, ahead: slots, ended: 0, since: now }
    }

    /// Of slots in the dispatcher's process.
    #[must_use]
    pub fn local(slots: u32, now: Instant) -> Self {
        Self { look_ahead: LOOK_AHEAD_LOCAL, ..Self::new(slots, now) }
    }

    /// Attempts have ended.
    pub fn ended(&mut self, count: usize, now: Instant) {
        self.ended = self.ended.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        let time = now.saturating_duration_since(self.since);
        if time < WINDOW {
            return;
        }
        let ended = u128::from(self.ended);
        let ahead = ended * self.look_ahead.as_micros() / time.as_micros().max(1);
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        // Halfway to what was seen now: one slow or fast moment is not the rule.
        let ahead = self.ahead.saturating_add(ahead).div_ceil(2);
        self.ahead = ahead.clamp(self.slots, self.ahead_max());
        (self.ended, self.since) = (0, now);
    }

    /// Attempts to hold now.
    #[must_use]
    pub fn wanted(&self) -> u32 {
        self.slots.saturating_add(self.ahead)
    }

    /// The most it can ever want.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.slots.saturating_add(self.ahead_max())
    }

    fn ahead_max(&self) -> u32 {
        self.slots.saturating_mul(AHEAD_PER_SLOT_MAX).max(AHEAD_OF_FEW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_runs_are_not_hoarded_and_fast_ones_are_not_waited_for() {
        let mut now = Instant::now();
        let mut appetite = Appetite::new(4, now);
        assert_eq!(appetite.wanted(), 8);
        for _ in 0..50 {
            now += Duration::from_millis(3);
            appetite.ended(60, now);
        }
        assert_eq!(appetite.wanted(), 4 + AHEAD_OF_FEW);
        for _ in 0..20 {
            now += Duration::from_secs(1);
            appetite.ended(1, now);
        }
        assert_eq!(appetite.wanted(), 8);
    }

    #[test]
    fn a_moment_is_no_rate() {
        let now = Instant::now();
        let mut appetite = Appetite::new(1, now);
        appetite.ended(1, now + Duration::from_micros(10));
        assert_eq!(appetite.wanted(), 2);
    }
}
