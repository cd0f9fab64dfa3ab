//! Only reader of the machine's clocks. Everything else receives a [`Clock`], which tests can control.
//!
//! The wall clock is the time that people use, and it can be set, by an hour forward or back. A steady clock starts
//! with it and then advances only with elapsed time, so that such a step makes nothing late or early. A process uses a
//! steady clock internally, and the wall clock only for times that leave it for people and guests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use fusebox_core::time::Millis;

/// Source of time.
#[derive(Clone, Debug)]
pub enum Clock {
    /// Wall clock of the machine.
    System,
    /// Time at a moment, plus the time elapsed since.
    Steady(Arc<Steady>),
    /// Wall clock that advances only when a test moves it.
    Manual(Arc<Hands>),
}

/// See [`Clock::Steady`].
#[derive(Debug)]
pub struct Steady {
    at: Millis,
    since: Since,
}

/// Start of a steady clock, on a clock that cannot be set.
#[derive(Debug)]
enum Since {
    Instant(Instant),
    Passed(Arc<Hands>, u64),
}

/// Movements of a manual clock, in milliseconds.
#[derive(Debug, Default)]
pub struct Hands {
    passed: AtomicU64,
    stepped: AtomicI64,
}

impl Clock {
    /// Creates a wall clock for tests.
    #[must_use]
    pub fn manual(start: Millis) -> Self {
        let hands = Hands::default();
        hands.passed.store(start.0, Ordering::SeqCst);
        Self::Manual(Arc::new(hands))
    }

    /// Returns a clock that starts at this one's time, or at `least` if that is later, and advances with elapsed time.
    /// A steady clock that is not behind `least` is returned as it is.
    #[must_use]
    pub fn steady(&self, least: Millis) -> Self {
        let now = self.now();
        let since = match self {
            Self::System => Since::Instant(Instant::now()),
            Self::Manual(hands) => Since::Passed(hands.clone(), hands.passed.load(Ordering::SeqCst)),
            Self::Steady(_) if least <= now => return self.clone(),
            Self::Steady(steady) => match &steady.since {
                Since::Instant(_) => Since::Instant(Instant::now()),
                Since::Passed(hands, _) => Since::Passed(hands.clone(), hands.passed.load(Ordering::SeqCst)),
            },
        };
        Self::Steady(Arc::new(Steady { at: now.max(least), since }))
    }

    /// Returns the current time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    pub fn now(&self) -> Millis {
        match self {
            Self::System => {
                let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Millis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
            }
            Self::Steady(steady) => steady.at.plus(steady.since.elapsed()),
            Self::Manual(hands) => {
                let stepped = hands.stepped.load(Ordering::SeqCst);
                Millis(hands.passed.load(Ordering::SeqCst).saturating_add_signed(stepped))
            }
        }
    }

    /// Advances a manual clock and the steady clocks based on it; does nothing to other clocks.
    pub fn advance(&self, ms: u64) {
        let hands = match self {
            Self::Manual(hands) => hands,
            Self::Steady(steady) => match &steady.since {
                Since::Passed(hands, _) => hands,
                Since::Instant(_) => return,
            },
            Self::System => return,
        };
        hands.passed.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets a manual clock forward or back without elapsed time; does nothing to other clocks.
    pub fn step(&self, ms: i64) {
        if let Self::Manual(hands) = self {
            hands.stepped.fetch_add(ms, Ordering::SeqCst);
        }
    }
}

impl Since {
    /// Returns the milliseconds elapsed since.
    fn elapsed(&self) -> u64 {
        match self {
            Self::Instant(at) => u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX),
            Self::Passed(hands, at) => hands.passed.load(Ordering::SeqCst).saturating_sub(*at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_clock_goes_as_time_passes_and_not_as_the_wall_is_set() {
        let wall = Clock::manual(Millis(1_000));
        let steady = wall.steady(Millis(0));
        for step in [3_600_000, -7_200_000] {
            wall.step(step);
            let before = steady.now();
            wall.advance(5);
            assert_eq!(steady.now(), before.plus(5));
        }
        assert_eq!((wall.now(), steady.now()), (Millis(0), Millis(1_010)), "the wall is before its epoch");
        assert_eq!(wall.steady(Millis(2_000)).now(), Millis(2_000), "never before what was promised");
        assert_eq!(steady.steady(Millis(0)).now(), Millis(1_010));
        assert_eq!(steady.steady(Millis(1_500)).now(), Millis(1_500));
        let later = Clock::System.now().plus(60_000);
        assert!(Clock::System.steady(later).now() >= later);
    }
}
