//! Clocks of guests, the same for every interface. They have a resolution of one millisecond, so that they cannot be used
//! to time other guests.

use std::{
    sync::OnceLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// Resolution of both clocks.
pub(crate) const RESOLUTION_NS: u64 = 1_000_000;

/// Returns the Unix time in milliseconds.
#[expect(clippy::disallowed_methods, reason = "a guest's clock is the machine's; tests check its bounds only")]
pub(crate) fn unix_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the Unix time in nanoseconds, in whole milliseconds.
pub(crate) fn unix_ns() -> u64 {
    unix_ms().saturating_mul(RESOLUTION_NS)
}

/// Returns the monotonic time in nanoseconds, in whole milliseconds. The first reading is one millisecond, since programs
/// take 0 for a clock that does not run.
pub(crate) fn monotonic_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX);
    elapsed.saturating_add(1).saturating_mul(RESOLUTION_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_never_reads_0() {
        let first = monotonic_ns();
        assert!(first >= RESOLUTION_NS && first.is_multiple_of(RESOLUTION_NS) && monotonic_ns() >= first);
        assert_eq!(unix_ns() % RESOLUTION_NS, 0);
    }
}
