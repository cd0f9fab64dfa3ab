//! Intervals and pauses of an agent.

use std::time::Duration;

use fusebox_core::limits::LEASE_MS;
use tokio::time::{Interval, MissedTickBehavior};

use fusebox_system::random;

/// First and longest pause before rejoining. Drawn between half and all of it, so that the workers of a restarted
/// dispatcher do not all rejoin at once.
pub(super) const REJOIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Longest pause of a refused worker: half of a lease, so that its attempts are still its own if the next try succeeds.
pub(super) const REFUSED_WAIT_MAX: Duration = Duration::from_millis(LEASE_MS / 2);

/// Returns an interval that, after a delay, waits a full period again.
pub(super) fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Returns a random duration between half and all of `wait`.
pub(super) fn jittered(wait: Duration) -> Duration {
    let part = u32::from(random::bytes::<1>()[0]);
    wait / 2 + wait / 2 * part / 255
}
