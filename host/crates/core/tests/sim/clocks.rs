//! Adjustments of wall clocks, forwards and backwards, from milliseconds to hours. Stores and dispatchers measure
//! elapsed time, so they must not notice; a planted bug uses the wall clock.

use fusebox_core::time::Millis;

use crate::{
    plants::Plant,
    world::{Step, World},
};

/// Adjustments in milliseconds: small corrections, NTP jumps and wrong time zones.
const STEPS_MS: [i64; 6] = [20, -900, 60_000, -60_000, 3_600_000, -3_600_000];

impl World {
    /// Adjusts the machines' wall clocks.
    pub(crate) fn set_clocks(&mut self) {
        self.wall_ms += self.dice.pick(&STEPS_MS).unwrap_or_default();
        self.figures.count("clock step");
    }

    /// Returns the time by which the store ends leases and tasks.
    pub(crate) fn store_time(&self) -> Millis {
        self.time_of(Plant::StoreGoesByTheWall)
    }

    /// Returns the time passed to dispatchers.
    pub(crate) fn host_time(&self) -> Millis {
        self.time_of(Plant::DispatcherGoesByTheWall)
    }

    fn time_of(&self, by_the_wall: Plant) -> Millis {
        match self.plant == Some(by_the_wall) {
            true => Millis(self.now.0.saturating_add_signed(self.wall_ms)),
            false => self.now,
        }
    }

    /// Schedules the adjustments.
    pub(crate) fn plan_clock_steps(&mut self) {
        for _ in 0..self.faults.clock_steps {
            self.once(|_| Step::SetClocks);
        }
    }
}
