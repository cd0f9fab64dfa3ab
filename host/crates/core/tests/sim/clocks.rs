//! Clocks that are set, forward and back, by moments and by hours. Stores and dispatchers go by what passes, so that none of
//! it may be noticed; a planted bug goes by the wall.

use fusebox_core::time::Millis;

use crate::{
    plants::Plant,
    world::{Step, World},
};

/// By how much a clock is set, in milliseconds: a correction, a wrong time zone, a machine that woke up in another year.
const STEPS_MS: [i64; 6] = [20, -900, 60_000, -60_000, 3_600_000, -3_600_000];

impl World {
    /// Somebody sets the machines' wall clocks.
    pub(crate) fn set_clocks(&mut self) {
        self.wall_ms += self.dice.pick(&STEPS_MS).unwrap_or_default();
        self.figures.count("clock step");
    }

    /// The time by which the store ends leases and tasks.
    pub(crate) fn store_time(&self) -> Millis {
        self.time_of(Plant::StoreGoesByTheWall)
    }

    /// A dispatcher's time.
    pub(crate) fn host_time(&self) -> Millis {
        self.time_of(Plant::DispatcherGoesByTheWall)
    }

    fn time_of(&self, by_the_wall: Plant) -> Millis {
        match self.plant == Some(by_the_wall) {
            true => Millis(self.now.0.saturating_add_signed(self.wall_ms)),
            false => self.now,
        }
    }

    /// Plans when that happens.
    pub(crate) fn plan_clock_steps(&mut self) {
        for _ in 0..self.faults.clock_steps {
            self.once(|_| Step::SetClocks);
        }
    }
}
