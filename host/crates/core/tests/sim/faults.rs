//! Faults of a world, drawn from its seed. Some seeds lack each kind of fault, so that seeds differ in character and
//! rare combinations occur.

use fusebox_core::time::Millis;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

/// Way in which workers receive attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Local,
    Push,
    Pull,
}

/// Source of all randomness in a world.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Returns a number drawn uniformly from `least` to `most`.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.0.next_u64() % (most - least + 1)
    }

    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.between(0, 99) < percent
    }

    /// Returns a random element, or `None` if there is none.
    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        let last = u64::try_from(from.len()).unwrap().checked_sub(1)?;
        Some(from[usize::try_from(self.between(0, last)).unwrap()].clone())
    }
}

/// Rates in percent, and counts for the whole run.
pub(crate) struct Faults {
    /// Time after which no faults occur, so that a run can end.
    pub(crate) until: Millis,
    /// Steps that the store does not answer, whether performed or not.
    pub(crate) store_fails: u64,
    /// Lease steps without an answer, whether performed or not.
    pub(crate) leases_lost: u64,
    /// Steps that take seconds.
    pub(crate) store_slow: u64,
    /// Steps that take longer than a lease lasts.
    pub(crate) store_stalls: u64,
    pub(crate) message_lost: u64,
    pub(crate) message_late: u64,
    pub(crate) report_twice: u64,
    /// Runs lost to infrastructure faults.
    pub(crate) run_lost: u64,
    pub(crate) forgeries: u64,
    pub(crate) crashes: u64,
    pub(crate) freezes: u64,
    pub(crate) retirements: u64,
    /// Links that break while both ends live.
    pub(crate) partings: u64,
    pub(crate) cancels: u64,
    pub(crate) drains: u64,
    /// Dispatchers that end without a drain.
    pub(crate) aborts: u64,
    /// Number of clock adjustments.
    pub(crate) clock_steps: u64,
}

impl Faults {
    pub(crate) fn draw(mode: Mode, dice: &mut Dice) -> Self {
        let mut rate = |most| if dice.percent(50) { dice.between(1, most) } else { 0 };
        let remote = mode != Mode::Local;
        let mut of_workers = |most| if remote { rate(most) } else { 0 };
        let (message_lost, crashes, freezes, retirements, partings) =
            (of_workers(15), of_workers(4), of_workers(4), of_workers(3), of_workers(6));
        Self {
            until: Millis(40_000),
            store_fails: rate(25),
            leases_lost: rate(60),
            store_slow: rate(10),
            store_stalls: rate(4),
            message_lost,
            message_late: rate(15),
            report_twice: rate(30),
            run_lost: rate(15),
            forgeries: rate(20),
            crashes,
            freezes,
            retirements,
            partings,
            cancels: rate(8),
            drains: rate(2),
            aborts: rate(1),
            clock_steps: rate(6),
        }
    }
}
