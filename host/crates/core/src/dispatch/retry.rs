//! Delays before retries, with full jitter, which separates tasks that failed together.

use crate::{
    id::Attempt,
    limits::{RETRY_MS_BASE, RETRY_MS_MAX},
};

/// Generator of retry delays. Seeded by the caller, since this crate has no source of randomness.
#[derive(Clone, Debug)]
pub(super) struct Jitter {
    state: u64,
}

impl Jitter {
    pub(super) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns the delay after `attempt` in milliseconds, uniform between 0 and a bound that doubles with each attempt,
    /// from [`RETRY_MS_BASE`] to [`RETRY_MS_MAX`].
    pub(super) fn delay_ms(&mut self, attempt: Attempt) -> u64 {
        let doublings = attempt.saturating_sub(1).min(16);
        let bound = (RETRY_MS_BASE << doublings).min(RETRY_MS_MAX);
        self.next() % (bound + 1)
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_below_a_bound_that_doubles_up_to_its_end() {
        let mut jitter = Jitter::new(7);
        for (attempt, bound) in [(1, 500), (2, 1_000), (3, 2_000), (40, 60_000)] {
            let longest = (0..1_000).map(|_| jitter.delay_ms(attempt)).max().unwrap();
            assert!(longest <= bound && longest > bound * 9 / 10, "attempt {attempt}: {longest}");
        }
    }
}
