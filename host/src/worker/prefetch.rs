//! Number of attempts that a worker prefetches: enough that no slot waits for the network, and few enough that none
//! waits here while another worker is idle. By Little's law, the number beyond the running ones is the rate at which
//! attempts end times the latency of the next ones. Pure: time is an argument.

use std::time::{Duration, Instant};

/// Latency of the next attempts: a lease step and two hops, with a margin for a busy machine.
const LOOK_AHEAD: Duration = Duration::from_millis(50);
/// The same for slots in the dispatcher's process: a lease step alone.
const LOOK_AHEAD_LOCAL: Duration = Duration::from_millis(10);
/// Shortest time over which a rate is measured, so that a single short run is not extrapolated.
const WINDOW: Duration = Duration::from_millis(2);
/// Time without an end after which runs count as long.
const SLOW: Duration = Duration::from_secs(1);
/// Largest number of prefetched attempts per slot: they take memory here and wait behind each other.
const AHEAD_PER_SLOT_MAX: u32 = 64;
/// The same in the dispatcher's process, where a slot need not wait for the store between two short runs: with a
/// durable step of a few milliseconds this sustains several thousand runs per second and slot.
const AHEAD_PER_SLOT_MAX_LOCAL: u32 = 31;
/// Largest number prefetched by a worker with few slots: a slot can run 100,000 no-ops a second, and a step of the
/// store under load takes 10 ms.
const AHEAD_OF_FEW: u32 = 512;

/// Estimate of the number of attempts to hold.
pub struct Prefetch {
    slots: u32,
    look_ahead: Duration,
    ahead_max: u32,
    ahead: u32,
    ended: u32,
    since: Instant,
}

impl Prefetch {
    /// Starts the estimate of a remote worker, with one prefetched attempt per slot.
    #[must_use]
    pub fn new(slots: u32, now: Instant) -> Self {
        let ahead_max = slots.saturating_mul(AHEAD_PER_SLOT_MAX).max(AHEAD_OF_FEW);
        Self { slots, look_ahead: LOOK_AHEAD, ahead_max, ahead: slots, ended: 0, since: now }
    }

    /// Starts the estimate of slots in the dispatcher's process.
    #[must_use]
    pub fn local(slots: u32, now: Instant) -> Self {
        let ahead_max = slots.saturating_mul(AHEAD_PER_SLOT_MAX_LOCAL);
        Self { look_ahead: LOOK_AHEAD_LOCAL, ahead_max, ..Self::new(slots, now) }
    }

    /// Records ended attempts.
    pub fn ended(&mut self, count: usize, now: Instant) {
        self.ended = self.ended.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        let time = now.saturating_duration_since(self.since);
        if time < WINDOW || count == 0 {
            return;
        }
        let ended = u128::from(self.ended);
        let ahead = ended * self.look_ahead.as_micros() / time.as_micros().max(1);
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        // Moves halfway to the measured value, so that one slow or fast moment does not dominate.
        let ahead = self.ahead.saturating_add(ahead).div_ceil(2);
        self.ahead = ahead.clamp(self.slots, self.ahead_max);
        (self.ended, self.since) = (0, now);
    }

    /// Records that attempts are held. If none has ended for a while, runs are long, and the estimate is reset:
    /// attempts must not be hoarded because earlier runs were short.
    pub fn holds(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) >= SLOW {
            self.ahead = self.slots;
            (self.ended, self.since) = (0, now);
        }
    }

    /// Returns the number of attempts to hold now.
    #[must_use]
    pub fn wanted(&self) -> u32 {
        self.slots.saturating_add(self.ahead)
    }

    /// Returns the number to request, given the numbers held and already requested. A few at a time are not worth a
    /// message or a step of the store while others are on their way.
    #[must_use]
    pub fn more(&self, open: u32, asked: u32) -> u32 {
        let (wanted, coming) = (self.wanted(), open.saturating_add(asked));
        let more = wanted.saturating_sub(coming);
        if coming <= self.slots || more >= wanted / 4 { more } else { 0 }
    }

    /// Returns the upper bound of [`Self::wanted`].
    #[must_use]
    pub fn most(&self) -> u32 {
        self.slots.saturating_add(self.ahead_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_runs_are_not_hoarded_and_fast_ones_are_not_waited_for() {
        let mut now = Instant::now();
        let mut prefetch = Prefetch::new(4, now);
        assert_eq!(prefetch.wanted(), 8);
        for _ in 0..50 {
            now += Duration::from_millis(3);
            prefetch.ended(60, now);
        }
        assert_eq!(prefetch.wanted(), 4 + AHEAD_OF_FEW);
        prefetch.holds(now + SLOW);
        assert_eq!(prefetch.wanted(), 8, "a second without an end");
    }

    #[test]
    fn a_few_are_not_asked_for_while_others_are_on_their_way() {
        let prefetch = Prefetch::new(8, Instant::now());
        assert_eq!((prefetch.more(0, 0), prefetch.more(8, 0), prefetch.more(9, 0)), (16, 8, 7));
        assert_eq!((prefetch.more(9, 4), prefetch.more(4, 4), prefetch.more(20, u32::MAX)), (0, 8, 0));
    }

    #[test]
    fn a_moment_is_no_rate() {
        let now = Instant::now();
        let mut prefetch = Prefetch::new(1, now);
        prefetch.ended(1, now + Duration::from_micros(10));
        assert_eq!(prefetch.wanted(), 2);
    }
}
