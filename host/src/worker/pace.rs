//! How often an agent does what it does again and again.

use std::time::Duration;

use fusebox_core::limits::LEASE_MS;
use tokio::time::{Interval, MissedTickBehavior};

use crate::random;

/// First and last bound of the wait before joining again; drawn between half of it and all of it, so that workers of a
/// dispatcher that comes back do not all come at once.
pub(super) const REJOIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The longest wait of a worker that is refused: half of a lease, so that what it runs is still its own where it is let in
/// at the next try.
pub(super) const REFUSED_WAIT_MAX: Duration = Duration::from_millis(LEASE_MS / 2);

/// Ends each period; after a delay not sooner than a period later.
pub(super) fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Somewhere between half of a wait and all of it.
pub(super) fn jittered(wait: Duration) -> Duration {
    let part = u32::from(random::bytes::<1>()[0]);
    wait / 2 + wait / 2 * part / 255
}
